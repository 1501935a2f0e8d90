import { type Static, Type } from "@sinclair/typebox";
import { Json, Nullable, Time } from "./common.js";

export const Rollout = Type.Object({
  id: Type.String(),
  endpoint: Type.String(),
  candidate: Type.Integer(),
  stable: Nullable(Type.Integer()),
  state: Type.Union([Type.Literal("running"), Type.Literal("promoted"), Type.Literal("rolled_back"), Type.Literal("superseded")]),
  /** The candidate's share of traffic now, 0 to 1. */
  weight: Type.Number(),
  step: Type.Integer(),
  startedAt: Time,
  stepStartedAt: Time,
  finishedAt: Nullable(Time),
  /** Why it was promoted or rolled back, with the numbers. */
  reason: Nullable(Type.String()),
  requests: Type.Integer(),
  errors: Type.Integer(),
});
export type Rollout = Static<typeof Rollout>;
export const Endpoint = Type.Object({
  name: Type.String(),
  project: Type.String(),
  model: Type.String(),
  /** Null: it takes what its model takes. */
  service: Nullable(Type.String()),
  /** The version that answers, and the one that is tried. */
  stable: Nullable(Type.Integer()),
  candidate: Nullable(Type.Integer()),
  weight: Type.Number(),
  /** Of this process, over the last minute of real time. */
  requestsPerSecond: Type.Number(),
  latency: Type.Object({ p50Ms: Nullable(Type.Number()), p99Ms: Nullable(Type.Number()) }),
  /** Rows predicted since the endpoint was made. */
  predictions: Type.Integer(),
  errors: Type.Integer(),
  rollout: Nullable(Rollout),
});
export type Endpoint = Static<typeof Endpoint>;
export const Label = Type.Object({ id: Type.String({ maxLength: 200 }), label: Type.Union([Type.Number(), Type.Boolean()]) });
export const LabelPush = Type.Object({ labels: Type.Array(Label, { minItems: 1, maxItems: 100_000 }) });
export const LabelResult = Type.Object({ accepted: Type.Integer() });
export type LabelResult = Static<typeof LabelResult>;
export const Prediction = Type.Object({
  id: Type.String(),
  endpoint: Type.String(),
  model: Type.String(),
  version: Type.Integer(),
  at: Time,
  /** `stable`, `candidate`, `fallback` (the candidate failed and the stable version answered), or `pinned` (the request named the version). */
  route: Type.String(),
  request: Type.Record(Type.String(), Json),
  features: Type.Record(Type.String(), Json),
  /** Of an endpoint without a feature service: what its model was given and gave. */
  inputs: Type.Record(Type.String(), Json),
  outputs: Type.Record(Type.String(), Json),
  /** The probability, or the one number that the last output has for the row: of two the second. */
  prediction: Nullable(Type.Number()),
  label: Nullable(Type.Number()),
  labelledAt: Nullable(Time),
});
export type Prediction = Static<typeof Prediction>;
