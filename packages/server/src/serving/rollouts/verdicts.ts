/** What the judges of a rollout say about what its versions did. Those that look at labels are in labelled.ts. */
import type { JudgeSpec } from "@millrace/sdk/spec";
import { populationStability } from "../../evaluation/index.js";
import { quantile, sameBins, sizeOf } from "./sketch.js";
import { noTally, type Tally } from "./store.js";

export interface Verdict {
  failed: boolean;
  /** There is too little to say. */
  undecided: boolean;
  why: string;
}
type Of<K extends JudgeSpec["kind"]> = Extract<JudgeSpec, { kind: K }>;

export const percent = (share: number): string => `${Number((share * 100).toFixed(2))}%`;
const undecided = (why: string): Verdict => ({ failed: false, undecided: true, why });

/** Undefined where the judge looks at something else. */
export function verdictOf(judge: JudgeSpec, candidate: Tally = noTally(), stable: Tally = noTally()): Verdict | undefined {
  switch (judge.kind) {
    case "error_rate_below":
      return errorRate(judge, candidate);
    case "latency_below":
      return latency(judge, candidate, stable);
    case "drift_below":
      return drift(judge, candidate, stable);
    case "agreement_above":
      return agreement(judge, candidate);
    default:
      return undefined;
  }
}

function errorRate({ share, minRequests }: Of<"error_rate_below">, { requests, errors }: Tally): Verdict {
  const rate = requests === 0 ? 0 : errors / requests;
  const why = `It failed ${errors} of ${requests} requests (${percent(rate)}), ${rate < share ? "below" : "not below"} the bound of ${percent(share)}.`;
  // As many errors as the whole sample may have are enough to know.
  const known = requests >= minRequests || errors >= Math.max(1, share * minRequests);
  return { failed: known && rate >= share, undecided: !known, why };
}

function latency({ quantile: share, ms, ratio, minRequests }: Of<"latency_below">, candidate: Tally, stable: Tally): Verdict {
  const name = `p${Number((share * 100).toFixed(1))}`;
  const answered = candidate.requests - candidate.errors;
  const theirs = quantile(candidate.latency, share);
  if (theirs === null || answered < minRequests) return undecided(`It answered ${answered} of the ${minRequests} requests that its ${name} is told of.`);
  if (ms !== undefined) {
    const why = `Its ${name} is ${theirs.toFixed(2)} ms, ${theirs < ms ? "below" : "not below"} the bound of ${ms} ms.`;
    return { failed: theirs >= ms, undecided: false, why };
  }
  const ours = quantile(stable.latency, share);
  const beside = stable.requests - stable.errors;
  if (ours === null || beside < minRequests)
    return undecided(`The stable version answered ${beside} of the ${minRequests} requests that its ${name} is told of.`);
  const allowed = ours * (ratio ?? 1);
  const why = `Its ${name} is ${theirs.toFixed(2)} ms, that of the stable version ${ours.toFixed(2)} ms: ${(theirs / ours).toFixed(2)} times, ${theirs < allowed ? "below" : "not below"} the bound of ${ratio ?? 1}.`;
  return { failed: theirs >= allowed, undecided: false, why };
}

function drift({ psi, minRows }: Of<"drift_below">, candidate: Tally, stable: Tally): Verdict {
  const [theirs, ours] = [sizeOf(candidate.predictions), sizeOf(stable.predictions)];
  if (theirs < minRows || ours < minRows) return undecided(`${Math.min(theirs, ours)} of ${minRows} answers that are numbers came from each version.`);
  const { first, second } = sameBins(stable.predictions, candidate.predictions);
  const index = populationStability(first, second) ?? 0;
  const why = `The PSI of its ${theirs} answers against the stable version's ${ours} is ${index.toFixed(3)}, ${index < psi ? "below" : "not below"} the bound of ${psi}.`;
  return { failed: index >= psi, undecided: false, why };
}

function agreement({ share, within, minRows }: Of<"agreement_above">, { compared, agreed, difference }: Tally): Verdict {
  if (compared < minRows) return undecided(`${compared} of ${minRows} rows were compared.`);
  const found = agreed / compared;
  const why = `${percent(found)} of ${compared} answers are within ${within} of what was answered, ${found > share ? "above" : "not above"} the bound of ${percent(share)}; they differ by ${(difference / compared).toFixed(4)} on average.`;
  return { failed: found <= share, undecided: false, why };
}
