import { type Static, Type } from "@sinclair/typebox";
import { Digest, ModelCardSpec } from "../spec.js";
import { Json, Nullable, Time } from "./common.js";
import { EvaluationReport, GateResult } from "./evaluation.js";

/** A value that a model takes or gives. */
const CardField = Type.Object({ name: Type.String(), type: Type.String() });
/** All that is known of a model version: what people declared, and what the platform saw. */
export const ModelCard = Type.Object({
  model: Type.String(),
  version: Type.Integer(),
  aliases: Type.Array(Type.String()),
  digest: Digest,
  registeredAt: Time,
  /** What the registry's clients wrote about the model and the version. */
  description: Nullable(Type.String()),
  versionDescription: Nullable(Type.String()),
  tags: Type.Record(Type.String(), Type.String()),
  /** `onnx`, or the flavour that MLflow saved it in. */
  library: Nullable(Type.String()),
  declared: Nullable(
    Type.Object({
      ...Type.Omit(ModelCardSpec, ["name", "definedAt"]).properties,
      /** The project and its version where it was declared; null where tags of the model say it. */
      in: Nullable(Type.String()),
    }),
  ),
  /** What it was made from, as far as lineage leads: versions of datasets, and those that a tracked run named. */
  data: Type.Array(
    Type.Object({
      dataset: Type.String(),
      /** Null of a dataset that only a tracked run names. */
      version: Nullable(Type.Integer()),
      digest: Nullable(Type.String()),
      rows: Nullable(Type.Integer()),
      createdAt: Nullable(Time),
      /** The steps or runs that read it. */
      readBy: Type.Array(Type.String()),
      /** A person's decision, where it was in quarantine. */
      accepted: Nullable(Type.String()),
    }),
  ),
  training: Nullable(
    Type.Object({
      /** The run of the pipeline, else the tracked run. */
      run: Type.String(),
      pipeline: Nullable(Type.String()),
      project: Nullable(Type.String()),
      commit: Nullable(Type.String()),
      /** The code differed from the commit. */
      dirty: Type.Boolean(),
      cause: Nullable(Type.String()),
      startedAt: Nullable(Time),
      durationMs: Nullable(Type.Number()),
      params: Type.Record(Type.String(), Json),
      /** Those that its tracked run logged last. */
      metrics: Type.Record(Type.String(), Type.Number()),
      steps: Type.Array(Type.Object({ id: Type.String(), kind: Type.String(), code: Nullable(Digest), environment: Nullable(Digest) })),
    }),
  ),
  environment: Type.Object({ python: Nullable(Type.String()), requirements: Type.Array(Type.String()) }),
  signature: Nullable(Type.Object({ inputs: Type.Array(CardField), outputs: Type.Array(CardField) })),
  report: Nullable(EvaluationReport),
  metrics: Type.Record(Type.String(), Type.Number()),
  gates: Type.Array(GateResult),
  approvals: Type.Array(Type.Object({ of: Type.String(), approved: Type.Boolean(), by: Type.String(), at: Time, comment: Nullable(Type.String()) })),
  serving: Type.Array(Type.Object({ endpoint: Type.String(), as: Type.Union([Type.Literal("stable"), Type.Literal("candidate")]) })),
  files: Type.Array(Type.Object({ path: Type.String(), digest: Digest, size: Type.Integer() })),
  /** There is more in its lineage than was looked at. */
  more: Type.Boolean(),
});
export type ModelCard = Static<typeof ModelCard>;
export const ModelCardFormat = Type.Union([Type.Literal("markdown"), Type.Literal("html"), Type.Literal("json")]);
export type ModelCardFormat = Static<typeof ModelCardFormat>;
