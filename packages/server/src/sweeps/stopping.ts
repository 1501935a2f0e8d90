/** Which trials are ended early. Both rules look at what trials have said by step, and nothing else. */
import type { Goal, StopSpec } from "@millrace/sdk/spec";

export interface Curve {
  n: number;
  /** Of a trial that ran to its end. */
  complete: boolean;
  /** Of one that runs: up to which step it was judged already. */
  judged: number;
  /** Step and value, by step. */
  points: readonly (readonly [step: number, value: number])[];
}
export interface Verdict {
  n: number;
  judged: number;
  /** Why it ends; undefined: it goes on. */
  stop?: string;
}

/** What is to be said about a trial that runs; undefined where nothing is new. */
export function judge(stop: StopSpec, { direction }: Pick<Goal, "direction">, trial: Curve, all: readonly Curve[]): Verdict | undefined {
  const better = direction === "maximize" ? (a: number, b: number) => a > b : (a: number, b: number) => a < b;
  return stop.kind === "asha" ? asha(stop, better, trial, all) : median(stop, better, trial, all);
}
type Better = (a: number, b: number) => boolean;

/**
 * Li et al. 2018, algorithm 2, in its stopping form: a trial that reaches a rung goes on if it is among the best floor(n / reduction), at least
 * one, of the n that have reached it so far.
 */
function asha({ reduction = 3, minSteps = 1 }: Extract<StopSpec, { kind: "asha" }>, better: Better, trial: Curve, all: readonly Curve[]): Verdict | undefined {
  const reached = trial.points.at(-1)?.[0];
  if (reached === undefined) return undefined;
  let judged = trial.judged;
  let found = false;
  for (let rung = minSteps; rung <= reached; rung *= reduction) {
    if (rung <= trial.judged) continue;
    found = true;
    judged = rung;
    const mine = at(trial, rung);
    if (mine === undefined) continue;
    const others = all.flatMap((one) => (one.n === trial.n ? [] : (at(one, rung) ?? [])));
    const rank = others.filter((value) => better(value, mine)).length;
    const places = Math.max(1, Math.floor((others.length + 1) / reduction));
    if (rank >= places)
      return {
        n: trial.n,
        judged,
        stop: `at step ${rung} it is number ${rank + 1} of ${others.length + 1}, and the first ${places === 1 ? "one goes" : `${places} go`} on`,
      };
  }
  return found ? { n: trial.n, judged } : undefined;
}
/** A rung's value is the first one at its step or after it. */
const at = ({ points }: Curve, rung: number): number | undefined => points.find(([step, value]) => step >= rung && Number.isFinite(value))?.[1];

/** Golovin et al. 2017, 3.2.2: worse at its best than the median of the running means of those that are complete, up to the same step. */
function median({ warmUp = 1, trials = 3 }: Extract<StopSpec, { kind: "median" }>, better: Better, trial: Curve, all: readonly Curve[]): Verdict | undefined {
  const step = trial.points.at(-1)?.[0];
  if (step === undefined || step <= trial.judged) return undefined;
  const going = { n: trial.n, judged: step };
  if (step <= warmUp) return going;
  const means = all.flatMap((one) => {
    if (!one.complete || one.n === trial.n) return [];
    const values = one.points.flatMap(([s, value]) => (s <= step && Number.isFinite(value) ? [value] : []));
    return values.length === 0 ? [] : [values.reduce((sum, value) => sum + value, 0) / values.length];
  });
  if (means.length < trials) return going;
  const best = trial.points.reduce<number | undefined>(
    (a, [, value]) => (!Number.isFinite(value) || (a !== undefined && !better(value, a)) ? a : value),
    undefined,
  );
  const middle = medianOf(means);
  if (best !== undefined && !better(middle, best)) return going;
  return {
    ...going,
    stop: `up to step ${step} its best is ${best === undefined ? "no number" : rounded(best)}, and the median of ${means.length} others ${rounded(middle)}`,
  };
}

function medianOf(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[half] ?? Number.NaN) : ((sorted[half - 1] ?? Number.NaN) + (sorted[half] ?? Number.NaN)) / 2;
}
const rounded = (value: number): number => Number(value.toPrecision(5));
