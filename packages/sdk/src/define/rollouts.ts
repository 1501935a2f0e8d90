import type { JudgeSpec, LossSpec, RolloutSpec } from "../spec.js";
import type { DurationText } from "./definition.js";
import type { Entity } from "./features.js";
import { given } from "./place.js";
import type { MetricName } from "./steps.js";

export type Percent = `${number}%`;
export const shareOf = (percent: Percent): number => Number(percent.slice(0, -1)) / 100;

export interface Rollout {
  readonly spec: RolloutSpec;
}
/** A column of the request, several, or an entity, whose keys they are. */
type Sticky = string | readonly string[] | Entity;
function columnsOf(sticky: Sticky | undefined): string[] | undefined {
  if (sticky === undefined) return undefined;
  if (typeof sticky === "string") return [sticky];
  return "keys" in sticky ? Object.keys(sticky.keys) : [...sticky];
}

export type CanaryStep = Percent | { weight: Percent; each?: DurationText; hold?: true };
/** A new version takes a growing part of the traffic, and goes back to none as soon as a judge says no. A step with `hold` waits until somebody says go on. */
export const canary = (options: { steps: readonly CanaryStep[]; each: DurationText; judge: readonly JudgeSpec[]; stickyBy?: Sticky }): Rollout => ({
  spec: given({
    kind: "canary" as const,
    steps: options.steps.map((step) => (typeof step === "string" ? shareOf(step) : given({ ...step, weight: shareOf(step.weight) }))),
    each: options.each,
    judge: [...options.judge],
    stickyBy: columnsOf(options.stickyBy),
  }),
});
/** A new version takes all traffic at once, when every process has it in memory. While it is watched, the judges may bring the one before it back. */
export const blueGreen = (options: { watch: DurationText; judge: readonly JudgeSpec[] }): Rollout => ({
  spec: { kind: "blue_green", watch: options.watch, judge: [...options.judge] },
});
/** A new version is given a copy of requests; what it answers is kept and compared, and returned to nobody. */
export const shadow = (options: { share?: Percent; each: DurationText; judge: readonly JudgeSpec[]; passed?: "wait" | "promote" }): Rollout => ({
  spec: { kind: "shadow", share: shareOf(options.share ?? "100%"), each: options.each, judge: [...options.judge], passed: options.passed ?? "wait" },
});
/** A new version has a fixed part of the traffic until somebody decides. */
export const split = (options: { weight: Percent; stickyBy?: Sticky }): Rollout => ({
  spec: given({ kind: "split" as const, weight: shareOf(options.weight), stickyBy: columnsOf(options.stickyBy) }),
});
/**
 * An A/B/n test: the versions behind these aliases against the stable one, by what came of each key. It begins when the last of the aliases is set, and ends with a winner, or with none.
 * `test: "fixed"` (the default) says nothing before each arm has the sample that `effect`, `alpha` and `power` ask for; `sequential` looks all the time and may end early.
 */
export const experiment = (options: {
  arms: Readonly<Record<string, Percent>>;
  metric: { label: "increase" | "decrease"; from?: number; to?: number } | { loss: LossSpec };
  effect: number;
  alpha?: number;
  power?: number;
  variance?: number;
  test?: "fixed" | "sequential";
  promote?: boolean;
  stickyBy?: Sticky;
}): Rollout => ({
  spec: given({
    kind: "experiment" as const,
    arms: Object.entries(options.arms).map(([alias, weight]) => ({ alias, weight: shareOf(weight) })),
    metric:
      "label" in options.metric
        ? { kind: "label" as const, goal: options.metric.label, from: options.metric.from ?? 0, to: options.metric.to ?? 1 }
        : { kind: "loss" as const, loss: options.metric.loss },
    effect: options.effect,
    alpha: options.alpha ?? 0.05,
    power: options.power ?? 0.8,
    variance: options.variance,
    test: options.test ?? "fixed",
    promote: options.promote ?? false,
    stickyBy: columnsOf(options.stickyBy),
  }),
});

export const errorRate = {
  /** The candidate's share of requests that ended in an error, once `minRequests` (default 100) came. */
  below: (share: Percent, { minRequests = 100 }: { minRequests?: number } = {}): JudgeSpec => ({
    kind: "error_rate_below",
    share: shareOf(share),
    minRequests,
  }),
};
/** A quantile of the time that an answer takes, once both versions have `minRequests` (default 500). */
export const responseTime = (quantile: "p50" | "p90" | "p95" | "p99") => {
  const of = (bound: { ms: number } | { ratio: number }, minRequests: number): JudgeSpec => ({
    kind: "latency_below",
    quantile: Number(quantile.slice(1)) / 100,
    ...bound,
    minRequests,
  });
  return {
    below: (ms: number, { minRequests = 500 }: { minRequests?: number } = {}): JudgeSpec => of({ ms }, minRequests),
    /** Against the stable version's in the same time: 1.2 is a fifth more. */
    belowRatio: (ratio: number, { minRequests = 500 }: { minRequests?: number } = {}): JudgeSpec => of({ ratio }, minRequests),
  };
};
export const predictionDrift = {
  /** The population stability index of the candidate's answers against the stable version's, once both have `minRows` (default 1,000). */
  below: (psi: number, { minRows = 1_000 }: { minRows?: number } = {}): JudgeSpec => ({ kind: "drift_below", psi, minRows }),
};
/** Of a shadow. */
export const agreement = {
  /** The share of rows whose answers differ by `within` (default 0.05) at most, once `minRows` (default 1,000) were compared. */
  above: (share: Percent, { within = 0.05, minRows = 1_000 }: { within?: number; minRows?: number } = {}): JudgeSpec => ({
    kind: "agreement_above",
    share: shareOf(share),
    within,
    minRows,
  }),
};
export const metric = (name: MetricName) => ({
  /** The candidate's metric on its labelled predictions is not worse than the stable version's by more than `by`, once both have `minLabels` (default 200). */
  notWorse: ({ by, minLabels = 200 }: { by: number; minLabels?: number }): JudgeSpec => ({ kind: "metric_not_worse", metric: name, by, minLabels }),
});
const losses = {
  brier: { kind: "brier" },
  log_loss: { kind: "log_loss" },
  zero_one: { kind: "zero_one" },
} as const satisfies Record<string, LossSpec>;
/** How far an answer is from its label: of probabilities, or of numbers whose errors are cut at a bound. */
export const loss = {
  ...losses,
  absoluteError: (bound: number): LossSpec => ({ kind: "absolute_error", bound }),
  squaredError: (bound: number): LossSpec => ({ kind: "squared_error", bound }),
  /**
   * A sequential test, which may look at each new label: the rollout goes on when the candidate's mean loss is above the stable version's by less than `by`, and is rolled back when it is
   * by more, each with an error of `alpha` (default 5%) however often it is looked at.
   */
  notWorse: (of: keyof typeof losses | LossSpec, { by, alpha = 0.05 }: { by: number; alpha?: number }): JudgeSpec => ({
    kind: "loss_not_worse",
    loss: typeof of === "string" ? losses[of] : of,
    by,
    alpha,
  }),
};
