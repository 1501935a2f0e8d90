import { type Static, Type } from "@sinclair/typebox";
import { closed, Name } from "./common.js";

/** How the files of a dataset are written. Without it a file's name says it: .parquet, .csv, .tsv, .jsonl or .ndjson, the latter four also with .gz. */
export const FormatSpec = Type.Union([
  Type.Object({ kind: Type.Literal("parquet") }, closed),
  Type.Object(
    {
      kind: Type.Literal("csv"),
      /** Default `,`; of a .tsv file a tab. */
      delimiter: Type.Optional(Type.String({ minLength: 1, maxLength: 4 })),
      /** Default `"`. Empty: nothing is quoted. */
      quote: Type.Optional(Type.String({ maxLength: 1 })),
      /** What stands before a quote within quotes. Default the quote. */
      escape: Type.Optional(Type.String({ maxLength: 1 })),
      /** The first line has the names of the columns. Default true. */
      header: Type.Optional(Type.Boolean()),
      /** The names, where there is no header. */
      columns: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 1_000 }), { minItems: 1, maxItems: 10_000 })),
      /** Texts that stand for no value. Default the empty one. */
      nulls: Type.Optional(Type.Array(Type.String({ maxLength: 100 }), { maxItems: 100 })),
      /** As of strftime: `%d.%m.%Y`. Default ISO 8601. */
      dateFormat: Type.Optional(Type.String({ minLength: 1, maxLength: 100 })),
      timestampFormat: Type.Optional(Type.String({ minLength: 1, maxLength: 100 })),
      /** Default `.`. */
      decimal: Type.Optional(Type.Union([Type.Literal("."), Type.Literal(",")])),
      /** So many lines before the header or the first row are skipped. */
      skip: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000 })),
      encoding: Type.Optional(Type.Union([Type.Literal("utf-8"), Type.Literal("latin-1"), Type.Literal("utf-16")])),
    },
    closed,
  ),
  /** A JSON object a line. What is nested is kept as JSON text. */
  Type.Object({ kind: Type.Literal("jsonl") }, closed),
]);
export type FormatSpec = Static<typeof FormatSpec>;

/** How the rows are divided, so that a part can be read by itself. */
export const PartitionSpec = Type.Union([
  /** By the dataset's timestamp, in a time zone (default UTC). Keys: `2013-03`, `2013-03-01`, `2013-03-01T05`. */
  Type.Object(
    {
      by: Type.Literal("time"),
      each: Type.Union([Type.Literal("hour"), Type.Literal("day"), Type.Literal("month")]),
      zone: Type.Optional(Type.String({ maxLength: 100 })),
    },
    closed,
  ),
  /** By the values of columns. Keys: `carrier=UA/origin=EWR`. */
  Type.Object({ by: Type.Literal("key"), columns: Type.Array(Type.String({ minLength: 1, maxLength: 1_000 }), { minItems: 1, maxItems: 10 }) }, closed),
]);
export type PartitionSpec = Static<typeof PartitionSpec>;

/** Where files come by themselves: a folder of the project, or a prefix in S3 that the operator allows. `pattern` is a glob of names. */
export const WatchSpec = Type.Union([
  Type.Object({ folder: Type.String(), pattern: Type.String() }, closed),
  Type.Object({ prefix: Type.String({ pattern: "^s3://[a-z0-9][a-z0-9._-]+/", maxLength: 1_000 }), pattern: Type.String() }, closed),
]);
export type WatchSpec = Static<typeof WatchSpec>;

/**
 * Rows are divided by a hash of columns, so that the same values are always on the same side, in whatever version, order or number of parts they come.
 * Shares add up to 1, and are of different values, not of rows.
 */
export const HashedSplit = {
  columns: Type.Array(Type.String({ minLength: 1, maxLength: 1_000 }), { minItems: 1, maxItems: 20 }),
  shares: Type.Array(Type.Object({ name: Name, share: Type.Number({ exclusiveMinimum: 0, maximum: 1 }) }, closed), { minItems: 1, maxItems: 20 }),
  /** Another seed gives another division. Default empty. */
  seed: Type.Optional(Type.String({ maxLength: 100 })),
};
