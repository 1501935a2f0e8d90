import { type Static, Type } from "@sinclair/typebox";
import { closed, Duration, Name } from "./common.js";
import { ParamValue } from "./pipelines.js";

/** A condition under which a rollout goes on. */
export const JudgeSpec = Type.Union([
  /** The candidate's share of requests answered with an error, 0 to 1, once `minRequests` came. */
  Type.Object({ kind: Type.Literal("error_rate_below"), share: Type.Number(), minRequests: Type.Integer() }, closed),
  /** The candidate's metric on labelled predictions of the rollout is not worse than the stable version's by more than `by`. */
  Type.Object({ kind: Type.Literal("metric_not_worse"), metric: Type.String(), by: Type.Number(), minLabels: Type.Integer() }, closed),
]);
export type JudgeSpec = Static<typeof JudgeSpec>;

export const EndpointSpec = Type.Object(
  {
    name: Name,
    model: Name,
    /** What its requests are rows of. Without it, the endpoint takes the tensors that its model takes. */
    service: Type.Optional(Name),
    rollout: Type.Object(
      {
        kind: Type.Literal("canary"),
        /** Weights of the candidate in turn, 0 to 1, the last of them 1. */
        steps: Type.Array(Type.Number({ exclusiveMinimum: 0, maximum: 1 }), { minItems: 1 }),
        each: Duration,
        judge: Type.Array(JudgeSpec),
      },
      closed,
    ),
    log: Type.Object({ retain: Type.Optional(Duration) }, closed),
    definedAt: Type.Optional(Type.String()),
  },
  closed,
);
export type EndpointSpec = Static<typeof EndpointSpec>;

export const MonitorSpec = Type.Object(
  {
    name: Name,
    endpoint: Name,
    every: Duration,
    /** The past that is looked at, ending at the moment of the check. Default: `every`. */
    window: Type.Optional(Duration),
    /** The training rows of the version behind this alias are what the window is compared with. */
    reference: Type.Object({ alias: Type.String() }, closed),
    drift: Type.Object(
      { method: Type.Literal("psi"), threshold: Type.Number(), /** share of features that must drift for an alert */ share: Type.Number() },
      closed,
    ),
    performance: Type.Object({ metrics: Type.Array(Type.String(), { minItems: 1 }), minLabels: Type.Integer() }, closed),
    definedAt: Type.Optional(Type.String()),
  },
  closed,
);
export type MonitorSpec = Static<typeof MonitorSpec>;

export const ConditionSpec = Type.Union([
  /** Holds while the dataset has an accepted version newer than the one the last run of the pipeline read. */
  Type.Object({ kind: Type.Literal("new_data"), dataset: Name }, closed),
  /** Five fields, read in the zone. A moment that falls into the cool-down is skipped. */
  Type.Object({ kind: Type.Literal("cron"), expression: Type.String(), zone: Type.String() }, closed),
  /** Holds while the monitor's newest value of the metric is below the bound. */
  Type.Object({ kind: Type.Literal("below"), monitor: Name, metric: Type.String(), bound: Type.Number() }, closed),
  /** Holds while the monitor's newest check found drift. */
  Type.Object({ kind: Type.Literal("drift"), monitor: Name }, closed),
]);
export type ConditionSpec = Static<typeof ConditionSpec>;

export const TriggerSpec = Type.Object(
  {
    name: Name,
    pipeline: Name,
    when: Type.Array(ConditionSpec, { minItems: 1 }),
    /** After a run was started, no other is started for this long by this trigger. */
    coolDown: Type.Optional(Duration),
    params: Type.Optional(Type.Record(Type.String(), ParamValue)),
    definedAt: Type.Optional(Type.String()),
  },
  closed,
);
export type TriggerSpec = Static<typeof TriggerSpec>;
