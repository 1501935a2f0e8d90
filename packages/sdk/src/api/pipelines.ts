import { type Static, Type } from "@sinclair/typebox";
import { ArtifactType, Digest, PipelineSpec } from "../spec.js";
import { Json, Nullable, PageQuery, Time } from "./common.js";

export const RunState = Type.Union([
  Type.Literal("queued"),
  Type.Literal("running"),
  Type.Literal("succeeded"),
  /** A gate said no: everything ran, and the model was not registered. */
  Type.Literal("refused"),
  Type.Literal("failed"),
  Type.Literal("cancelled"),
]);
export type RunState = Static<typeof RunState>;
export const StepState = Type.Union([
  Type.Literal("waiting"),
  Type.Literal("running"),
  Type.Literal("succeeded"),
  Type.Literal("cached"),
  Type.Literal("refused"),
  Type.Literal("failed"),
  Type.Literal("cancelled"),
  Type.Literal("skipped"),
]);
export type StepState = Static<typeof StepState>;

/** What a step gives: objects by digest, and a little that is worth showing. */
export const Artifact = Type.Object({
  type: ArtifactType,
  /** Of the whole artifact; equal digests are equal contents. */
  digest: Digest,
  /** A table's Parquet parts in order, a model's files, a report's or a value's one JSON file. */
  files: Type.Array(Type.Object({ path: Type.String(), digest: Digest, size: Type.Integer() })),
  /** Facts about it: rows, columns, the dataset version it was read from, the metrics of a report. */
  meta: Type.Record(Type.String(), Json),
});
export type Artifact = Static<typeof Artifact>;
export const Step = Type.Object({
  id: Type.String(),
  kind: Type.String(),
  state: StepState,
  attempt: Type.Integer(),
  startedAt: Nullable(Time),
  finishedAt: Nullable(Time),
  /** Real milliseconds, also where the platform's clock is replayed. */
  durationMs: Nullable(Type.Number()),
  cacheKey: Nullable(Digest),
  /** The run whose outputs were used instead of running. */
  cachedFrom: Nullable(Type.String()),
  error: Nullable(Type.String()),
  outputs: Type.Record(Type.String(), Artifact),
});
export type Step = Static<typeof Step>;
export const Run = Type.Object({
  id: Type.String(),
  pipeline: Type.String(),
  project: Type.String(),
  projectVersion: Type.Integer(),
  commit: Nullable(Type.String()),
  state: RunState,
  params: Type.Record(Type.String(), Json),
  /** What started it: `{kind: "manual" | "trigger" | "schedule" | "backfill" | "sweep", …}`, with the name or id of it and a reason. */
  cause: Type.Object({
    kind: Type.String(),
    trigger: Type.Optional(Type.String()),
    schedule: Type.Optional(Type.String()),
    backfill: Type.Optional(Type.String()),
    sweep: Type.Optional(Type.String()),
    reason: Type.Optional(Type.String()),
  }),
  /** Why it failed or was refused. */
  message: Nullable(Type.String()),
  /** The tracking run of this run. */
  trackingRunId: Nullable(Type.String()),
  createdAt: Time,
  startedAt: Nullable(Time),
  finishedAt: Nullable(Time),
  durationMs: Nullable(Type.Number()),
  /** Metrics of the run's evaluation, where it has one. */
  metrics: Type.Record(Type.String(), Type.Number()),
  /** The model version it registered: `name/version`. */
  modelVersion: Nullable(Type.String()),
});
export type Run = Static<typeof Run>;
export const RunDetail = Type.Intersect([Run, Type.Object({ steps: Type.Array(Step), spec: PipelineSpec })]);
export type RunDetail = Static<typeof RunDetail>;
export const RunStart = Type.Object({
  params: Type.Optional(Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()]))),
});
export const RunQuery = Type.Intersect([
  PageQuery,
  Type.Object({ pipeline: Type.Optional(Type.String()), state: Type.Optional(Type.Union([RunState, Type.Literal("active")])) }),
]);
export const LogLine = Type.Object({ n: Type.Integer(), at: Time, stream: Type.String(), text: Type.String() });
export type LogLine = Static<typeof LogLine>;
export const LogPage = Type.Object({ lines: Type.Array(LogLine), next: Type.Integer(), done: Type.Boolean() });
export type LogPage = Static<typeof LogPage>;
export const Pipeline = Type.Object({
  name: Type.String(),
  project: Type.String(),
  projectVersion: Type.Integer(),
  spec: PipelineSpec,
  lastRun: Nullable(Run),
});
export type Pipeline = Static<typeof Pipeline>;
