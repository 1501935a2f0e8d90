/**
 * Requests for inference on Node's own server, before the framework: of what one row takes, it took more than half. What comes in an unusual form (chunked, compressed,
 * with a name that is written with escapes, at a replayed moment) is left to the routes, which do the same.
 */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { RunOptions } from "../../inference/index.js";
import { ApiError, type Authorize, type DirectHandler, errorAnswer, type Platform, type Principal } from "../../platform/index.js";
import type { Exchange } from "./exchange.js";
import { inferByHttp, largestBody } from "./infer.js";

const address = /^\/v2\/models\/([A-Za-z0-9_.-]{1,200})(?:\/versions\/([0-9]{1,9}))?\/infer$/;
const routes = { newest: "/v2/models/:name/infer", pinned: "/v2/models/:name/versions/:version/infer" };
/** For a body to come; who is slower is looked for now and then. */
const bodyMs = 60_000;
const lookMs = 5_000;

class Caller {
  constructor(private readonly socket: Socket) {}
  get aborted(): boolean {
    return this.socket.destroyed;
  }
}
/** Whether whoever asks is still there, for `RunOptions`. */
export const callerOf = ({ socket }: IncomingMessage): RunOptions["signal"] => new Caller(socket);

export function inferDirectly({ log, clock, metrics }: Pick<Platform, "log" | "clock" | "metrics">, authorize: Authorize, exchange: Exchange): DirectHandler {
  const watch = watchBodies();

  return (request, response) => {
    if (request.method !== "POST") return false;
    const { headers, url = "" } = request;
    const [, name, version] = address.exec(url) ?? [];
    if (name === undefined || headers["transfer-encoding"] !== undefined || headers["content-encoding"] !== undefined) return false;
    if (headers["millrace-time"] !== undefined || headers.expect !== undefined) return false;
    const length = Number(headers["content-length"] ?? Number.NaN);
    if (!Number.isInteger(length) || length <= 0) return false;

    const began = performance.now();
    const done = (status: number) =>
      metrics.observeRequest("POST", version === undefined ? routes.newest : routes.pinned, status, (performance.now() - began) / 1_000);
    const fail = (error: unknown) => {
      if (response.destroyed || response.headersSent) return;
      const { status, body, retryAfter } = errorAnswer(error, log, url);
      const text = JSON.stringify({ error: body.error.message });
      // What is left of the body is not read.
      if (!request.complete) response.setHeader("connection", "close");
      if (retryAfter !== undefined) response.setHeader("retry-after", retryAfter);
      // A browser then asks its user for a name and a token.
      if (status === 401) response.setHeader("www-authenticate", 'Basic realm="Millrace", charset="UTF-8"');
      response.writeHead(status, { "content-type": "application/json; charset=utf-8", "content-length": Buffer.byteLength(text) }).end(text);
      done(status);
    };
    const answer = async (body: Buffer, caller: string) => {
      const jsonLength = headers["inference-header-content-length"];
      const said = await inferByHttp(exchange, {
        name,
        version,
        body,
        jsonLength: Array.isArray(jsonLength) ? jsonLength[0] : jsonLength,
        key: headers["millrace-key"],
        caller,
        moment: clock.now(),
        signal: callerOf(request),
      });
      const bytes = typeof said.body === "string" ? Buffer.byteLength(said.body) : said.body.length;
      response.writeHead(
        200,
        said.jsonLength === undefined
          ? { "content-type": said.type, "content-length": bytes }
          : { "content-type": said.type, "content-length": bytes, "inference-header-content-length": said.jsonLength },
      );
      response.end(said.body);
      done(200);
    };
    const read = ({ name: caller }: Principal) => {
      if (length > largestBody) throw new ApiError(413, "TOO_LARGE", `The body has ${length} bytes; at most ${largestBody} are taken.`);
      const came = watch(request);
      bodyOf(request, length, (body) => {
        came();
        if (body !== undefined) answer(body, caller).catch(fail);
      });
    };
    try {
      const principal = authorize({ headers, method: "POST", permission: "predictions:write" });
      // Not waited for where the answer is there: most requests are of a single user.
      if (principal instanceof Promise) principal.then(read).catch(fail);
      else read(principal);
    } catch (error) {
      fail(error);
    }
    return true;
  };
}

/** Undefined where the client went away before all of it came. */
function bodyOf(request: IncomingMessage, length: number, done: (body: Buffer | undefined) => void): void {
  const parts: Buffer[] = [];
  let came = 0;
  let over = false;
  const end = (body: Buffer | undefined) => {
    if (over) return;
    over = true;
    done(body);
  };
  const cut = () => end(undefined);
  request.on("data", (part: Buffer) => {
    came += part.length;
    if (came === part.length && came === length) return end(part);
    parts.push(part);
    if (came === length) end(Buffer.concat(parts, length));
  });
  request.on("error", cut);
  request.on("close", cut);
}

/** Requests whose bodies have not come whole, until what it answers is called. One timer for all of them: most are there at once. */
function watchBodies(): (request: IncomingMessage) => () => void {
  // Places that are taken again: a Map grows anew every few requests, and V8's collector keeps what its old tables hold for long.
  const watched: ({ request: IncomingMessage; began: number } | undefined)[] = [];
  const free: number[] = [];
  const looking = setInterval(() => {
    const now = performance.now();
    for (const one of watched) {
      if (one === undefined || now - one.began < bodyMs) continue;
      one.request.socket.end("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
      one.request.socket.destroySoon();
    }
  }, lookMs);
  looking.unref();
  return (request) => {
    const place = free.pop() ?? watched.length;
    watched[place] = { request, began: performance.now() };
    return () => {
      if (watched[place]?.request !== request) return;
      watched[place] = undefined;
      free.push(place);
    };
  };
}
