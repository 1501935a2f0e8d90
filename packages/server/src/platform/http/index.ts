import ajvCompiler, { type BuildCompilerFromPool } from "@fastify/ajv-compiler";
import fastifySwagger from "@fastify/swagger";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyBaseLogger } from "fastify";
import Fastify, { LogController } from "fastify";
import { version } from "../config.js";
import { ApiError } from "../errors.js";
import type { Log } from "../log.js";
import type { Platform } from "../types.js";
import { isScreen, serveConsole } from "./console.js";
import { decorateMoment } from "./moment.js";
import type { Authorize, Http, Principal } from "./types.js";

export type { Authorize, Http, Permission, Principal } from "./types.js";

const kilobyte = 1024;
const buildAjv = ajvCompiler();
const ajvOptions = { removeAdditional: false, allErrors: false } as const;

export async function openHttp(platform: Pick<Platform, "log" | "clock" | "config" | "metrics">, authorize: Authorize): Promise<Http> {
  const { log, metrics } = platform;
  const app = Fastify({
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: 8 * kilobyte * kilobyte,
    forceCloseConnections: true,
    requestTimeout: 0,
    connectionTimeout: 0,
    keepAliveTimeout: 72_000,
    routerOptions: { maxParamLength: 1_000 },
    schemaController: { compilersFactory: { buildValidator } },
  }).withTypeProvider<TypeBoxTypeProvider>();
  // A client has this long to send its headers, and a socket may stay silent for this long.
  app.server.headersTimeout = 20_000;
  app.server.requestTimeout = 0;
  app.server.setTimeout(120_000);

  app.decorateRequest("principal", null as unknown as Principal);
  app.addHook("onRoute", (route) => {
    if (route.config?.permission === undefined) throw new Error(`The route ${route.method} ${route.url} declares no permission.`);
  });
  app.addHook("onRequest", async (request) => {
    const permission = request.routeOptions.config.permission ?? "public";
    request.principal = await authorize({ headers: request.headers, method: request.method, permission });
  });
  decorateMoment(app, platform.clock);
  app.addHook("onResponse", async (request, reply) => {
    metrics.observeRequest(request.method, request.routeOptions.url ?? "none", reply.statusCode, reply.elapsedTime / 1000);
  });
  app.setErrorHandler((error, request, reply) => {
    const answer = errorAnswer(error, log, request.url);
    void reply.code(answer.status).send(answer.body);
  });
  let hasConsole = false;
  app.setNotFoundHandler((request, reply) => {
    if (hasConsole && isScreen(request.method, request.url, request.headers.accept)) return void reply.sendFile("index.html");
    void reply.code(404).send({ error: { code: "NOT_FOUND", message: `There is no route ${request.method} ${request.url.split("?")[0]}.` } });
  });

  await app.register(fastifySwagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Millrace",
        version,
        description: "The API of a Millrace server. MLflow's and the Open Inference Protocol's routes are described by their own projects.",
      },
    },
  });
  hasConsole = await serveConsole(app, platform.config.consoleFolder);
  return app;
}

/** What stands in an address is text and becomes what its schema says. A body is JSON, in which 1 and "1" are not the same. */
const buildValidator: BuildCompilerFromPool = (externalSchemas) => {
  const exact = buildAjv(externalSchemas, { customOptions: { ...ajvOptions, coerceTypes: false } });
  const fromText = buildAjv(externalSchemas, { customOptions: { ...ajvOptions, coerceTypes: "array" } });
  return (route) => (typeof route === "object" && "httpPart" in route && route.httpPart === "body" ? exact(route) : fromText(route));
};

export function errorAnswer(error: unknown, log: Log, url: string): { status: number; body: { error: { code: string; message: string; details?: unknown } } } {
  if (error instanceof ApiError) {
    return {
      status: error.status,
      body: { error: { code: error.code, message: error.message, ...(error.details === undefined ? {} : { details: error.details }) } },
    };
  }
  const status = (error as { statusCode?: number }).statusCode;
  if (status !== undefined && status >= 400 && status < 500) {
    // Fastify's own: a body that is no JSON, does not fit the schema, or is too large.
    return { status, body: { error: { code: status === 413 ? "TOO_LARGE" : "INVALID", message: (error as Error).message } } };
  }
  log.error({ error, url }, "a request failed");
  return { status: 500, body: { error: { code: "INTERNAL", message: "The server failed. Its log says why." } } };
}
