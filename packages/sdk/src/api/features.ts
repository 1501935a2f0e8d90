import { type Static, Type } from "@sinclair/typebox";
import { Json, Nullable, Time } from "./common.js";

/** Rows by column: every array has the same length. */
export const Columns = Type.Record(Type.String(), Type.Array(Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Null()])));
export type Columns = Static<typeof Columns>;
export const FeaturePush = Type.Object({ columns: Columns });
export const PushResult = Type.Object({ rows: Type.Integer() });
export type PushResult = Static<typeof PushResult>;
export const OnlineRead = Type.Object({
  /** The service's request columns. */
  request: Columns,
});
export const OnlineFeatures = Type.Object({
  /** The model's inputs, in the order of the service. */
  features: Columns,
  /** For each view, how each row's value was found: `PRESENT`, `NOT_FOUND`, `OUTSIDE_MAX_AGE`. */
  status: Type.Record(Type.String(), Type.Array(Type.String())),
});
export type OnlineFeatures = Static<typeof OnlineFeatures>;
/** What both ways of computing features give for the same rows. */
export const FeatureComparison = Type.Object({
  service: Type.String(),
  rows: Type.Integer(),
  equal: Type.Integer(),
  features: Type.Array(Type.Object({ name: Type.String(), different: Type.Integer(), maxDifference: Nullable(Type.Number()), examples: Type.Array(Json) })),
});
export type FeatureComparison = Static<typeof FeatureComparison>;
export const HistoricalRead = Type.Object({
  /** The service's request columns; its timestamp is each row's own moment. */
  rows: Columns,
  /** Default `known`: what was created after a row's moment is not seen at it. */
  asOf: Type.Optional(Type.Union([Type.Literal("known"), Type.Literal("event_time")])),
});
export type HistoricalRead = Static<typeof HistoricalRead>;
export const HistoricalFeatures = Type.Object({
  /** The model's inputs in the order of the service, row by row as they were asked. */
  features: Columns,
});
export type HistoricalFeatures = Static<typeof HistoricalFeatures>;

const told = { description: Type.Optional(Type.String()), owner: Type.Optional(Type.String()), tags: Type.Array(Type.String()) };
const Typed = Type.Object({ name: Type.String(), type: Type.String() });

/** What a model takes, and who takes it. */
export const FeatureService = Type.Object({
  name: Type.String(),
  project: Type.String(),
  ...told,
  request: Type.Array(Typed),
  timestamp: Type.String(),
  views: Type.Array(Type.String()),
  computed: Type.Array(Type.String()),
  features: Type.Array(Typed),
  usedBy: Type.Object({
    /** Models with a version that was trained on it, with the newest such version. */
    models: Type.Array(Type.Object({ model: Type.String(), version: Type.Integer() })),
    endpoints: Type.Array(Type.String()),
    pipelines: Type.Array(Type.String()),
  }),
});
export type FeatureService = Static<typeof FeatureService>;
export const FeatureView = Type.Object({
  name: Type.String(),
  project: Type.String(),
  ...told,
  kind: Type.String(),
  entity: Type.String(),
  keys: Type.Array(Type.String()),
  features: Type.Array(
    Type.Object({
      name: Type.String(),
      type: Type.String(),
      unit: Type.Optional(Type.String()),
      description: Type.Optional(Type.String()),
      /** Of a window view: as `share of late over 24h`. */
      aggregate: Type.Optional(Type.String()),
    }),
  ),
  dataset: Type.String(),
  sql: Nullable(Type.String()),
  timestamp: Nullable(Type.String()),
  created: Nullable(Type.String()),
  ttl: Nullable(Type.String()),
  /** How often it is materialized; null: at each arrival. */
  materialize: Nullable(Type.String()),
  services: Type.Array(Type.String()),
  onlineRows: Type.Integer(),
  newest: Nullable(Time),
});
export type FeatureView = Static<typeof FeatureView>;
