import { type Static, Type } from "@sinclair/typebox";
import { Digest } from "../spec.js";
import { Nullable, Time } from "./common.js";
import { EvaluationReport, GateResult } from "./evaluation.js";

export const ModelVersion = Type.Object({
  model: Type.String(),
  version: Type.Integer(),
  digest: Digest,
  aliases: Type.Array(Type.String()),
  service: Nullable(Type.String()),
  /** The pipeline run that registered it. */
  runId: Nullable(Type.String()),
  trackingRunId: Nullable(Type.String()),
  metrics: Type.Record(Type.String(), Type.Number()),
  gates: Type.Array(GateResult),
  createdAt: Time,
});
export type ModelVersion = Static<typeof ModelVersion>;
export const ModelVersionDetail = Type.Intersect([
  ModelVersion,
  Type.Object({ files: Type.Array(Type.Object({ path: Type.String(), digest: Digest, size: Type.Integer() })), report: Nullable(EvaluationReport) }),
]);
export type ModelVersionDetail = Static<typeof ModelVersionDetail>;
export const Model = Type.Object({
  name: Type.String(),
  versions: Type.Integer(),
  /** alias → version */
  aliases: Type.Record(Type.String(), Type.Integer()),
  latest: Nullable(ModelVersion),
});
export type Model = Static<typeof Model>;
