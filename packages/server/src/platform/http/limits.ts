import type { FastifyInstance } from "fastify";

const headersMs = 20_000;
/** For a body that is read as a whole. One that streams may take longer, as long as something comes. */
const bodyMs = 60_000;
/** For a client that neither sends what it began to send nor takes what it asked for. */
const silentMs = 120_000;
const keepAliveMs = 72_000;
/** How long requests under way may take to end when the server stops. */
const drainMs = 5_000;

/** Clients that are too slow are let go; while the server works for one, its silence is no offence. */
export function limitSlowClients(app: FastifyInstance): void {
  app.server.headersTimeout = headersMs;
  app.server.requestTimeout = 0;
  app.server.keepAliveTimeout = keepAliveMs;
  app.server.setTimeout(silentMs);
  const waiting = new WeakMap<object, NodeJS.Timeout>();

  app.addHook("preParsing", (request, _reply, payload, done) => {
    const { raw } = request;
    if (hasBody(raw.headers)) {
      const timer = setTimeout(() => {
        if (raw.complete || raw.socket.destroyed) return;
        raw.socket.end("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        raw.socket.destroySoon();
      }, bodyMs);
      waiting.set(request, timer);
      raw.once("close", () => clearTimeout(timer));
    }
    done(null, payload);
  });
  // Here the body is read, or is a stream that the handler reads.
  app.addHook("preValidation", (request, _reply, done) => {
    const { raw } = request;
    clearTimeout(waiting.get(request));
    if (raw.complete || !hasBody(raw.headers)) raw.socket.setTimeout(0);
    else raw.once("end", () => raw.socket.setTimeout(0));
    done();
  });
  app.addHook("onSend", (request, _reply, payload, done) => {
    request.raw.socket.setTimeout(silentMs);
    done(null, payload);
  });

  app.addHook("preClose", (done) => {
    const idle = setInterval(() => app.server.closeIdleConnections(), 50);
    const all = setTimeout(() => app.server.closeAllConnections(), drainMs);
    app.server.once("close", () => {
      clearInterval(idle);
      clearTimeout(all);
    });
    done();
  });
}

const hasBody = (headers: NodeJS.Dict<string | string[]>): boolean =>
  headers["transfer-encoding"] !== undefined || (headers["content-length"] !== undefined && headers["content-length"] !== "0");
