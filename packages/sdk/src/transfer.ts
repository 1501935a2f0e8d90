/**
 * What is moved into a server and out of it: the same records both ways, with their ids. Times are milliseconds since 1970.
 * `POST` takes a batch, all of it or nothing, and does nothing twice; `GET` answers pages.
 */
import { type Static, type TSchema, Type } from "@sinclair/typebox";

const Name = Type.String({ minLength: 1, maxLength: 500 });
const Text = Type.String({ maxLength: 100_000 });
const Long = Type.String({ maxLength: 20_000_000 });
const Millis = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Whole = Type.Integer({ minimum: -Number.MAX_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER });
const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const Values = Type.Record(Type.String({ maxLength: 500 }), Text, { maxProperties: 10_000 });
const LifecycleStage = Type.Union([Type.Literal("active"), Type.Literal("deleted")]);
const RunId = Type.String({ pattern: "^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}$" });
const ModelId = Type.String({ pattern: "^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}$" });
const ModelName = Type.String({ minLength: 1, maxLength: 256 });
const VersionNumber = Type.Integer({ minimum: 1, maximum: 2_000_000_000 });
/** What is no finite number is a text in JSON. */
const Value = Type.Union([Type.Number(), Type.Literal("NaN"), Type.Literal("Infinity"), Type.Literal("-Infinity")]);

export const MovedExperiment = Type.Object({
  id: Type.String({ pattern: "^[0-9]{1,40}$" }),
  name: Name,
  stage: LifecycleStage,
  creationTime: Millis,
  updateTime: Millis,
  tags: Values,
});
export type MovedExperiment = Static<typeof MovedExperiment>;

/** Where an experiment went: `id` and `name` are those it has here. */
export const ExperimentPlace = Type.Object({
  from: Type.String(),
  id: Type.String(),
  name: Type.String(),
  /** `mlflow-artifacts:/<path>`: its runs' artifacts lie below it. */
  artifactLocation: Type.String(),
});
export type ExperimentPlace = Static<typeof ExperimentPlace>;

export const MovedRun = Type.Object({
  id: RunId,
  /** The id that the experiment has on the server that is asked. */
  experiment: Type.String({ pattern: "^[0-9]{1,15}$" }),
  name: Text,
  user: Text,
  status: Type.Union([Type.Literal("RUNNING"), Type.Literal("SCHEDULED"), Type.Literal("FINISHED"), Type.Literal("FAILED"), Type.Literal("KILLED")]),
  startTime: Millis,
  endTime: Nullable(Millis),
  stage: LifecycleStage,
  deletedTime: Nullable(Millis),
  params: Values,
  tags: Values,
  datasets: Type.Array(
    Type.Object({
      name: Type.String({ maxLength: 500 }),
      digest: Type.String({ maxLength: 100 }),
      sourceType: Text,
      source: Long,
      schema: Nullable(Long),
      profile: Nullable(Long),
      tags: Values,
    }),
    { maxItems: 10_000 },
  ),
  modelInputs: Type.Array(ModelId, { maxItems: 10_000 }),
  modelOutputs: Type.Array(Type.Object({ id: ModelId, step: Whole }), { maxItems: 10_000 }),
});
export type MovedRun = Static<typeof MovedRun>;

/** A note on a run of what of it has arrived; whoever brings it says what the note means. */
export const RunMark = Type.Object({ id: RunId, mark: Type.String({ maxLength: 100 }) });
export type RunMark = Static<typeof RunMark>;

/** Points of one metric of one run, as columns. */
export const MovedSeries = Type.Object({ run: RunId, key: Name, step: Type.Array(Whole), time: Type.Array(Millis), value: Type.Array(Value) });
export type MovedSeries = Static<typeof MovedSeries>;

export const MovedLoggedModel = Type.Object({
  id: ModelId,
  experiment: Type.String({ pattern: "^[0-9]{1,15}$" }),
  name: Name,
  status: Type.Union([Type.Literal("LOGGED_MODEL_PENDING"), Type.Literal("LOGGED_MODEL_READY"), Type.Literal("LOGGED_MODEL_UPLOAD_FAILED")]),
  type: Nullable(Text),
  sourceRun: Nullable(RunId),
  stage: LifecycleStage,
  creationTime: Millis,
  updateTime: Millis,
  params: Values,
  tags: Values,
  metrics: Type.Array(
    Type.Object({
      key: Name,
      run: RunId,
      datasetName: Type.String({ maxLength: 500 }),
      datasetDigest: Type.String({ maxLength: 100 }),
      step: Whole,
      time: Millis,
      value: Value,
    }),
    { maxItems: 100_000 },
  ),
});
export type MovedLoggedModel = Static<typeof MovedLoggedModel>;

export const MovedModel = Type.Object({
  name: ModelName,
  description: Nullable(Text),
  creationTime: Millis,
  updateTime: Millis,
  tags: Values,
  /** The number that was given out last: those of deleted versions are not used again. */
  lastVersion: Type.Integer({ minimum: 0, maximum: 2_000_000_000 }),
});
export type MovedModel = Static<typeof MovedModel>;

/** Where a registered model went: `name` is the one that it has here. */
export const ModelPlace = Type.Object({ from: Type.String(), name: Type.String() });
export type ModelPlace = Static<typeof ModelPlace>;

export const MovedFile = Type.Object({
  path: Type.String({ minLength: 1, maxLength: 1_000 }),
  digest: Type.String({ pattern: "^sha256:[0-9a-f]{64}$" }),
  size: Type.Integer({ minimum: 0 }),
});
export type MovedFile = Static<typeof MovedFile>;

export const MovedVersion = Type.Object({
  model: ModelName,
  version: VersionNumber,
  creationTime: Millis,
  updateTime: Millis,
  description: Nullable(Text),
  user: Nullable(Text),
  stage: Type.Union([Type.Literal("None"), Type.Literal("Staging"), Type.Literal("Production"), Type.Literal("Archived")]),
  source: Nullable(Text),
  run: Nullable(RunId),
  runLink: Nullable(Text),
  loggedModel: Nullable(ModelId),
  tags: Values,
  /** Objects that the server has. Without them they are what lies at the source. */
  files: Type.Optional(Type.Array(MovedFile, { maxItems: 10_000 })),
});
export type MovedVersion = Static<typeof MovedVersion>;

export const MovedAlias = Type.Object({ model: ModelName, alias: Type.String({ minLength: 1, maxLength: 255 }), version: VersionNumber });
export type MovedAlias = Static<typeof MovedAlias>;

/** What there is, for progress and for a check afterwards. */
export const TransferCounts = Type.Object({
  experiments: Type.Integer(),
  runs: Type.Integer(),
  metrics: Type.Integer(),
  loggedModels: Type.Integer(),
  models: Type.Integer(),
  versions: Type.Integer(),
  artifacts: Type.Integer(),
  artifactBytes: Type.Integer(),
});
export type TransferCounts = Static<typeof TransferCounts>;

/** How much one batch may hold. */
export const transferLimits = { items: 1_000, points: 100_000, bytes: 64 * 1024 * 1024 } as const;
