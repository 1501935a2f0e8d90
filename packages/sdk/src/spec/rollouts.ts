import { type Static, Type } from "@sinclair/typebox";
import { closed, Duration } from "./common.js";

/** How far an answer is from its label, of one row. `log_loss` is of probabilities cut to [0.001, 0.999]; `bound` cuts the errors of numbers. */
export const LossSpec = Type.Union([
  Type.Object({ kind: Type.Literal("brier") }, closed),
  Type.Object({ kind: Type.Literal("log_loss") }, closed),
  /** The answer, rounded at one half, is not the label. */
  Type.Object({ kind: Type.Literal("zero_one") }, closed),
  Type.Object({ kind: Type.Literal("absolute_error"), bound: Type.Number({ exclusiveMinimum: 0 }) }, closed),
  Type.Object({ kind: Type.Literal("squared_error"), bound: Type.Number({ exclusiveMinimum: 0 }) }, closed),
]);
export type LossSpec = Static<typeof LossSpec>;

/** A condition under which a rollout goes on. */
export const JudgeSpec = Type.Union([
  /** The candidate's share of requests answered with an error, 0 to 1, once `minRequests` came. */
  Type.Object({ kind: Type.Literal("error_rate_below"), share: Type.Number(), minRequests: Type.Integer() }, closed),
  /** A quantile of the candidate's latency, 0 to 1, against a bound in milliseconds, or against the stable version's times `ratio`; once both have `minRequests`. */
  Type.Object(
    {
      kind: Type.Literal("latency_below"),
      quantile: Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 1 }),
      ms: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
      ratio: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
      minRequests: Type.Integer({ minimum: 1 }),
    },
    closed,
  ),
  /** The population stability index of the candidate's answers against the stable version's, once both have `minRows`. */
  Type.Object({ kind: Type.Literal("drift_below"), psi: Type.Number({ exclusiveMinimum: 0 }), minRows: Type.Integer({ minimum: 1 }) }, closed),
  /** The candidate's metric on labelled predictions of the rollout is not worse than the stable version's by more than `by`. */
  Type.Object({ kind: Type.Literal("metric_not_worse"), metric: Type.String(), by: Type.Number(), minLabels: Type.Integer() }, closed),
  /** A sequential test: the candidate's mean loss on the same labelled predictions is above the stable version's by less than `by`; looked at with each new label. */
  Type.Object(
    {
      kind: Type.Literal("loss_not_worse"),
      loss: LossSpec,
      by: Type.Number({ exclusiveMinimum: 0 }),
      alpha: Type.Number({ exclusiveMinimum: 0, maximum: 0.5 }),
    },
    closed,
  ),
  /** Of a shadow: the share of rows whose answers differ by `within` at most, once `minRows` were compared. */
  Type.Object(
    {
      kind: Type.Literal("agreement_above"),
      share: Type.Number({ minimum: 0, maximum: 1 }),
      within: Type.Number({ minimum: 0 }),
      minRows: Type.Integer({ minimum: 1 }),
    },
    closed,
  ),
]);
export type JudgeSpec = Static<typeof JudgeSpec>;

const weight = Type.Number({ exclusiveMinimum: 0, maximum: 1 });
/** The request's columns whose values are the key: the same values are answered by the same version. Without them it is the key that the request names, else its id. */
const stickyBy = Type.Optional(Type.Array(Type.String({ minLength: 1 }), { minItems: 1, maxItems: 8 }));

export const CanarySpec = Type.Object(
  {
    kind: Type.Literal("canary"),
    /** Weights of the candidate in turn, 0 to 1, the last of them 1. A step may have a time of its own, and may wait until a person says go on. */
    steps: Type.Array(Type.Union([weight, Type.Object({ weight, each: Type.Optional(Duration), hold: Type.Optional(Type.Literal(true)) }, closed)]), {
      minItems: 1,
      maxItems: 100,
    }),
    each: Duration,
    judge: Type.Array(JudgeSpec, { maxItems: 20 }),
    stickyBy,
  },
  closed,
);
/** All traffic at once, once every process has the candidate in memory; back at once where a judge says so while it is watched. */
export const BlueGreenSpec = Type.Object({ kind: Type.Literal("blue_green"), watch: Duration, judge: Type.Array(JudgeSpec, { maxItems: 20 }) }, closed);
export const ShadowSpec = Type.Object(
  {
    kind: Type.Literal("shadow"),
    /** The part of the requests that is copied. */
    share: weight,
    each: Duration,
    judge: Type.Array(JudgeSpec, { maxItems: 20 }),
    /** What follows when the time is over and the judges are content. */
    passed: Type.Union([Type.Literal("wait"), Type.Literal("promote")]),
  },
  closed,
);
/** A fixed part of the traffic, until a person decides. */
export const SplitSpec = Type.Object({ kind: Type.Literal("split"), weight, stickyBy }, closed);
export const ExperimentSpec = Type.Object(
  {
    kind: Type.Literal("experiment"),
    /** The versions behind these aliases of the model, each with its part of the traffic; the rest is the stable version's, the control. */
    arms: Type.Array(Type.Object({ alias: Type.String({ minLength: 1 }), weight }, closed), { minItems: 1, maxItems: 8 }),
    /** Of one key, by its first labelled prediction: the label itself, as of a conversion, or how far the answer is from it. */
    metric: Type.Union([
      Type.Object(
        { kind: Type.Literal("label"), goal: Type.Union([Type.Literal("increase"), Type.Literal("decrease")]), from: Type.Number(), to: Type.Number() },
        closed,
      ),
      Type.Object({ kind: Type.Literal("loss"), loss: LossSpec }, closed),
    ]),
    /** The least difference of means that matters. */
    effect: Type.Number({ exclusiveMinimum: 0 }),
    alpha: Type.Number({ exclusiveMinimum: 0, maximum: 0.5 }),
    power: Type.Number({ exclusiveMinimum: 0.5, exclusiveMaximum: 1 }),
    /** Of one key's value. Default: the most that the metric's range allows. */
    variance: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
    /** `fixed`: nothing is said before the sample is whole. `sequential`: a confidence sequence, looked at all the time. */
    test: Type.Union([Type.Literal("fixed"), Type.Literal("sequential")]),
    /** A version that won takes over by itself. */
    promote: Type.Boolean(),
    stickyBy,
  },
  closed,
);
export type ExperimentSpec = Static<typeof ExperimentSpec>;

/** How a new version takes over. */
export const RolloutSpec = Type.Union([CanarySpec, BlueGreenSpec, ShadowSpec, SplitSpec, ExperimentSpec]);
export type RolloutSpec = Static<typeof RolloutSpec>;

/** What is answered while the kill switch is on: a value for each output, the same for every row. */
export const FallbackSpec = Type.Record(Type.String({ minLength: 1 }), Type.Union([Type.Number(), Type.String(), Type.Boolean()]));
export type FallbackSpec = Static<typeof FallbackSpec>;
