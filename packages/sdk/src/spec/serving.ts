import { type Static, Type } from "@sinclair/typebox";
import { closed, Duration, Name } from "./common.js";
import { ParamValue } from "./pipelines.js";
import { FallbackSpec, RolloutSpec } from "./rollouts.js";

export const EndpointSpec = Type.Object(
  {
    name: Name,
    model: Name,
    /** What its requests are rows of. Without it, the endpoint takes the tensors that its model takes. */
    service: Type.Optional(Name),
    rollout: RolloutSpec,
    fallback: Type.Optional(FallbackSpec),
    /** Of a model that runs in Python: how many processes answer, how long a call may take, and how much memory each may have. */
    workers: Type.Optional(
      Type.Object(
        {
          count: Type.Optional(Type.Integer({ minimum: 1, maximum: 64 })),
          timeout: Type.Optional(Duration),
          memoryMb: Type.Optional(Type.Integer({ minimum: 64 })),
        },
        closed,
      ),
    ),
    log: Type.Object(
      {
        retain: Type.Optional(Duration),
        /** The share of requests whose predictions are logged, 0 to 1; default all. Which ones depends on their ids alone. */
        sample: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
        /** False: what can't be logged, as on a full disk, is answered nevertheless, and counted as dropped. Default: it is not answered. */
        required: Type.Optional(Type.Boolean()),
      },
      closed,
    ),
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
