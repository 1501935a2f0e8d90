import type { Database } from "../../platform/index.js";
import { addTo, merge } from "./sketch.js";
import { addTally, noTally, type Tally } from "./store.js";

export interface Answered {
  rows: number;
  prediction(row: number): number | null;
}
/** What the versions of rollouts do in this process, until it becomes a part of what all know. */
export interface Tallies {
  answered(rollout: string, version: number, ms: number, answer: Answered): void;
  failed(rollout: string, version: number): void;
  /** A copy's answer beside what was answered. */
  compared(rollout: string, version: number, rows: { compared: number; agreed: number; difference: number }): void;
  dropped(rollout: string, version: number): void;
  /** Writes what was counted; what could not be written is kept. */
  settle(): Promise<void>;
}

export function openTallies(db: Database): Tallies {
  let counted = new Map<string, Map<number, Tally>>();
  function of(rollout: string, version: number): Tally {
    let versions = counted.get(rollout);
    if (versions === undefined) {
      versions = new Map();
      counted.set(rollout, versions);
    }
    let tally = versions.get(version);
    if (tally === undefined) {
      tally = noTally();
      versions.set(version, tally);
    }
    return tally;
  }
  return {
    answered(rollout, version, ms, answer) {
      const tally = of(rollout, version);
      tally.requests++;
      tally.rows += answer.rows;
      addTo(tally.latency, ms);
      for (let row = 0; row < answer.rows; row++) {
        const value = answer.prediction(row);
        if (value !== null) addTo(tally.predictions, value);
      }
    },
    failed(rollout, version) {
      const tally = of(rollout, version);
      tally.requests++;
      tally.errors++;
    },
    compared(rollout, version, { compared, agreed, difference }) {
      const tally = of(rollout, version);
      tally.compared += compared;
      tally.agreed += agreed;
      tally.difference += difference;
    },
    dropped: (rollout, version) => void of(rollout, version).dropped++,
    async settle() {
      const whole = counted;
      counted = new Map();
      for (const [rollout, versions] of whole) {
        for (const [version, tally] of versions) {
          try {
            await addTally(db, rollout, version, tally);
            versions.delete(version);
          } catch (error) {
            for (const [left, theirs] of whole) for (const [one, rest] of theirs) add(of(left, one), rest);
            throw error;
          }
        }
      }
    },
  };
}

function add(into: Tally, more: Tally): void {
  for (const name of ["requests", "errors", "rows", "compared", "agreed", "difference", "dropped"] as const) into[name] += more[name];
  merge(into.latency, more.latency);
  merge(into.predictions, more.predictions);
}
