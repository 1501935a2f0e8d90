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
export const FeatureView = Type.Object({
  name: Type.String(),
  project: Type.String(),
  kind: Type.String(),
  entity: Type.String(),
  keys: Type.Array(Type.String()),
  features: Type.Array(
    Type.Object({ name: Type.String(), type: Type.String(), unit: Type.Optional(Type.String()), description: Type.Optional(Type.String()) }),
  ),
  onlineRows: Type.Integer(),
  newest: Nullable(Time),
});
export type FeatureView = Static<typeof FeatureView>;
