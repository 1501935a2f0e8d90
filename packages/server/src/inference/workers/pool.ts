/** Several workers of one model: a call goes to one that is free, and a worker that ends is followed by another. */
import { setTimeout as delay } from "node:timers/promises";
import { ApiError, type Log } from "../../platform/index.js";
import type { RunOptions, Tensor } from "../types.js";
import { type Worker, WorkerEnded } from "./worker.js";

export interface Pool {
  call(inputs: readonly Tensor[], options?: RunOptions): Promise<Tensor[]>;
  readonly bytes: number;
  /** Waits for what is under way. */
  close(): Promise<void>;
}

const longestPauseMs = 30_000;
/** A worker that lived so long is followed by another at once. */
const healthyMs = 60_000;
const mostWaiting = 1_000;

interface Asked {
  inputs: readonly Tensor[];
  options: RunOptions | undefined;
  again: boolean;
  done(tensors: Tensor[]): void;
  failed(error: unknown): void;
}

/** Resolves when all of the first workers are ready; throws where one can't be. */
export async function openPool(size: number, start: () => Promise<Worker>, log: Log): Promise<Pool> {
  const waiting: Asked[] = [];
  const free: Worker[] = [];
  const all = new Set<Worker>();
  const closing = new AbortController();
  let underWay = 0;
  let idle: (() => void) | undefined;

  async function first(): Promise<Worker[]> {
    const tried = await Promise.allSettled(Array.from({ length: size }, start));
    const made = tried.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    const failed = tried.find((one) => one.status === "rejected");
    if (failed === undefined) return made;
    await Promise.all(made.map((worker) => worker.stop()));
    throw failed.reason;
  }

  function dispatch(): void {
    while (waiting.length > 0) {
      const worker = free.pop();
      if (worker === undefined) return;
      const asked = nextAsked();
      if (asked === undefined) {
        free.push(worker);
        return;
      }
      underWay++;
      void serve(worker, asked).finally(() => {
        underWay--;
        if (all.has(worker)) free.push(worker);
        dispatch();
        if (underWay === 0 && waiting.length === 0) idle?.();
      });
    }
  }
  /** Whoever no longer waits is passed over. */
  function nextAsked(): Asked | undefined {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
      const { deadline, signal } = one.options ?? {};
      if (deadline !== undefined && deadline <= performance.now())
        one.failed(new ApiError(504, "DEADLINE_EXCEEDED", "The model did not answer within the time that the request gives it."));
      else if (signal?.aborted === true) one.failed(new ApiError(499, "CANCELLED", "The client went away before the model was asked."));
      else return one;
    }
    return undefined;
  }
  async function serve(worker: Worker, asked: Asked): Promise<void> {
    try {
      asked.done(await worker.call(asked.inputs));
    } catch (error) {
      if (!(error instanceof WorkerEnded)) return asked.failed(error);
      all.delete(worker);
      if (asked.again) return asked.failed(new Error(`the model's worker ended while it was at work, and so did the next: ${error.message}`));
      waiting.unshift({ ...asked, again: true });
    }
  }

  /** Keeps one place filled until the pool is closed. */
  async function keep(worker: Worker | undefined): Promise<void> {
    let failures = 0;
    for (let now = worker; !closing.signal.aborted; now = undefined) {
      const began = performance.now();
      try {
        const running = now ?? (await start());
        if (closing.signal.aborted) return await running.stop();
        all.add(running);
        free.push(running);
        dispatch();
        const why = await running.ended;
        all.delete(running);
        const at = free.indexOf(running);
        if (at >= 0) free.splice(at, 1);
        if (closing.signal.aborted) return;
        failures = performance.now() - began > healthyMs ? 0 : failures + 1;
        log.warn({ reason: why }, "a worker of the model ended; another one takes its place");
      } catch (error) {
        failures++;
        const reason = error instanceof Error ? error.message : String(error);
        log.error({ reason }, "no worker of the model could be started");
        // Nobody waits for what may never come.
        if (all.size === 0) for (const asked of waiting.splice(0)) asked.failed(new Error(`none of the model's workers can be started: ${reason}`));
      }
      const pauseMs = failures <= 1 ? 0 : Math.min(longestPauseMs, 500 * 2 ** (failures - 2));
      await delay(pauseMs, undefined, { signal: closing.signal }).catch(() => {});
    }
  }

  const kept = (await first()).map(keep);
  return {
    call: (inputs, options) =>
      new Promise((done, failed) => {
        if (waiting.length >= mostWaiting)
          return failed(
            new ApiError(
              429,
              "OVERLOADED",
              `The model has more to do than it can: ${waiting.length} requests wait for it. Send the request again in a moment.`,
            ),
          );
        waiting.push({ inputs, options, again: false, done, failed });
        dispatch();
      }),
    get bytes() {
      let bytes = 0;
      for (const worker of all) bytes += worker.bytes;
      return bytes;
    },
    async close() {
      if (underWay > 0 || waiting.length > 0)
        await new Promise<void>((resolve) => {
          idle = resolve;
        });
      closing.abort();
      await Promise.all([...all].map((worker) => worker.stop()));
      await Promise.all(kept);
    },
  };
}
