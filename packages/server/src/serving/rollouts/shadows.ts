/** Copies of requests for a version that is tried in the shadow: beside the answers, never before them. */
import { setTimeout as delay } from "node:timers/promises";
import type { Log } from "../../platform/index.js";
import type { Asked, Ran } from "../asked.js";
import type { Tallies } from "./tally.js";

/** What waits: more copies find no room, and are counted as dropped. */
const mostCopies = 256;
const mostBytes = 32 * 1024 * 1024;
/** So many go through the model at once; then it rests for as many times as long as that took, so that requests have the processor for most of the time. */
const atOnce = 16;
const rests = 3;
const longestRestMs = 1_000;
/** A copy that takes longer has failed. */
const patienceMs = 30_000;

export interface Copy {
  endpoint: string;
  rollout: { id: string; candidate: number; within: number };
  asked: Asked;
  /** What was answered. */
  answered: Ran;
  /** About how much memory it holds. */
  bytes: number;
  /** Puts what the candidate says into the log. */
  keep(ran: Ran): Promise<void>;
}
export interface Shadows {
  /** Takes the copy, or drops it; never waits. */
  offer(copy: Copy): void;
  stop(): void;
}

export function openShadows({ tallies, log }: { tallies: Tallies; log: Log }): Shadows {
  let waiting: Copy[] = [];
  let bytes = 0;
  let working = false;
  let stopped = false;

  async function work(): Promise<void> {
    while (waiting.length > 0 && !stopped) {
      // After whoever is to be answered in this turn of the event loop.
      await new Promise((resolve) => setImmediate(resolve));
      const batch = waiting.splice(0, atOnce);
      for (const copy of batch) bytes -= copy.bytes;
      const began = performance.now();
      await Promise.all(batch.map(one));
      await delay(Math.min(longestRestMs, rests * (performance.now() - began)), undefined, { ref: false });
    }
  }
  async function one({ endpoint, rollout: { id, candidate, within }, asked, answered, keep }: Copy): Promise<void> {
    const began = performance.now();
    const late = new AbortController();
    try {
      const ran = await Promise.race([
        asked.run(candidate),
        delay(patienceMs, undefined, { ref: false, signal: late.signal }).then(() => Promise.reject(new Error(`it gave no answer in ${patienceMs / 1_000} s`))),
      ]);
      tallies.answered(id, candidate, performance.now() - began, ran);
      tallies.compared(id, candidate, compare(ran, answered, within));
      await keep(ran);
    } catch (error) {
      tallies.failed(id, candidate);
      log.debug({ endpoint, version: candidate, reason: (error as Error).message }, "the candidate failed a copy of a request");
    } finally {
      late.abort();
    }
  }

  return {
    offer(copy) {
      if (stopped || waiting.length >= mostCopies || bytes + copy.bytes > mostBytes) return tallies.dropped(copy.rollout.id, copy.rollout.candidate);
      waiting.push(copy);
      bytes += copy.bytes;
      if (working) return;
      working = true;
      void work().finally(() => {
        working = false;
      });
    },
    stop() {
      stopped = true;
      waiting = [];
    },
  };
}

/** Row by row, where both have a number. */
function compare(theirs: Ran, ours: Ran, within: number): { compared: number; agreed: number; difference: number } {
  const found = { compared: 0, agreed: 0, difference: 0 };
  for (let row = 0; row < Math.min(theirs.rows, ours.rows); row++) {
    const [a, b] = [theirs.prediction(row), ours.prediction(row)];
    if (a === null || b === null) continue;
    const distance = Math.abs(a - b);
    found.compared++;
    found.difference += distance;
    if (distance <= within) found.agreed++;
  }
  return found;
}
