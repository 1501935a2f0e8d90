import { type Static, Type } from "@sinclair/typebox";
import { Digest } from "../spec.js";
import { Json, Nullable, Time } from "./common.js";

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
