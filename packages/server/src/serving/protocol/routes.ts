/** The Open Inference Protocol, version 2, over HTTP: each endpoint is a model of its name. */
import { promisify } from "node:util";
import { gunzip, inflate } from "node:zlib";
import { Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import type { FastifyRequest } from "fastify";
import { ApiError, errorAnswer, type Http, invalid, type Platform } from "../../platform/index.js";
import type { GivenTensor } from "../given.js";
import type { Exchange } from "./exchange.js";
import { binaryOf, binaryTensor, jsonOf, jsonTensor, splitBody } from "./tensors.js";

export const largestBody = 16 * 1024 * 1024;
const parameters = Type.Optional(Type.Record(Type.String(), Type.Unknown()));
const Tensor = Type.Object({
  name: Type.String({ maxLength: 200 }),
  shape: Type.Array(Type.Integer({ minimum: 0 }), { maxItems: 8 }),
  datatype: Type.String({ maxLength: 10 }),
  data: Type.Optional(Type.Unknown()),
  parameters,
});
const Request = Type.Object({
  // With a row's number behind it, it is still an id that a label may have.
  id: Type.Optional(Type.String({ minLength: 1, maxLength: 190 })),
  inputs: Type.Array(Tensor, { minItems: 1, maxItems: 2_000 }),
  outputs: Type.Optional(Type.Array(Type.Object({ name: Type.String(), parameters }), { maxItems: 100 })),
  parameters,
});
const request = TypeCompiler.Compile(Request);
const IndexQuery = TypeCompiler.Compile(Type.Object({ ready: Type.Optional(Type.Boolean()) }));

export function openInferenceProtocolRoutes(app: Http, { log }: Pick<Platform, "log">, exchange: Exchange): void {
  void app.register(async (plain) => {
    const scope = plain as Http;
    // Bodies are JSON, or JSON with bytes behind it.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", { parseAs: "buffer", bodyLimit: largestBody }, async (asked: FastifyRequest, body: Buffer) =>
      unpacked(body, asked.headers["content-encoding"]),
    );
    scope.setErrorHandler((error, asked, reply) => {
      const answer = errorAnswer(error, log, asked.url);
      if (answer.retryAfter !== undefined) void reply.header("retry-after", answer.retryAfter);
      void reply.code(answer.status).send({ error: answer.body.error.message });
    });
    routes(scope, exchange);
  });
}

const unzip = { gzip: promisify(gunzip), deflate: promisify(inflate) };
/** What unpacks to more than a body may have is refused before it does. */
async function unpacked(body: Buffer, encoding: string | undefined): Promise<Buffer> {
  if (encoding === undefined || encoding === "identity" || encoding === "") return body;
  if (encoding !== "gzip" && encoding !== "deflate")
    throw new ApiError(415, "INVALID", `The content encoding "${encoding}" is not taken: gzip and deflate are.`);
  try {
    return await unzip[encoding](body, { maxOutputLength: largestBody });
  } catch (error) {
    if (error instanceof RangeError) throw new ApiError(413, "TOO_LARGE", `The body is larger than ${largestBody} bytes.`);
    throw invalid(`The body is no ${encoding}.`);
  }
}

interface Named {
  name: string;
  version?: string;
}
function routes(app: Http, exchange: Exchange): void {
  const tags = ["open inference protocol"];
  const read = { config: { permission: "endpoints:read" as const }, schema: { tags } };
  const predict = { config: { permission: "predictions:write" as const }, bodyLimit: largestBody, schema: { tags } };
  const write = { config: { permission: "endpoints:write" as const }, schema: { tags } };
  const open = { config: { permission: "public" as const }, schema: { tags } };
  app.get("/v2", read, async () => exchange.server());
  app.get("/v2/health/live", open, async () => ({ live: true }));
  app.get("/v2/health/ready", open, async () => ({ ready: true }));

  for (const path of ["/v2/models/:name", "/v2/models/:name/versions/:version"]) {
    app.get(path, read, async ({ params }) => {
      const { name, version } = params as Named;
      return exchange.model(name, version);
    });
    app.get(`${path}/ready`, read, async ({ params }, reply) => {
      const { name, version } = params as Named;
      const ready = await exchange.ready(name, version);
      return reply.code(ready ? 200 : 503).send({ name, ready });
    });
    app.post(`${path}/infer`, predict, async (asked, reply) => {
      const { name, version } = asked.params as Named;
      const header = asked.headers["inference-header-content-length"];
      const { json, binary } = splitBody(asked.body instanceof Buffer ? asked.body : Buffer.alloc(0), Array.isArray(header) ? header[0] : header);
      if (!request.Check(json)) {
        const first = request.Errors(json).First();
        throw invalid(`The request is malformed${first === undefined ? "" : ` at ${first.path || "/"}: ${first.message}`}.`);
      }
      const wanted = json.outputs ?? [];
      const answer = await exchange.infer(name, {
        ...{
          id: json.id,
          version,
          key: asked.headers["millrace-key"] ?? json.parameters?.millrace_key,
          inputs: tensorsOf(json.inputs, binary),
          moment: asked.moment,
        },
        outputs: wanted.map((one) => one.name),
        explain: json.parameters?.explain,
      });
      const head = {
        ...{ model_name: name, model_version: String(answer.version) },
        id: answer.id,
        parameters: { version: answer.version },
      };
      const asBytes = (output: string) => (wanted.find((one) => one.name === output)?.parameters?.binary_data ?? json.parameters?.binary_data_output) === true;
      const parts: Buffer[] = [];
      const outputs = answer.outputs.map((output) => {
        const { name: of, datatype, shape } = output;
        if (!asBytes(of)) return { name: of, datatype, shape, data: jsonOf(output) };
        const bytes = binaryOf(output);
        parts.push(bytes);
        return { name: of, datatype, shape, parameters: { binary_data_size: bytes.length } };
      });
      if (parts.length === 0) return { ...head, outputs };
      const text = Buffer.from(JSON.stringify({ ...head, outputs }));
      return reply
        .type("application/octet-stream")
        .header("inference-header-content-length", text.length)
        .send(Buffer.concat([text, ...parts]));
    });
  }

  app.post("/v2/repository/index", read, async ({ body }) => {
    const json = body instanceof Buffer && body.length > 0 ? splitBody(body, undefined).json : {};
    if (!IndexQuery.Check(json)) throw invalid('The request is malformed: it is { "ready": true } for what is ready alone, or nothing.');
    return exchange.index(json.ready === true);
  });
  app.post("/v2/repository/models/:name/load", write, async ({ params }, reply) => {
    await exchange.load((params as Named).name);
    return reply.send({});
  });
  app.post("/v2/repository/models/:name/unload", write, async ({ params }, reply) => {
    await exchange.unload((params as Named).name);
    return reply.send({});
  });
}

/** Bytes follow the JSON in the order of the tensors that say how many are theirs. */
function tensorsOf(
  inputs: { name: string; shape: number[]; datatype: string; data?: unknown; parameters?: Record<string, unknown> }[],
  binary: Buffer | undefined,
): GivenTensor[] {
  let offset = 0;
  const tensors = inputs.map((tensor): GivenTensor => {
    const { name } = tensor;
    const size = tensor.parameters?.binary_data_size;
    if (size === undefined) return jsonTensor(tensor, tensor.data);
    if (binary === undefined) throw invalid(`The input "${name}" says binary_data_size, but the request has no header Inference-Header-Content-Length.`);
    if (typeof size !== "number" || !Number.isInteger(size) || size < 0 || offset + size > binary.length)
      throw invalid(`The input "${name}" has ${String(size)} bytes of data; ${binary.length - offset} are left.`);
    const bytes = binary.subarray(offset, offset + size);
    offset += size;
    return binaryTensor(tensor, bytes);
  });
  if (binary !== undefined && offset < binary.length) throw invalid(`${binary.length - offset} bytes follow the data of the last tensor.`);
  return tensors;
}
