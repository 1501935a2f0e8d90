/** How a model's output follows from the sum of its trees. */

/** `log_odds`: the output is the logistic function of the score; `score`: the softmax of the scores of all classes. */
export type Scale = "output" | "log_odds" | "score";
export interface Link {
  target: number;
  /** The score that is explained is `offset` and `sign` times the trees' sum. */
  sign: 1 | -1;
  offset: 0 | 1;
  scale: Scale;
}

const logistic = (x: number): number => 1 / (1 + Math.exp(-x));
/** Sums of the runtime are of single precision. */
const tolerance = 1e-4;
const near = (a: number, b: number): boolean => Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b)) || Object.is(a, b);

/** The first that gives each row's output; undefined where none does. `scores` are by row, of each target. */
export function linkOf(scores: readonly (readonly number[])[], outputs: Float64Array, column: number): Link | undefined {
  const targets = scores[0]?.length ?? 0;
  for (let target = 0; target < targets; target++) {
    const raw = scores.map((row) => row[target] ?? Number.NaN);
    const all = (form: (x: number, row: number) => number) => raw.every((x, row) => near(form(x, row), outputs[row] ?? Number.NaN));
    if (all((x) => x)) return { target, sign: 1, offset: 0, scale: "output" };
    if (all(logistic)) return { target, sign: 1, offset: 0, scale: "log_odds" };
    // Of two classes that have one score, the first is the opposite of the second.
    if (all((x) => 1 - x)) return { target, sign: -1, offset: 1, scale: "output" };
    if (all((x) => logistic(-x))) return { target, sign: -1, offset: 0, scale: "log_odds" };
    if (all((x) => -x)) return { target, sign: -1, offset: 0, scale: "output" };
  }
  if (targets > 1 && column < targets) {
    const softmax = scores.every((row, at) => {
      const largest = Math.max(...row);
      const powers = row.map((x) => Math.exp(x - largest));
      return near((powers[column] ?? 0) / powers.reduce((sum, one) => sum + one, 0), outputs[at] ?? Number.NaN);
    });
    if (softmax) return { target: column, sign: 1, offset: 0, scale: "score" };
  }
  return undefined;
}
