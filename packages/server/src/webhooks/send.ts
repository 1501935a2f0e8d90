/** One request to a receiver: signed as MLflow does it, without following redirects, and within limits. */
import { createHmac } from "node:crypto";
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { isIP } from "node:net";
import { BlockedError, notAllowed, type Reach } from "./addresses.js";
import type { Sent } from "./types.js";

const largestAnswer = 64 * 1024;
/** What a receiver says when it may be able to later. */
const passing = new Set([408, 425, 429]);

export interface Letter {
  url: string;
  secret: string | null;
  deliveryId: string;
  body: string;
}

export async function send(
  { url, secret, deliveryId, body }: Letter,
  { reach, timeoutMs, stop }: { reach: Reach; timeoutMs: number; stop: AbortSignal },
): Promise<Sent> {
  const timestamp = String(Math.floor(Date.now() / 1_000));
  const headers = {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "user-agent": "millrace-webhooks",
    "x-mlflow-delivery-id": deliveryId,
    "x-mlflow-timestamp": timestamp,
    ...(secret === null ? {} : { "x-mlflow-signature": signature(secret, deliveryId, timestamp, body) }),
  };
  const late = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([late, stop]);
  try {
    const answer = await post(new URL(url), headers, body, reach, signal);
    const status = answer.statusCode ?? 0;
    const text = await read(answer);
    if (status >= 200 && status < 300) return { status, body: text, again: false };
    const error = status >= 300 && status < 400 ? `It answered ${status}: redirects are not followed.` : `It answered ${status}.`;
    const after = retryAfter(answer.headers["retry-after"]);
    return { status, body: text, error, again: status >= 500 || passing.has(status), ...(after === undefined ? {} : { retryAfterMs: after }) };
  } catch (error) {
    if (error instanceof BlockedError) return { error: error.message, again: false };
    if (stop.aborted) return { error: "The server was stopped.", again: true, cutOff: true };
    if (late.aborted) return { error: `There was no answer within ${timeoutMs / 1_000} s.`, again: true };
    return { error: reason(error), again: true };
  }
}

/** `v1,` and the HMAC, by the secret, of id, time and body with points between them. */
export function signature(secret: string, deliveryId: string, timestamp: string, body: string): string {
  return `v1,${createHmac("sha256", secret).update(`${deliveryId}.${timestamp}.${body}`).digest("base64")}`;
}

function post(url: URL, headers: Record<string, string | number>, body: string, reach: Reach, signal: AbortSignal): Promise<IncomingMessage> {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  return new Promise((resolve, reject) => {
    // Numbers are not looked up.
    if (isIP(host) !== 0 && !reach.allows(host)) return reject(new BlockedError(notAllowed(host)));
    const options = { method: "POST", headers, agent: false as const, lookup: reach.lookup, signal };
    const sent = url.protocol === "https:" ? requestHttps(url, options) : requestHttp(url, options);
    sent.on("response", resolve);
    sent.on("error", reject);
    sent.end(body);
  });
}

/** As much of an answer as is kept. */
async function read(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    parts.push(part);
    size += part.length;
    // Leaving the loop ends the connection.
    if (size >= largestAnswer) break;
  }
  return Buffer.concat(parts).subarray(0, largestAnswer).toString("utf8").replaceAll("\0", "");
}

function retryAfter(told: string | undefined): number | undefined {
  if (told === undefined) return undefined;
  const ms = /^[0-9]{1,6}$/.test(told) ? 1_000 * Number(told) : Date.parse(told) - Date.now();
  return Number.isNaN(ms) || ms < 0 ? undefined : ms;
}

function reason(error: unknown): string {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const code = first instanceof Error && "code" in first ? String(first.code) : undefined;
  switch (code) {
    case "ECONNREFUSED":
      return "The connection was refused.";
    case "ECONNRESET":
    case "EPIPE":
      return "The connection was cut off.";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "The name could not be resolved.";
    default:
      return `The request failed${first instanceof Error ? `: ${first.message}` : ""}.`;
  }
}
