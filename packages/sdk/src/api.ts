/**
 * What Millrace's own HTTP API answers and takes: one source for the server's validation, the OpenAPI document and the typed
 * client. Times are ISO 8601 in UTC, by the platform's clock. The routes are listed in ARCHITECTURE.md.
 */
import { type Static, Type } from "@sinclair/typebox";
import { ArtifactType, Digest, Duration, PipelineSpec } from "./spec.js";

export * from "./series.js";
export * from "./tracking.js";
export * from "./transfer.js";

const Time = Type.String({ format: "date-time" });
const Nullable = <T extends import("@sinclair/typebox").TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const Json = Type.Unknown();

/** Every error of the API. `code` is stable; `message` says what was wrong and what would be right. */
export const ApiErrorBody = Type.Object({ error: Type.Object({ code: Type.String(), message: Type.String(), details: Type.Optional(Json) }) });
export type ApiErrorBody = Static<typeof ApiErrorBody>;

/** `next` is given where more follows; pass it as `after`. */
export const Page = <T extends import("@sinclair/typebox").TSchema>(item: T) => Type.Object({ items: Type.Array(item), next: Type.Optional(Type.String()) });
export const PageQuery = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
  after: Type.Optional(Type.String({ maxLength: 200 })),
});

// --------------------------------------------------------------------------------------------- clock
export const ClockState = Type.Object({
  now: Time,
  kind: Type.Union([Type.Literal("system"), Type.Literal("replay")]),
});
export type ClockState = Static<typeof ClockState>;
/** Moves a replayed clock forward, lets everything that is due by then happen, and answers when it has. */
export const ClockAdvance = Type.Object({ to: Time });

// -------------------------------------------------------------------------------------------- events
/** Something that happened, in the order in which it became visible. */
export const Event = Type.Object({
  id: Type.String(),
  /** `<subject kind>.<what happened>`, as `run.finished`. */
  type: Type.String(),
  /** Name or id of what it happened to. */
  subject: Type.String(),
  data: Type.Record(Type.String(), Json),
  at: Time,
});
export type Event = Static<typeof Event>;

// ------------------------------------------------------------------------------------------ projects
export const Change = Type.Object({
  action: Type.Union([Type.Literal("create"), Type.Literal("update"), Type.Literal("delete"), Type.Literal("unchanged")]),
  /** `dataset`, `schema`, `feature view` and so on. */
  kind: Type.String(),
  name: Type.String(),
  /** What differs, as paths into the definition. */
  fields: Type.Optional(Type.Array(Type.String())),
});
export type Change = Static<typeof Change>;
export const Plan = Type.Object({
  project: Type.String(),
  changes: Type.Array(Change),
  /** Digests of the project's files that the server does not have yet. */
  missing: Type.Array(Digest),
});
export type Plan = Static<typeof Plan>;
export const ProjectVersion = Type.Object({
  project: Type.String(),
  version: Type.Integer(),
  digest: Digest,
  commit: Nullable(Type.String()),
  dirty: Type.Boolean(),
  appliedAt: Time,
  appliedBy: Type.String(),
});
export type ProjectVersion = Static<typeof ProjectVersion>;

// ------------------------------------------------------------------------------- datasets, validation
export const Anomaly = Type.Object({
  /** `missing_column`, `unexpected_column`, `wrong_type`, `null_share`, `domain`, `range`, `unique`, `rows`, `expectation` */
  kind: Type.String(),
  severity: Type.Union([Type.Literal("block"), Type.Literal("warn")]),
  column: Nullable(Type.String()),
  message: Type.String(),
  /** Rows that are wrong, where rows can be counted. */
  count: Nullable(Type.Integer()),
  share: Nullable(Type.Number()),
  examples: Type.Array(Json),
  /** Where the rule stands in the project, `file:line`. */
  rule: Nullable(Type.String()),
});
export type Anomaly = Static<typeof Anomaly>;
export const ColumnStatistics = Type.Object({
  name: Type.String(),
  type: Type.String(),
  count: Type.Integer(),
  nulls: Type.Integer(),
  /** approximate above some thousands */
  distinct: Type.Integer(),
  min: Type.Optional(Json),
  max: Type.Optional(Json),
  mean: Type.Optional(Nullable(Type.Number())),
  stddev: Type.Optional(Nullable(Type.Number())),
  /** 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99 */
  quantiles: Type.Optional(Type.Array(Type.Number())),
  histogram: Type.Optional(Type.Object({ edges: Type.Array(Type.Number()), counts: Type.Array(Type.Integer()) })),
  top: Type.Optional(Type.Array(Type.Object({ value: Json, count: Type.Integer() }))),
});
export type ColumnStatistics = Static<typeof ColumnStatistics>;
export const ValidationReport = Type.Object({
  schema: Type.String(),
  passed: Type.Boolean(),
  rows: Type.Integer(),
  anomalies: Type.Array(Anomaly),
  statistics: Type.Array(ColumnStatistics),
});
export type ValidationReport = Static<typeof ValidationReport>;

export const DatasetPart = Type.Object({
  digest: Digest,
  bytes: Type.Integer(),
  rows: Type.Integer(),
  /** The file it came from. */
  file: Type.String(),
  /** The least and the largest value of the dataset's timestamp. */
  from: Nullable(Time),
  to: Nullable(Time),
});
export type DatasetPart = Static<typeof DatasetPart>;
export const DatasetVersion = Type.Object({
  dataset: Type.String(),
  version: Type.Integer(),
  digest: Digest,
  /** `quarantined`: refused by validation; it is no version that anything reads. */
  status: Type.Union([Type.Literal("accepted"), Type.Literal("quarantined")]),
  rows: Type.Integer(),
  bytes: Type.Integer(),
  /** The part that this version added. */
  added: DatasetPart,
  anomalies: Type.Integer(),
  createdAt: Time,
});
export type DatasetVersion = Static<typeof DatasetVersion>;
export const DatasetVersionDetail = Type.Intersect([DatasetVersion, Type.Object({ parts: Type.Array(DatasetPart), report: Nullable(ValidationReport) })]);
export type DatasetVersionDetail = Static<typeof DatasetVersionDetail>;
export const Dataset = Type.Object({
  name: Type.String(),
  project: Type.String(),
  description: Nullable(Type.String()),
  mode: Type.String(),
  schema: Nullable(Type.String()),
  latest: Nullable(DatasetVersion),
  versions: Type.Integer(),
  quarantined: Type.Integer(),
});
export type Dataset = Static<typeof Dataset>;

// ------------------------------------------------------------------------------------------ features
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

// ------------------------------------------------------------------------------------- pipelines, runs
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
  /** What started it: `{kind: "manual" | "trigger", trigger?, reason?}`. */
  cause: Type.Object({ kind: Type.String(), trigger: Type.Optional(Type.String()), reason: Type.Optional(Type.String()) }),
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

// ---------------------------------------------------------------------------------------- evaluation
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

// ------------------------------------------------------------------------------------------ registry
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

// ------------------------------------------------------------------------------------------- serving
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
  service: Type.String(),
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
  prediction: Type.Number(),
  label: Nullable(Type.Number()),
  labelledAt: Nullable(Time),
});
export type Prediction = Static<typeof Prediction>;

// ---------------------------------------------------------------------------------------- monitoring
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

// ------------------------------------------------------------------------------------------ triggers
export const Firing = Type.Object({
  id: Type.String(),
  trigger: Type.String(),
  at: Time,
  condition: Type.String(),
  /** `started`, `skipped` (a cron moment in the cool-down), `deferred` (a condition that holds waits for the end of the cool-down) */
  outcome: Type.String(),
  reason: Type.String(),
  runId: Nullable(Type.String()),
});
export type Firing = Static<typeof Firing>;
export const Trigger = Type.Object({
  name: Type.String(),
  project: Type.String(),
  pipeline: Type.String(),
  paused: Type.Boolean(),
  conditions: Type.Array(Type.String()),
  coolDownUntil: Nullable(Time),
  nextCron: Nullable(Time),
  lastFiring: Nullable(Firing),
});
export type Trigger = Static<typeof Trigger>;

// ------------------------------------------------------------------------------------------- lineage
export const LineageNode = Type.Object({
  /**
   * `prediction`, `model_version`, `run` (of a pipeline), `step`, `dataset_version`, `file`, `commit`, `project_version`; of tracking `tracking_run`,
   * `logged_model`, `dataset`
   */
  kind: Type.String(),
  id: Type.String(),
  label: Type.String(),
  facts: Type.Record(Type.String(), Json),
});
export type LineageNode = Static<typeof LineageNode>;
/** Edges go from what was made to what it was made from. */
export const Lineage = Type.Object({
  root: Type.String(),
  nodes: Type.Array(LineageNode),
  edges: Type.Array(Type.Object({ from: Type.String(), to: Type.String() })),
  /** There is more than is told. */
  more: Type.Optional(Type.Boolean()),
});
export type Lineage = Static<typeof Lineage>;
/** Back to what it was made from, forward to what was made of it. */
export const LineageDirection = Type.Union([Type.Literal("back"), Type.Literal("forward"), Type.Literal("both")]);
export type LineageDirection = Static<typeof LineageDirection>;

// ------------------------------------------------------------------------------------------------ gc
/** Ages as `30d`. What is older is freed for good. */
export const CollectionStart = Type.Object({ olderThan: Type.Optional(Duration), dryRun: Type.Optional(Type.Boolean()) });
export type CollectionStart = Static<typeof CollectionStart>;
/** One round of freeing what was deleted. Its numbers grow while it runs; those of a dry run tell what would be freed. */
export const Collection = Type.Object({
  id: Type.String(),
  state: Type.Union([Type.Literal("running"), Type.Literal("done"), Type.Literal("failed"), Type.Literal("interrupted")]),
  phase: Type.Union([Type.Literal("rows"), Type.Literal("objects")]),
  dryRun: Type.Boolean(),
  by: Type.String(),
  deletedBefore: Time,
  /** `artifacts` are names of files, `points` values of metrics, `objects` contents in the store. */
  freed: Type.Object({
    experiments: Type.Number(),
    runs: Type.Number(),
    loggedModels: Type.Number(),
    points: Type.Number(),
    artifacts: Type.Number(),
    artifactBytes: Type.Number(),
    objects: Type.Number(),
    objectBytes: Type.Number(),
  }),
  /** Deleted long ago, and kept: what live versions, runs and pipelines refer to, and objects that are less than a day old. */
  kept: Type.Object({
    experiments: Type.Number(),
    runs: Type.Number(),
    loggedModels: Type.Number(),
    youngObjects: Type.Number(),
    youngObjectBytes: Type.Number(),
  }),
  message: Nullable(Type.String()),
  /** By the machine's clock. */
  startedAt: Time,
  finishedAt: Nullable(Time),
});
export type Collection = Static<typeof Collection>;

// ------------------------------------------------------------------------------------------ webhooks
/** What a webhook was told, or is to be told. Times are the machine's. */
export const WebhookDelivery = Type.Object({
  /** The same with each attempt: the header `X-MLflow-Delivery-Id`. */
  id: Type.String(),
  event: Type.String(),
  /** `dropped`: the webhook was disabled before. */
  state: Type.Union([Type.Literal("pending"), Type.Literal("delivered"), Type.Literal("failed"), Type.Literal("dropped")]),
  attempts: Type.Array(
    Type.Object({
      attempt: Type.Integer(),
      at: Time,
      /** Of HTTP. */
      status: Nullable(Type.Integer()),
      durationMs: Type.Number(),
      error: Nullable(Type.String()),
    }),
  ),
  nextAttemptAt: Nullable(Time),
  createdAt: Time,
  finishedAt: Nullable(Time),
});
export type WebhookDelivery = Static<typeof WebhookDelivery>;
