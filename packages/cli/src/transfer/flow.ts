/** Batches of a bounded size, a bounded number of them under way, and patience with a server that is not there for a moment. */
import { setTimeout as delay } from "node:timers/promises";
import { ApiError } from "@millrace/sdk/client";
import { CliError } from "../errors.js";

export function* batches<T>(items: readonly T[], most: number, mostBytes: number): Iterable<T[]> {
  let batch: T[] = [];
  let bytes = 0;
  for (const item of items) {
    const size = JSON.stringify(item).length;
    if (batch.length > 0 && (batch.length >= most || bytes + size > mostBytes)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(item);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

export function inFlight(most: number) {
  const running = new Set<Promise<void>>();
  let failed: { error: unknown } | undefined;
  return {
    /** Waits for room. Throws what one before has thrown. */
    async add(work: () => Promise<void>): Promise<void> {
      while (running.size >= most) await Promise.race(running);
      if (failed !== undefined) throw failed.error;
      const one: Promise<void> = work()
        .catch((error: unknown) => {
          failed ??= { error };
        })
        .finally(() => running.delete(one));
      running.add(one);
    },
    async end(): Promise<void> {
      await Promise.all(running);
      if (failed !== undefined) throw failed.error;
    },
  };
}

const pausesMs = [200, 500, 1_000, 2_000, 5_000];
/** Repeats what can be repeated while the server is busy or away. */
export async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (const pause of pausesMs) {
    try {
      return await work();
    } catch (error) {
      const busy = error instanceof ApiError && [429, 502, 503, 504].includes(error.status);
      if (!busy && !(error instanceof CliError && /^No server answers|can't be reached/.test(error.message))) throw error;
      await delay(pause);
    }
  }
  return work();
}
