import { type Static, Type } from "@sinclair/typebox";
import { ArtifactType, Digest, NodeId, ParamValue, PipelineSpec } from "../spec.js";
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
  /** For the steps that it takes from. */
  Type.Literal("waiting"),
  /** For a worker that has room. */
  Type.Literal("ready"),
  Type.Literal("running"),
  /** For a person's answer or an event; it takes no room. */
  Type.Literal("asking"),
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
export const StepProgress = Type.Object({ done: Type.Optional(Type.Number()), total: Type.Optional(Type.Number()), message: Type.Optional(Type.String()) });
export type StepProgress = Static<typeof StepProgress>;
export const Step = Type.Object({
  /** `train`; within a map `fit[3].train`. */
  id: Type.String(),
  /** The step in the definition: `train` is the same for each item. */
  node: Type.String(),
  /** The map that it is run by, and for which item. */
  parent: Nullable(Type.String()),
  item: Json,
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
  /** Why it ran, was not run, or waits. */
  reason: Nullable(Type.String()),
  error: Nullable(Type.String()),
  backend: Nullable(Type.String()),
  /** Where it runs or ran last. */
  host: Nullable(Type.String()),
  progress: Nullable(StepProgress),
  /** While it runs: now. After: the most memory, and the CPU time of all its processes. */
  usage: Nullable(Type.Object({ memoryBytes: Nullable(Type.Number()), cpuSeconds: Nullable(Type.Number()) })),
  /** Of a map: how many of its items there are, and how many are over. */
  items: Nullable(Type.Object({ total: Type.Integer(), done: Type.Integer() })),
  outputs: Type.Record(Type.String(), Artifact),
});
export type Step = Static<typeof Step>;
export const StepAttempt = Type.Object({
  attempt: Type.Integer(),
  worker: Type.String(),
  host: Type.String(),
  backend: Nullable(Type.String()),
  startedAt: Time,
  finishedAt: Nullable(Time),
  durationMs: Nullable(Type.Number()),
  /** succeeded, refused, error, timeout, out_of_memory, lost (its worker died), cancelled; null while it runs. */
  outcome: Nullable(Type.String()),
  exitCode: Nullable(Type.Integer()),
  signal: Nullable(Type.String()),
  message: Nullable(Type.String()),
  peakMemoryBytes: Nullable(Type.Number()),
  cpuSeconds: Nullable(Type.Number()),
});
export type StepAttempt = Static<typeof StepAttempt>;
/** A step with how it came about. */
export const StepDetail = Type.Intersect([
  Step,
  Type.Object({
    attempts: Type.Array(StepAttempt),
    /** By input: the digest of what it was given, or the value. */
    inputs: Type.Record(Type.String(), Json),
    /** Of all the code that its outcome depends on. */
    codeDigest: Nullable(Digest),
    /** Of its locked requirements and Python. */
    environmentDigest: Nullable(Digest),
  }),
]);
export type StepDetail = Static<typeof StepDetail>;
export const RunCause = Type.Object({
  /** manual, trigger, schedule, backfill, sweep */
  kind: Type.String(),
  trigger: Type.Optional(Type.String()),
  schedule: Type.Optional(Type.String()),
  backfill: Type.Optional(Type.String()),
  sweep: Type.Optional(Type.String()),
  reason: Type.Optional(Type.String()),
  by: Type.Optional(Type.String()),
  /** The run that this one goes on with, or takes steps from. */
  resume: Type.Optional(Type.String()),
  of: Type.Optional(Type.String()),
  /** The step from which on everything was run again. */
  from: Type.Optional(Type.String()),
  cache: Type.Optional(Type.Boolean()),
});
export type RunCause = Static<typeof RunCause>;
export const Run = Type.Object({
  id: Type.String(),
  pipeline: Type.String(),
  project: Type.String(),
  projectVersion: Type.Integer(),
  commit: Nullable(Type.String()),
  state: RunState,
  params: Type.Record(Type.String(), Json),
  /** What started it, with the name or id of it and a reason. */
  cause: RunCause,
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
export const RunDetail = Type.Intersect([
  Run,
  Type.Object({
    /** At most 2,000, those of the definition first; the others by `GET /runs/:id/steps`. */
    steps: Type.Array(Step),
    stepCount: Type.Integer(),
    spec: PipelineSpec,
  }),
]);
export type RunDetail = Static<typeof RunDetail>;
export const StepQuery = Type.Intersect([PageQuery, Type.Object({ parent: Type.Optional(Type.String({ maxLength: 500 })), state: Type.Optional(StepState) })]);
export const RunParams = Type.Record(Type.String(), ParamValue);
export const RunStart = Type.Object({
  params: Type.Optional(RunParams),
  /** A run of the pipeline that failed or was cancelled: what its steps gave is taken over, and the rest runs. */
  resume: Type.Optional(Type.String({ maxLength: 100 })),
  /** A step: it and what depends on it run again; what the others gave in the run `of` is taken over. */
  from: Type.Optional(NodeId),
  /** Default: the pipeline's newest run that succeeded, else its newest. */
  of: Type.Optional(Type.String({ maxLength: 100 })),
  /** False: everything runs, and what it gives is there for later runs. */
  cache: Type.Optional(Type.Boolean()),
});
export type RunStart = Static<typeof RunStart>;
/** What a run would do now. */
export const Explanation = Type.Object({
  steps: Type.Array(
    Type.Object({
      id: Type.String(),
      kind: Type.String(),
      does: Type.Union([Type.Literal("run"), Type.Literal("reuse"), Type.Literal("skip"), Type.Literal("ask"), Type.Literal("unknown")]),
      reason: Type.String(),
    }),
  ),
});
export type Explanation = Static<typeof Explanation>;
export const Approval = Type.Object({ approved: Type.Boolean(), comment: Type.Optional(Type.String({ maxLength: 10_000 })) });
export type Approval = Static<typeof Approval>;
/** What is needed to run a step again elsewhere with the same inputs. Files are at `GET /api/v1/objects/:digest`. */
export const StepDebug = Type.Object({
  run: Type.String(),
  step: Type.String(),
  kind: Type.String(),
  node: Json,
  project: Type.String(),
  projectVersion: Type.Integer(),
  commit: Nullable(Type.String()),
  /** By input: an artifact, a list of them, or a value. */
  inputs: Type.Record(Type.String(), Json),
  params: Type.Record(Type.String(), Json),
  outputs: Type.Array(Type.Object({ name: Type.String(), type: ArtifactType })),
  code: Type.Array(Type.Object({ path: Type.String(), digest: Digest, size: Type.Integer() })),
  requirements: Nullable(Type.Object({ path: Type.String(), digest: Digest })),
  /** Python's version on the server. */
  python: Nullable(Type.String()),
  /** Names alone. */
  secrets: Type.Array(Type.String()),
  trackingRunId: Nullable(Type.String()),
});
export type StepDebug = Static<typeof StepDebug>;
/** A process that runs steps. */
export const Worker = Type.Object({
  id: Type.String(),
  host: Type.String(),
  pid: Type.Integer(),
  backends: Type.Array(Type.String()),
  cpus: Type.Number(),
  memoryBytes: Type.Number(),
  gpus: Type.Number(),
  running: Type.Integer(),
  startedAt: Time,
  seenAt: Time,
  alive: Type.Boolean(),
});
export type Worker = Static<typeof Worker>;
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

/** How a run went: a bar for each attempt, and for each wait. Real milliseconds since the run began. */
export const RunBar = Type.Object({
  step: Type.String(),
  node: Type.String(),
  parent: Nullable(Type.String()),
  kind: Type.String(),
  state: StepState,
  /** 0 of a map, and of what waits for an answer: nothing works on it. */
  attempt: Type.Integer(),
  worker: Nullable(Type.String()),
  host: Nullable(Type.String()),
  backend: Nullable(Type.String()),
  outcome: Nullable(Type.String()),
  fromMs: Type.Number(),
  /** Null while it goes on. */
  toMs: Nullable(Type.Number()),
});
export type RunBar = Static<typeof RunBar>;
export const RunTimeline = Type.Object({
  /** Until its end, or until now. */
  lengthMs: Type.Number(),
  /** At most 5,000, in the order in which they began. */
  bars: Type.Array(RunBar),
  more: Type.Boolean(),
  /** How many steps of the items of each map are in which state. */
  counts: Type.Array(Type.Object({ parent: Type.String(), node: Type.String(), state: StepState, count: Type.Integer() })),
});
export type RunTimeline = Static<typeof RunTimeline>;
/** Of a step of the definition over the newest 20 runs that are over; of a step in a map, over all its items. */
export const StepAverage = Type.Object({
  node: Type.String(),
  kind: Type.String(),
  ran: Type.Integer(),
  cached: Type.Integer(),
  failed: Type.Integer(),
  meanMs: Nullable(Type.Number()),
  medianMs: Nullable(Type.Number()),
  longestMs: Nullable(Type.Number()),
});
export type StepAverage = Static<typeof StepAverage>;
/** A step that a worker runs now. */
export const RunningStep = Type.Object({
  run: Type.String(),
  pipeline: Type.String(),
  step: Type.String(),
  worker: Type.String(),
  backend: Nullable(Type.String()),
  forMs: Type.Number(),
  progress: Nullable(StepProgress),
  usage: Nullable(Type.Object({ memoryBytes: Nullable(Type.Number()), cpuSeconds: Nullable(Type.Number()) })),
});
export type RunningStep = Static<typeof RunningStep>;
