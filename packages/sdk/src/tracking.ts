/**
 * Tracking as tables show it: runs with chosen columns, the keys and values that there are, counts. Beside MLflow's API, which changes them.
 * Times are milliseconds since 1970, as MLflow has them. Columns are `metrics.<key>`, `params.<key>`, `tags.<key>`, `datasets` and `models`.
 */
import { type Static, Type } from "@sinclair/typebox";

const Nullable = <T extends import("@sinclair/typebox").TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const ExperimentId = Type.String({ pattern: "^[0-9]{1,15}$" });
const RunId = Type.String({ minLength: 1, maxLength: 100 });
/** What is no finite number is a text in JSON. */
const Value = Type.Union([Type.Number(), Type.String()]);
export const LifecycleView = Type.Union([Type.Literal("active"), Type.Literal("deleted"), Type.Literal("all")]);
export type LifecycleView = Static<typeof LifecycleView>;

// --------------------------------------------------------------------------------------- experiments
export const ExperimentQuery = Type.Object({
  /** A part of the name, in any case. */
  search: Type.Optional(Type.String({ maxLength: 500 })),
  view: Type.Optional(LifecycleView),
  order: Type.Optional(Type.Union([Type.Literal("activity"), Type.Literal("name"), Type.Literal("created")])),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200 })),
  after: Type.Optional(Type.String({ maxLength: 4_000 })),
});
export type ExperimentQuery = Static<typeof ExperimentQuery>;
export const ExperimentSummary = Type.Object({
  id: Type.String(),
  name: Type.String(),
  stage: Type.String(),
  createdAt: Type.Number(),
  /** When the newest run began or ended; null where there is none. */
  lastActivity: Nullable(Type.Number()),
  /** Runs that are not deleted, counted up to 100,001. */
  runs: Type.Integer(),
  running: Type.Integer(),
  tags: Type.Record(Type.String(), Type.String()),
});
export type ExperimentSummary = Static<typeof ExperimentSummary>;

// ---------------------------------------------------------------------------------------------- runs
const Of = {
  experiments: Type.Array(ExperimentId, { minItems: 1, maxItems: 100 }),
  /** MLflow's grammar. */
  filter: Type.Optional(Type.String({ maxLength: 20_000 })),
  view: Type.Optional(LifecycleView),
};
const OrderBy = Type.Array(Type.String({ maxLength: 1_000 }), { maxItems: 20 });
const Columns = Type.Array(Type.String({ maxLength: 300 }), { maxItems: 300 });
export const RunTableQuery = Type.Object({
  ...Of,
  orderBy: Type.Optional(OrderBy),
  columns: Type.Optional(Columns),
  /** Only these, of those that fit. */
  ids: Type.Optional(Type.Array(RunId, { maxItems: 1_000 })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
  /** `next` of the page before. */
  token: Type.Optional(Type.String({ maxLength: 50_000 })),
});
export type RunTableQuery = Static<typeof RunTableQuery>;
export const RunTableRow = Type.Object({
  id: Type.String(),
  experimentId: Type.String(),
  name: Type.String(),
  status: Type.String(),
  user: Type.String(),
  startTime: Type.Number(),
  endTime: Nullable(Type.Number()),
  stage: Type.String(),
  metrics: Type.Record(Type.String(), Value),
  /** Params and tags are cut at 500 characters here. */
  params: Type.Record(Type.String(), Type.String()),
  tags: Type.Record(Type.String(), Type.String()),
  /** Where the columns ask for them. */
  datasets: Type.Optional(Type.Array(Type.Object({ name: Type.String(), digest: Type.String(), context: Nullable(Type.String()) }))),
  models: Type.Optional(Type.Array(Type.Object({ id: Type.String(), name: Type.String(), status: Type.String() }))),
});
export type RunTableRow = Static<typeof RunTableRow>;

export const RunCountQuery = Type.Object({ ...Of, atMost: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })) });
export type RunCountQuery = Static<typeof RunCountQuery>;
/** `exact` is false where there are more, or where counting took too long. */
export const RunCount = Type.Object({ count: Type.Integer(), exact: Type.Boolean() });
export type RunCount = Static<typeof RunCount>;

/** In an address, so that a browser saves what comes: each column and order is a parameter of its own. */
export const RunCsvQuery = Type.Object({
  experiments: Of.experiments,
  filter: Of.filter,
  view: Of.view,
  orderBy: Type.Optional(OrderBy),
  columns: Type.Optional(Columns),
});
export type RunCsvQuery = Static<typeof RunCsvQuery>;

export const RunChange = Type.Object({
  ids: Type.Array(RunId, { minItems: 1, maxItems: 1_000 }),
  stage: Type.Optional(Type.Union([Type.Literal("active"), Type.Literal("deleted")])),
  tags: Type.Optional(Type.Record(Type.String({ maxLength: 250 }), Type.String({ maxLength: 8_000 }), { maxProperties: 100 })),
});
export type RunChange = Static<typeof RunChange>;

// --------------------------------------------------------------------------------- keys and values
export const RunColumns = Type.Object({
  /** In how many of the runs that were looked at each key is; keys of metrics in all runs, counted up to 10,000. */
  metrics: Type.Record(Type.String(), Type.Integer()),
  params: Type.Record(Type.String(), Type.Integer()),
  tags: Type.Record(Type.String(), Type.Integer()),
  /** Runs that were looked at for params and tags. */
  runs: Type.Integer(),
  /** Whether these were all runs. */
  complete: Type.Boolean(),
  datasets: Type.Boolean(),
  models: Type.Boolean(),
});
export type RunColumns = Static<typeof RunColumns>;
export const RunValuesQuery = Type.Object({
  /** As in a filter: `params.lr`, `attributes.user_id`, `datasets.name`. */
  key: Type.String({ maxLength: 300 }),
  /** A part of the value, in any case. */
  search: Type.Optional(Type.String({ maxLength: 500 })),
});
/** Values of the newest runs, the most frequent first; of a metric its smallest and largest. */
export const RunValues = Type.Object({
  values: Type.Array(Type.String()),
  range: Type.Optional(Type.Object({ min: Type.Number(), max: Type.Number() })),
});
export type RunValues = Static<typeof RunValues>;

// ------------------------------------------------------------------------------------------- one run
export const RunMetric = Type.Object({
  key: Type.String(),
  value: Value,
  step: Type.Number(),
  timestamp: Type.Number(),
  min: Value,
  max: Value,
  points: Type.Integer(),
});
export type RunMetric = Static<typeof RunMetric>;
export const RunFamily = Type.Object({
  parent: Nullable(Type.Object({ id: Type.String(), experimentId: Type.String(), name: Type.String(), status: Type.String() })),
  children: Type.Array(Type.Object({ id: Type.String(), experimentId: Type.String(), name: Type.String(), status: Type.String(), startTime: Type.Number() })),
  /** More than the 1,000 that are told. */
  more: Type.Boolean(),
});
export type RunFamily = Static<typeof RunFamily>;

// ----------------------------------------------------------------------------------------- artifacts
/** The first rows of a Parquet file, each value as a text, cut where it is long. */
export const ArtifactRows = Type.Object({
  columns: Type.Array(Type.Object({ name: Type.String(), type: Type.String() })),
  rows: Type.Array(Type.Array(Nullable(Type.String()))),
  total: Type.Number(),
});
export type ArtifactRows = Static<typeof ArtifactRows>;
