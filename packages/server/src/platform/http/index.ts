import { createServer } from "node:http";
import fastifySwagger from "@fastify/swagger";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyBaseLogger } from "fastify";
import Fastify, { LogController } from "fastify";
import { type ServerConfig, version } from "../config.js";
import { isAway } from "../database/index.js";
import { ApiError, StartError } from "../errors.js";
import type { Log } from "../log.js";
import type { Platform } from "../types.js";
import { isScreen, serveConsole } from "./console.js";
import { limitSlowClients } from "./limits.js";
import { decorateMoment } from "./moment.js";
import { patience } from "./patience.js";
import { compileWhenNeeded } from "./schemas.js";
import type { Authorize, DeclaredRoute, DirectHandler, Http, Principal } from "./types.js";

export type { Authorize, DeclaredRoute, DirectHandler, Http, Permission, Principal } from "./types.js";

/** Clients that connect at once, more than Node's 511: who finds no place tries again only after a second, and then after two. The system may allow fewer. */
const backlog = 4_096;
const megabyte = 1024 * 1024;

export async function openHttp(platform: Pick<Platform, "log" | "clock" | "config" | "metrics">, authorize: Authorize): Promise<Http> {
  const { log, metrics } = platform;
  let direct: DirectHandler = () => false;
  const app = Fastify({
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    // Routes that take more say so.
    bodyLimit: megabyte,
    // A screen's address holds what it shows, up to five hundred runs, and comes a second time as the referrer of what it asks for.
    serverFactory(handler) {
      return createServer({ maxHeaderSize: 64 * 1024 }, (request, response) => {
        if (!direct(request, response)) handler(request, response);
      });
    },
    forceCloseConnections: "idle",
    routerOptions: { maxParamLength: 1_000 },
  }).withTypeProvider<TypeBoxTypeProvider>();
  compileWhenNeeded(app);
  limitSlowClients(app);

  const declared: DeclaredRoute[] = [];
  app.decorate("declaredRoutes", declared);
  app.decorate("authorize", authorize);
  app.decorate("serveDirectly", (handler: DirectHandler) => {
    direct = handler;
  });
  app.addHook("onRoute", ({ config, method, url }) => {
    const permission = config?.permission;
    if (permission === undefined) throw new Error(`The route ${method} ${url} declares no permission.`);
    for (const one of [method].flat()) declared.push({ method: one, url, permission });
  });
  app.decorateRequest("principal");
  app.decorateRequest("demand", async function demand(permission) {
    await authorize({ headers: this.headers, method: this.method, permission });
  });
  app.addHook("onRequest", (request, reply, done) => {
    const refuse = (error: unknown) => {
      // A browser then asks its user for a name and a token.
      if (error instanceof ApiError && error.status === 401) reply.header("www-authenticate", 'Basic realm="Millrace", charset="UTF-8"');
      done(error instanceof Error ? error : new Error(String(error)));
    };
    const permit = (principal: Principal) => {
      request.principal = principal;
      done();
    };
    try {
      const { headers, method, routeOptions } = request;
      const principal = authorize({ headers, method, permission: routeOptions.config.permission ?? "public" });
      // Not waited for where the answer is there: most requests are of a single user.
      if (principal instanceof Promise) principal.then(permit, refuse);
      else permit(principal);
    } catch (error) {
      refuse(error);
    }
  });
  decorateMoment(app, platform.clock);
  app.addHook("onResponse", (request, reply, done) => {
    metrics.observeRequest(request.method, request.routeOptions.url ?? "none", reply.statusCode, reply.elapsedTime / 1000);
    done();
  });
  app.setErrorHandler((error, request, reply) => {
    const answer = errorAnswer(error, log, request.url);
    if (answer.retryAfter !== undefined) void reply.header("retry-after", answer.retryAfter);
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

/** Answers the address at which it is reached. */
export async function listen(app: Http, { host, port }: ServerConfig): Promise<string> {
  try {
    return await app.listen({ host, port, backlog });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EADDRINUSE") throw new StartError(`The port ${port} of ${host} is in use. Choose another with --port, or 0 for any that is free.`);
    if (code === "EACCES") throw new StartError(`There is no permission to listen on port ${port}. Choose one above 1023 with --port.`);
    if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND") throw new StartError(`"${host}" is no address of this machine. Choose another with --host.`);
    throw error;
  }
}

interface ErrorAnswer {
  status: number;
  body: { error: { code: string; message: string; details?: unknown } };
  /** In seconds, where the same request may be answered later. */
  retryAfter?: number;
}
export function errorAnswer(error: unknown, log: Log, url: string): ErrorAnswer {
  if (error instanceof ApiError) {
    return {
      status: error.status,
      ...(error.status === 503 ? { retryAfter: patience() } : error.status === 429 ? { retryAfter: 1 } : {}),
      body: { error: { code: error.code, message: error.message, ...(error.details === undefined ? {} : { details: error.details }) } },
    };
  }
  const status = (error as { statusCode?: number }).statusCode;
  if (status !== undefined && status >= 400 && status < 500) {
    // Fastify's own: a body that is no JSON, does not fit the schema, or is too large.
    return { status, body: { error: { code: status === 413 ? "TOO_LARGE" : "INVALID", message: (error as Error).message } } };
  }
  if (isAway(error)) {
    log.warn({ error, url }, "a request came while PostgreSQL was away");
    const message = "The database is away for a moment. Send the request again.";
    return { status: 503, retryAfter: patience(), body: { error: { code: "UNAVAILABLE", message } } };
  }
  log.error({ error, url }, "a request failed");
  return { status: 500, body: { error: { code: "INTERNAL", message: "The server failed. Its log says why." } } };
}
