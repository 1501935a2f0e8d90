import { type Static, Type } from "@sinclair/typebox";
import { Nullable } from "./common.js";

/** Metrics of one model on one set of labelled rows. */
export const Metrics = Type.Object({
  rows: Type.Integer(),
  positives: Type.Integer(),
  /** null where only one class is there */
  auc: Nullable(Type.Number()),
  log_loss: Nullable(Type.Number()),
  brier: Nullable(Type.Number()),
  /** Expected calibration error over ten equal-width bins. */
  calibration_error: Nullable(Type.Number()),
  mean_prediction: Nullable(Type.Number()),
});
export type Metrics = Static<typeof Metrics>;
export const SliceMetrics = Type.Object({ column: Type.String(), value: Type.String(), candidate: Metrics, champion: Nullable(Metrics) });
export const EvaluationReport = Type.Object({
  candidate: Metrics,
  champion: Nullable(Metrics),
  championVersion: Nullable(Type.String()),
  slices: Type.Array(SliceMetrics),
  /** Ten equal-width bins: mean prediction, observed share, rows. */
  calibration: Type.Array(Type.Object({ predicted: Type.Number(), observed: Type.Number(), rows: Type.Integer() })),
  /** The exported model against the trained one on the training step's sample. */
  parity: Nullable(Type.Object({ rows: Type.Integer(), maxDifference: Type.Number() })),
  /** One row through the exported model. */
  latency: Type.Object({ p50Ms: Type.Number(), p99Ms: Type.Number() }),
});
export type EvaluationReport = Static<typeof EvaluationReport>;
export const GateResult = Type.Object({
  gate: Type.String(),
  passed: Type.Boolean(),
  severity: Type.Union([Type.Literal("block"), Type.Literal("warn")]),
  /** The numbers that decided, in a sentence. */
  message: Type.String(),
});
export type GateResult = Static<typeof GateResult>;
