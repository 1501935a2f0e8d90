/** HTTP to the head of a cluster, with the patience that a restart there asks for. Over node:http: some heads refuse what looks like a browser, as `fetch` does. */
import type { Agent, IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { request as overHttp } from "node:http";
import { request as overHttps } from "node:https";
import { setTimeout as delay } from "node:timers/promises";
import { version } from "../platform/index.js";

const largestAnswer = 256 * 1024 ** 2;
/** For so long a head that does not answer is waited for; then the job is given up. */
const awayMs = 120_000;
const answerMs = 30_000;

/** The head could not be reached, or was not ready, for long. */
export class Away extends Error {}
/** It answered, and the answer is no. */
export class Refused extends Error {}

export interface Answer {
  status: number;
  text: string;
}
export interface Asked {
  method: "GET" | "POST" | "PATCH" | "DELETE";
  headers?: OutgoingHttpHeaders;
  body?: unknown;
  agent?: Agent;
  signal?: AbortSignal;
}

/** Asked again where nobody answers, or only that it can't now. After `tries` its last answer is taken for one. */
export async function patiently(signal: AbortSignal, ask: () => Promise<Answer>, tries = Number.POSITIVE_INFINITY): Promise<Answer> {
  const until = performance.now() + awayMs;
  for (let n = 1; ; n++) {
    signal.throwIfAborted();
    let reason: string;
    try {
      const answer = await ask();
      if ((answer.status < 500 && answer.status !== 429) || n >= tries) return answer;
      reason = `it answered ${answer.status}`;
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
      if (n >= tries) return { status: 0, text: reason };
    }
    if (performance.now() > until) throw new Away(reason);
    await delay(Math.min(500 * 2 ** Math.min(n, 5), 10_000), undefined, { signal });
  }
}

/** The whole answer, within 30 s from one part of it to the next. */
export async function answerOf(url: URL, asked: Asked): Promise<Answer> {
  const response = await open(url, asked);
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > largestAnswer) throw new Error("the answer is too large");
    parts.push(part);
  }
  return { status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() };
}

/** The answer as it comes. `idleMs`: for how long it may say nothing. */
export function open(url: URL, { method, headers, body, agent, signal }: Asked, idleMs = answerMs): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = body === undefined ? undefined : JSON.stringify(body);
    const request = (url.protocol === "https:" ? overHttps : overHttp)(
      url,
      {
        ...{ method, timeout: idleMs },
        ...(agent === undefined ? {} : { agent }),
        ...(signal === undefined ? {} : { signal }),
        headers: {
          "user-agent": `millrace/${version}`,
          ...(sent === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(sent) }),
          ...headers,
        },
      },
      resolve,
    );
    request.once("timeout", () => request.destroy(new Error(`it did not answer within ${idleMs / 1_000} s`)));
    // It stays: what breaks off later is told to whoever reads the answer, and here again.
    request.on("error", reject);
    request.end(sent);
  });
}

export const lastLine = (text: string): string => text.trim().split("\n").at(-1)?.slice(0, 500) ?? "";
