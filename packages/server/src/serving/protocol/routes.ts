/** The Open Inference Protocol, version 2, over HTTP: each endpoint is a model of its name. */
import { promisify } from "node:util";
import { gunzip, inflate } from "node:zlib";
import { Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import type { FastifyRequest } from "fastify";
import { ApiError, errorAnswer, type Http, invalid, type Platform } from "../../platform/index.js";
import { callerOf, inferDirectly } from "./direct.js";
import type { Exchange } from "./exchange.js";
import { inferByHttp, largestBody } from "./infer.js";
import { splitBody } from "./tensors.js";

const IndexQuery = TypeCompiler.Compile(Type.Object({ ready: Type.Optional(Type.Boolean()) }));

export function openInferenceProtocolRoutes(app: Http, platform: Pick<Platform, "log" | "clock" | "metrics">, exchange: Exchange): void {
  const { log } = platform;
  app.serveDirectly(inferDirectly(platform, app.authorize, exchange));
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
      const answer = await inferByHttp(exchange, {
        ...{ name, version, moment: asked.moment, signal: callerOf(asked.raw) },
        body: asked.body instanceof Buffer ? asked.body : Buffer.alloc(0),
        jsonLength: Array.isArray(header) ? header[0] : header,
        ...{ key: asked.headers["millrace-key"], caller: asked.principal.name },
      });
      if (answer.jsonLength !== undefined) reply.header("inference-header-content-length", answer.jsonLength);
      return reply.type(answer.type).send(answer.body);
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
