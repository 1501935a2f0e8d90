import { type Static, Type } from "@sinclair/typebox";
import { Digest, Name, PartitionSpec, SchemaSpec, WatchSpec } from "../spec.js";
import { Json, Nullable, Time } from "./common.js";
import { DatasetOrigin, TableColumn } from "./tables.js";

export const Anomaly = Type.Object({
  /**
   * Schema skew: `missing_column`, `unexpected_column`, `wrong_type`. Value skew: `null_share`, `domain`, `range`, `finite`, `length`, `pattern`,
   * `unique`, `distinct`, `relation`, `foreign_key`, `expectation`, `drift`. The table: `rows`, `volume`, `freshness`, `file`.
   */
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
  /** approximate where `approximate` says so */
  distinct: Type.Integer(),
  /** Of a large column of many values: `distinct`, the quantiles and the choice of `top` are sketches. */
  approximate: Type.Optional(Type.Boolean()),
  nan: Type.Optional(Type.Integer()),
  infinite: Type.Optional(Type.Integer()),
  zeros: Type.Optional(Type.Integer()),
  /** Of what is finite. Numbers, the first 200 characters of texts, or a time in ISO 8601. */
  min: Type.Optional(Json),
  max: Type.Optional(Json),
  mean: Type.Optional(Nullable(Type.Number())),
  stddev: Type.Optional(Nullable(Type.Number())),
  /** 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99; of times in milliseconds since 1970 */
  quantiles: Type.Optional(Type.Array(Type.Number())),
  /** 0.1 to 0.9 */
  deciles: Type.Optional(Type.Array(Type.Number())),
  /** Of numbers, and of times in milliseconds since 1970. */
  histogram: Type.Optional(Type.Object({ edges: Type.Array(Type.Number()), counts: Type.Array(Type.Integer()) })),
  top: Type.Optional(Type.Array(Type.Object({ value: Json, count: Type.Integer() }))),
  /** `top` holds every value that there is. */
  complete: Type.Optional(Type.Boolean()),
  /** Characters of texts, bytes of blobs, items of lists. */
  lengths: Type.Optional(Type.Object({ min: Type.Integer(), max: Type.Integer(), mean: Type.Number() })),
});
export type ColumnStatistics = Static<typeof ColumnStatistics>;

/** A column now beside the reference, in the same bins. */
export const ColumnComparison = Type.Object({
  name: Type.String(),
  /** Bounds of the bins, one more than counts, or the values; of values a last count is of all others. */
  edges: Type.Optional(Type.Array(Type.Number())),
  values: Type.Optional(Type.Array(Type.String())),
  now: Type.Array(Type.Integer()),
  reference: Type.Array(Type.Integer()),
  lInfinity: Nullable(Type.Number()),
  jensenShannon: Nullable(Type.Number()),
  psi: Nullable(Type.Number()),
});
export type ColumnComparison = Static<typeof ColumnComparison>;
/** A rule and what came of it. */
export const ValidationCheck = Type.Object({
  kind: Type.String(),
  column: Nullable(Type.String()),
  name: Type.String(),
  severity: Type.Union([Type.Literal("block"), Type.Literal("warn")]),
  passed: Type.Boolean(),
  /** The rule could not be looked at, and why: it is no anomaly. */
  skipped: Type.Optional(Type.String()),
  rule: Nullable(Type.String()),
});
export type ValidationCheck = Static<typeof ValidationCheck>;
export const ValidationReport = Type.Object({
  schema: Type.String(),
  environment: Type.Optional(Type.String()),
  passed: Type.Boolean(),
  rows: Type.Integer(),
  anomalies: Type.Array(Anomaly),
  checks: Type.Optional(Type.Array(ValidationCheck)),
  statistics: Type.Array(ColumnStatistics),
  /** What the distributions were compared with. */
  reference: Type.Optional(Type.Object({ name: Type.String(), rows: Type.Integer(), columns: Type.Array(ColumnComparison) })),
});
export type ValidationReport = Static<typeof ValidationReport>;
export const TableStatistics = Type.Object({ rows: Type.Integer(), columns: Type.Array(ColumnStatistics) });
export type TableStatistics = Static<typeof TableStatistics>;
/** `schema` is one that is applied, by its name, or one that need not be, as it stands. */
export const ValidationStart = Type.Object({ schema: Type.Union([Name, SchemaSpec]), environment: Type.Optional(Name) }, { additionalProperties: false });
export type ValidationStart = Static<typeof ValidationStart>;

/** What a person decided about a version in quarantine. */
export const QuarantineDecision = Type.Object({
  decision: Type.Union([Type.Literal("accepted"), Type.Literal("rejected")]),
  /** The version that was refused. */
  version: Type.Integer(),
  /** The version that its acceptance made. */
  acceptedAs: Nullable(Type.Integer()),
  reason: Type.String(),
  by: Type.String(),
  at: Time,
});
export type QuarantineDecision = Static<typeof QuarantineDecision>;
export const QuarantineReason = Type.Object({ reason: Type.String({ minLength: 3, maxLength: 2_000, pattern: "\\S" }) }, { additionalProperties: false });
export type QuarantineReason = Static<typeof QuarantineReason>;

export const DatasetPart = Type.Object({
  digest: Digest,
  bytes: Type.Integer(),
  rows: Type.Integer(),
  /** The file it came from. */
  file: Type.String(),
  /** The key of its partition, where the dataset has partitions. */
  partition: Nullable(Type.String()),
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
  /** What this version added, all its parts as one. */
  added: DatasetPart,
  /** Null for what came before it was kept. */
  origin: Nullable(DatasetOrigin),
  anomalies: Type.Integer(),
  createdAt: Time,
  /** On the refused version, and on the version that its acceptance made. */
  quarantine: Type.Optional(QuarantineDecision),
});
export type DatasetVersion = Static<typeof DatasetVersion>;
export const DatasetVersionDetail = Type.Intersect([
  DatasetVersion,
  Type.Object({
    parts: Type.Array(DatasetPart),
    report: Nullable(ValidationReport),
    /** Of all parts together. */
    columns: Type.Array(TableColumn),
  }),
]);
export type DatasetVersionDetail = Static<typeof DatasetVersionDetail>;
export const Dataset = Type.Object({
  name: Type.String(),
  project: Type.String(),
  description: Nullable(Type.String()),
  mode: Type.String(),
  schema: Nullable(Type.String()),
  timestamp: Nullable(Type.String()),
  zone: Nullable(Type.String()),
  key: Type.Array(Type.String()),
  partition: Nullable(PartitionSpec),
  watch: Nullable(WatchSpec),
  latest: Nullable(DatasetVersion),
  versions: Type.Integer(),
  quarantined: Type.Integer(),
  /** Rows that were pushed and are not in a version yet. */
  pendingRows: Type.Integer(),
  /** Definitions that read it, and pipelines that write it. */
  readers: Type.Array(Type.Object({ kind: Type.Union([Type.Literal("pipeline"), Type.Literal("feature_view")]), name: Type.String() })),
  writers: Type.Array(Type.String()),
});
export type Dataset = Static<typeof Dataset>;
