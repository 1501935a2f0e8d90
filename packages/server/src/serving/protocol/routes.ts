/** The Open Inference Protocol, version 2, over HTTP: each endpoint is a model of its name. */
import { Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import type { Features } from "../../features/index.js";
import { errorAnswer, type Http, invalid, type Log, notFound, type Platform, version } from "../../platform/index.js";
import type { Projects } from "../../projects/index.js";
import type { Serving } from "../types.js";
import { binaryOf, datatypes, type JsonTensor, requestColumns, splitBody } from "./tensors.js";

const largestBody = 16 * 1024 * 1024;
const Tensor = Type.Object({
  name: Type.String({ maxLength: 200 }),
  shape: Type.Array(Type.Integer({ minimum: 0 }), { maxItems: 8 }),
  datatype: Type.String({ maxLength: 10 }),
  data: Type.Optional(Type.Unknown()),
  parameters: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
});
const Wanted = Type.Object({ name: Type.String(), parameters: Type.Optional(Type.Record(Type.String(), Type.Unknown())) });
const Request = Type.Object({
  // With a row's number behind it, it is still an id that a label may have.
  id: Type.Optional(Type.String({ minLength: 1, maxLength: 190 })),
  inputs: Type.Array(Tensor, { minItems: 1, maxItems: 2_000 }),
  outputs: Type.Optional(Type.Array(Wanted, { maxItems: 100 })),
  parameters: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
});
const request = TypeCompiler.Compile(Request);

export function openInferenceProtocolRoutes(
  app: Http,
  platform: Pick<Platform, "log">,
  on: { serving: Serving; projects: Projects; features: Pick<Features, "service"> },
): void {
  void app.register(async (plain) => {
    const scope = plain as Http;
    // Bodies are JSON, or JSON with bytes behind it.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", { parseAs: "buffer", bodyLimit: largestBody }, (_request, body, done) => done(null, body));
    scope.setErrorHandler((error, asked, reply) => protocolError(error, platform.log, asked.url, reply));
    routes(scope, on);
  });
}

function protocolError(error: unknown, log: Log, url: string, reply: { code(status: number): { send(body: unknown): unknown } }): void {
  const { status, body } = errorAnswer(error, log, url);
  reply.code(status).send({ error: body.error.message });
}

function routes(app: Http, { serving, projects, features }: { serving: Serving; projects: Projects; features: Pick<Features, "service"> }): void {
  const read = { config: { permission: "endpoints:read" as const }, schema: { tags: ["open inference protocol"] } };
  const predict = { config: { permission: "predictions:write" as const }, bodyLimit: largestBody, schema: { tags: ["open inference protocol"] } };
  const open = { config: { permission: "public" as const }, schema: { tags: ["open inference protocol"] } };
  app.get("/v2", read, async () => ({ name: "millrace", version, extensions: ["binary_tensor_data"] }));
  app.get("/v2/health/live", open, async () => ({ live: true }));
  app.get("/v2/health/ready", open, async () => ({ ready: true }));

  type Named = { name: string; version?: string };
  async function serviceOf(name: string) {
    const endpoint = await projects.get("endpoint", name);
    if (endpoint === undefined) throw notFound("endpoint", name);
    return features.service(endpoint.spec.service);
  }
  for (const path of ["/v2/models/:name", "/v2/models/:name/versions/:version"]) {
    app.get(path, read, async ({ params }) => {
      const { name } = params as Named;
      const service = await serviceOf(name);
      const { stable, candidate } = await serving.endpoint(name);
      return {
        name,
        versions: [stable, candidate].filter((one) => one !== null).map(String),
        platform: "onnxruntime_onnx",
        inputs: service.request.map(({ name: input, type }) => ({ name: input, datatype: datatypes[type][0], shape: [-1] })),
        outputs: [
          { name: "probability", datatype: "FP64", shape: [-1] },
          { name: "prediction_id", datatype: "BYTES", shape: [-1] },
        ],
      };
    });
    app.get(`${path}/ready`, read, async ({ params }, reply) => {
      const { name } = params as Named;
      const ready = (await serving.endpoint(name)).stable !== null;
      return reply.code(ready ? 200 : 503).send({ name, ready });
    });
    app.post(`${path}/infer`, predict, async (asked, reply) => {
      const { name, version: pinned } = asked.params as Named;
      const header = asked.headers["inference-header-content-length"];
      const { json, binary } = splitBody(asked.body instanceof Buffer ? asked.body : Buffer.alloc(0), Array.isArray(header) ? header[0] : header);
      if (!request.Check(json)) {
        const first = request.Errors(json).First();
        throw invalid(`The request is malformed${first === undefined ? "" : ` at ${first.path || "/"}: ${first.message}`}.`);
      }
      const { columns, rows } = requestColumns(json.inputs as JsonTensor[], binary, await serviceOf(name));
      const answer = await serving.infer(name, {
        id: json.id,
        columns,
        rows,
        moment: asked.moment,
        ...(pinned === undefined ? {} : { version: versionNumber(pinned) }),
      });
      const outputs = [
        { name: "probability", datatype: "FP64", shape: [rows], data: Array.from(answer.probability) as (string | number)[] },
        { name: "prediction_id", datatype: "BYTES", shape: [rows], data: answer.ids as (string | number)[] },
      ];
      const chosen = choose(outputs, json.outputs);
      const head = {
        model_name: name,
        model_version: String(answer.version),
        ...(json.id === undefined ? {} : { id: json.id }),
        parameters: { version: answer.version },
      };
      const binaryOnes = new Set(
        chosen.filter(({ parameters }) => (parameters?.binary_data ?? json.parameters?.binary_data_output) === true).map(({ output }) => output.name),
      );
      if (binaryOnes.size === 0) return { ...head, outputs: chosen.map(({ output }) => output) };
      const parts: Buffer[] = [];
      const written = chosen.map(({ output }) => {
        if (!binaryOnes.has(output.name)) return output;
        const { data, ...rest } = output;
        const bytes = binaryOf(output.datatype, data);
        parts.push(bytes);
        return { ...rest, parameters: { binary_data_size: bytes.length } };
      });
      const text = Buffer.from(JSON.stringify({ ...head, outputs: written }));
      return reply
        .type("application/octet-stream")
        .header("inference-header-content-length", text.length)
        .send(Buffer.concat([text, ...parts]));
    });
  }
  app.post("/v2/repository/index", read, async () =>
    (await serving.endpoints()).map(({ name, stable }) => ({
      name,
      version: stable === null ? "" : String(stable),
      state: stable === null ? "UNAVAILABLE" : "READY",
      reason: "",
    })),
  );
}

function choose<O extends { name: string }>(outputs: O[], wanted: { name: string; parameters?: Record<string, unknown> }[] | undefined) {
  if (wanted === undefined || wanted.length === 0) return outputs.map((output) => ({ output, parameters: undefined }));
  return wanted.map(({ name, parameters }) => {
    const output = outputs.find((one) => one.name === name);
    if (output === undefined) throw invalid(`There is no output "${name}". The model gives ${outputs.map((one) => one.name).join(", ")}.`);
    return { output, parameters };
  });
}

function versionNumber(text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw invalid(`"${text}" is no version: versions are whole numbers from 1.`);
  return Number(text);
}
