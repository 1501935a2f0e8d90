import { type Static, Type } from "@sinclair/typebox";
import { Nullable, Time } from "./common.js";
import { Metrics } from "./evaluation.js";

export const DriftResult = Type.Object({ feature: Type.String(), psi: Type.Number(), drifted: Type.Boolean() });
export const MonitorCheck = Type.Object({
  monitor: Type.String(),
  at: Time,
  from: Time,
  to: Time,
  rows: Type.Integer(),
  labelled: Type.Integer(),
  version: Nullable(Type.Integer()),
  /** Share of features whose PSI is over the threshold. */
  driftShare: Nullable(Type.Number()),
  drifted: Type.Boolean(),
  predictionPsi: Nullable(Type.Number()),
  features: Type.Array(DriftResult),
  metrics: Type.Record(Type.String(), Nullable(Type.Number())),
  alert: Nullable(Type.String()),
});
export type MonitorCheck = Static<typeof MonitorCheck>;
export const Monitor = Type.Object({
  name: Type.String(),
  project: Type.String(),
  endpoint: Type.String(),
  every: Type.String(),
  last: Nullable(MonitorCheck),
  checks: Type.Integer(),
});
export type Monitor = Static<typeof Monitor>;
/** Performance on the labelled predictions of an endpoint, of what answered (`version` null) or of one version run on the logged features. */
export const PerformanceQuery = Type.Object({
  by: Type.Union([Type.Literal("day"), Type.Literal("month")]),
  version: Type.Optional(Type.Integer({ minimum: 1 })),
  from: Type.Optional(Time),
  to: Type.Optional(Time),
});
export const Performance = Type.Object({ period: Type.String(), version: Nullable(Type.Integer()), metrics: Metrics });
export type Performance = Static<typeof Performance>;
