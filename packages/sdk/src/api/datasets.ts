import { type Static, Type } from "@sinclair/typebox";
import { closed, Digest, Duration, FormatSpec, HashedSplit } from "../spec.js";
import { Json, Nullable, Time } from "./common.js";
import { ColumnStatistics } from "./data.js";
import { TableColumn } from "./tables.js";

export const DatasetPartition = Type.Object({
  key: Type.String(),
  rows: Type.Integer(),
  bytes: Type.Integer(),
  parts: Type.Integer(),
  from: Nullable(Time),
  to: Nullable(Time),
});
export type DatasetPartition = Static<typeof DatasetPartition>;

/** A file that was uploaded to `/uploads`, under the name that it has at the sender. */
const Uploaded = Type.Object({ name: Type.String({ minLength: 1, maxLength: 1_000 }), digest: Digest }, closed);
/** What becomes one version, wholly or not at all. The same content makes no second one. */
export const IngestionStart = Type.Object(
  {
    from: Type.Union([
      Type.Object({ kind: Type.Literal("files"), files: Type.Array(Uploaded, { minItems: 1, maxItems: 10_000 }) }, closed),
      /** All files below the address, or the one at it. */
      Type.Object(
        { kind: Type.Literal("s3"), url: Type.String({ pattern: "^s3://", maxLength: 2_000 }), pattern: Type.Optional(Type.String({ maxLength: 200 })) },
        closed,
      ),
      /** `connection` is a name that the operator gave, never an address. */
      Type.Object(
        {
          kind: Type.Literal("postgres"),
          connection: Type.String({ pattern: "^[a-z0-9_]{1,100}$" }),
          query: Type.String({ minLength: 1, maxLength: 100_000 }),
        },
        closed,
      ),
    ]),
    /** How files are written; default as the dataset says, or their names. */
    format: Type.Optional(FormatSpec),
    /** `snapshot`: in place of all rows before; `append`: in addition. Default as the dataset is defined. */
    mode: Type.Optional(Type.Union([Type.Literal("append"), Type.Literal("snapshot")])),
    /** What the version is called; default the file's name or the address. */
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 1_000 })),
  },
  closed,
);
export type IngestionStart = Static<typeof IngestionStart>;

/** What is still to come into a dataset from the folder or prefix that it watches. */
export const DatasetComing = Type.Object({
  dataset: Type.String(),
  /** `coming`: files that match are being taken; `ready`: none are, and there is an accepted version; `none`: there is none, and `message` says why. */
  state: Type.Union([Type.Literal("coming"), Type.Literal("ready"), Type.Literal("none")]),
  /** The newest accepted one. */
  version: Nullable(Type.Integer()),
  /** Files that match, and how many of them were taken: accepted or refused. */
  files: Type.Integer(),
  taken: Type.Integer(),
  message: Nullable(Type.String()),
});
export type DatasetComing = Static<typeof DatasetComing>;

export const RowsReceipt = Type.Object({
  /** Rows of this push. */
  rows: Type.Integer(),
  /** Rows of all pushes that are not in a version yet. */
  pendingRows: Type.Integer(),
  /** The key was used before, with the same rows: nothing was added. */
  repeated: Type.Boolean(),
  /** The feature views that took the rows, where they were to. */
  online: Type.Optional(Type.Array(Type.String())),
});
export type RowsReceipt = Static<typeof RowsReceipt>;

export const DatasetDiff = Type.Object({
  dataset: Type.String(),
  from: Type.Integer(),
  to: Type.Integer(),
  columns: Type.Object({
    added: Type.Array(TableColumn),
    removed: Type.Array(TableColumn),
    retyped: Type.Array(Type.Object({ name: Type.String(), from: Type.String(), to: Type.String() })),
  }),
  rows: Type.Object({
    from: Type.Integer(),
    to: Type.Integer(),
    added: Type.Integer(),
    removed: Type.Integer(),
    /** Same key, other values; null where the dataset has no key. */
    changed: Nullable(Type.Integer()),
    /** The key that rows were matched by; null: rows are equal in all columns or they are others. */
    key: Nullable(Type.Array(Type.String())),
  }),
  examples: Type.Object({
    added: Type.Array(Type.Record(Type.String(), Json)),
    removed: Type.Array(Type.Record(Type.String(), Json)),
    changed: Type.Array(Type.Object({ key: Type.Record(Type.String(), Json), from: Type.Record(Type.String(), Json), to: Type.Record(Type.String(), Json) })),
  }),
  /** By column; null where the version does not have it. */
  statistics: Type.Array(Type.Object({ name: Type.String(), from: Nullable(ColumnStatistics), to: Nullable(ColumnStatistics) })),
});
export type DatasetDiff = Static<typeof DatasetDiff>;

/** Which rows go where. The same rows give the same split, whatever their order and number of parts. */
export const SplitStart = Type.Union([
  Type.Object({ by: Type.Literal("time"), timestamp: Type.Optional(Type.String()), test: Duration, train: Type.Optional(Duration) }, closed),
  Type.Object({ by: Type.Literal("group"), ...HashedSplit }, closed),
  Type.Object({ by: Type.Literal("hash"), ...HashedSplit }, closed),
]);
export type SplitStart = Static<typeof SplitStart>;
export const SplitAnswer = Type.Object({
  splits: Type.Array(
    Type.Object({
      name: Type.String(),
      rows: Type.Integer(),
      digest: Digest,
      /** Its Parquet file, at `/api/v1/objects/<digest>`. */ file: Digest,
      bytes: Type.Integer(),
    }),
  ),
});
export type SplitAnswer = Static<typeof SplitAnswer>;
