/** Requests at a steady rate, whether or not those before them were answered, as callers who do not know of each other send them. */
import { Agent, request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

export interface LoadResult {
  asked: number;
  answered: number;
  /** What was answered otherwise, by its status or error, and how often. */
  failures: Record<string, number>;
  /** Answers a second. */
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
}
/** More than this many unanswered ones are not sent any more: they count as not answered. */
const mostOpen = 2_000;
const answerMs = 30_000;

/** Latencies are counted from the moment at which a request was due, so that one that waits to be sent is not taken for a quick one. */
export async function runLoad(
  url: string,
  headers: Record<string, string>,
  bodies: readonly string[],
  { perSecond, forMs, signal }: { perSecond: number; forMs: number; signal: AbortSignal },
): Promise<LoadResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  const asked = Math.max(1, Math.round((perSecond * forMs) / 1_000));
  const latencies: number[] = [];
  const failures: Record<string, number> = {};
  const fail = (why: string) => {
    failures[why] = (failures[why] ?? 0) + 1;
  };
  const open = new Set<Promise<void>>();
  const began = performance.now();
  try {
    for (let sent = 0; sent < asked; ) {
      signal.throwIfAborted();
      const due = Math.min(asked, Math.floor(((performance.now() - began) * perSecond) / 1_000) + 1);
      for (; sent < due; sent++) {
        const dueAt = began + (sent * 1_000) / perSecond;
        if (open.size >= mostOpen) {
          fail(`${mostOpen} wait already`);
          continue;
        }
        const one = post(agent, url, headers, bodies[sent % bodies.length] ?? "")
          .then((status) => (status === 200 ? void latencies.push(performance.now() - dueAt) : fail(`status ${status}`)))
          .catch((error: Error) => fail(error.message))
          .finally(() => open.delete(one));
        open.add(one);
      }
      await delay(1);
    }
    await Promise.all(open);
  } finally {
    agent.destroy();
  }
  const seconds = Math.max(forMs, performance.now() - began) / 1_000;
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.min(latencies.length - 1, Math.ceil(share * latencies.length) - 1)] ?? Number.MAX_SAFE_INTEGER;
  return { asked, answered: latencies.length, failures, perSecond: latencies.length / seconds, p50Ms: at(0.5), p99Ms: at(0.99) };
}

function post(agent: Agent, url: string, headers: Record<string, string>, body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: "POST", agent, headers: { ...headers, "content-length": Buffer.byteLength(body) }, timeout: answerMs }, (answer) => {
      answer.on("error", reject);
      answer.on("end", () => resolve(answer.statusCode ?? 0));
      answer.resume();
    });
    sent.on("timeout", () => sent.destroy(new Error(`no answer within ${answerMs / 1_000} s`)));
    sent.on("error", reject);
    sent.end(body);
  });
}
