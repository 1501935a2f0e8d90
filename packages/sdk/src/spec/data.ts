import { type Static, Type } from "@sinclair/typebox";
import { ColumnType, closed, Digest, Duration, Name, Severity } from "./common.js";
import { FormatSpec, PartitionSpec, WatchSpec } from "./datasets.js";

const Share = Type.Number({ minimum: 0, maximum: 1 });
/** Where a rule stands, `file:line`, for reports. */
const Place = Type.Optional(Type.String({ maxLength: 2_000 }));
/** Validations in which a rule holds, as `training`. Without it: in all. A validation that names no environment applies every rule. */
const Environments = Type.Optional(Type.Array(Name, { minItems: 1, maxItems: 20 }));
const ColumnName = Type.String({ minLength: 1, maxLength: 1_000 });

/**
 * How far a distribution may be from the reference's, each bound inclusive. Formulas and their sources: packages/server/src/validation/drift.ts.
 */
export const DriftRule = Type.Object(
  {
    /** The largest difference of the shares of one value or bin, 0 to 1. */
    lInfinity: Type.Optional(Share),
    /** The Jensen-Shannon divergence with base 2, 0 to 1. */
    jensenShannon: Type.Optional(Share),
    /** The population stability index. Below 0.1 is taken as no change, above 0.2 or 0.25 as a shift. */
    psi: Type.Optional(Type.Number({ minimum: 0 })),
    /** Default `warn`. */
    severity: Type.Optional(Severity),
  },
  closed,
);
export type DriftRule = Static<typeof DriftRule>;

/** What a column must look like. Shares are of all rows, 0 to 1; bounds are inclusive. */
export const ColumnRule = Type.Object(
  {
    type: ColumnType,
    /** The column must be there. Default true. */
    required: Type.Optional(Type.Boolean()),
    /** The largest share of nulls that is accepted. Default 1. */
    maxNullShare: Type.Optional(Share),
    /** The values that are known. */
    domain: Type.Optional(Type.Array(Type.Union([Type.String(), Type.Number(), Type.Boolean()]), { maxItems: 10_000 })),
    /** The largest share of rows whose value is outside `domain`. Default 0. */
    maxOutsideDomain: Type.Optional(Share),
    /** Of numbers; of timestamps and dates as text, as `2013-01-01T00:00:00Z`. NaN is in no range. */
    min: Type.Optional(Type.Union([Type.Number(), Type.String({ maxLength: 40 })])),
    max: Type.Optional(Type.Union([Type.Number(), Type.String({ maxLength: 40 })])),
    /** Neither NaN nor infinite. */
    finite: Type.Optional(Type.Boolean()),
    /** Each value is there once. Nulls are no values. */
    unique: Type.Optional(Type.Boolean()),
    /** A regular expression of RE2 that the whole text must match. */
    pattern: Type.Optional(Type.String({ minLength: 1, maxLength: 1_000 })),
    /** Characters of a text. */
    minLength: Type.Optional(Type.Integer({ minimum: 0 })),
    maxLength: Type.Optional(Type.Integer({ minimum: 0 })),
    /** How many different values there may be. */
    minDistinct: Type.Optional(Type.Integer({ minimum: 0 })),
    maxDistinct: Type.Optional(Type.Integer({ minimum: 0 })),
    /** The largest share of rows that may break `min`, `max`, `finite`, `unique`, `pattern` or the lengths. Default 0. */
    maxFailing: Type.Optional(Share),
    /** Values are found in a column of another dataset, as of its newest version: at least `minShare` (default 1) of the rows that have one. */
    foundIn: Type.Optional(Type.Object({ dataset: Name, column: ColumnName, minShare: Type.Optional(Share) }, closed)),
    drift: Type.Optional(DriftRule),
    environments: Environments,
    /** Default `block`. */
    severity: Type.Optional(Severity),
    description: Type.Optional(Type.String()),
    definedAt: Place,
  },
  closed,
);
export type ColumnRule = Static<typeof ColumnRule>;

const relation = {
  /** Default what it says. */
  name: Type.Optional(Name),
  /** The largest share of rows that may break it. Default 0. */
  maxFailing: Type.Optional(Share),
  severity: Type.Optional(Severity),
  environments: Environments,
  definedAt: Place,
};
const Columns = Type.Array(ColumnName, { minItems: 2, maxItems: 100 });
/** What must hold between the columns of a row. A row in which a column that is compared or added is null breaks nothing. */
export const RelationSpec = Type.Union([
  Type.Object(
    {
      ...relation,
      kind: Type.Literal("compare"),
      left: ColumnName,
      op: Type.Union([Type.Literal("<"), Type.Literal("<="), Type.Literal("="), Type.Literal("!="), Type.Literal(">="), Type.Literal(">")]),
      right: ColumnName,
    },
    closed,
  ),
  /** The columns add up to another, give or take `within`. */
  Type.Object({ ...relation, kind: Type.Literal("sum"), of: Columns, equals: ColumnName, within: Type.Optional(Type.Number({ minimum: 0 })) }, closed),
  /** At least one of the columns is not null. */
  Type.Object({ ...relation, kind: Type.Literal("not_all_null"), columns: Columns }, closed),
  /** All are null or none is. */
  Type.Object({ ...relation, kind: Type.Literal("null_together"), columns: Columns }, closed),
  /** No two rows have the same values in all of these columns. Rows with a null among them are not compared. */
  Type.Object({ ...relation, kind: Type.Literal("unique"), columns: Type.Array(ColumnName, { minItems: 1, maxItems: 100 }) }, closed),
]);
export type RelationSpec = Static<typeof RelationSpec>;

/** What a distribution is compared with: what the last arrivals brought, or a version of the dataset. */
export const ReferenceSpec = Type.Union([
  Type.Object({ last: Type.Integer({ minimum: 1, maximum: 1_000 }) }, closed),
  Type.Object({ version: Type.Integer({ minimum: 1 }), dataset: Type.Optional(Name) }, closed),
]);
export type ReferenceSpec = Static<typeof ReferenceSpec>;

const expectation = {
  name: Name,
  /** The largest share of rows that may fail it. Default 0. */
  maxFailing: Type.Optional(Share),
  severity: Type.Optional(Severity),
  environments: Environments,
  definedAt: Place,
};
export const ExpectationSpec = Type.Union([
  /** SQL over a row. Where it is null it holds. */
  Type.Object({ ...expectation, sql: Type.String({ maxLength: 10_000 }) }, closed),
  /** A TypeScript function of a row, which answers true or false. */
  Type.Object(
    {
      ...expectation,
      /** A file of the project, a JavaScript module that imports nothing but Node's own modules: what it exports as `check` is the function. */
      bundle: Type.String({ minLength: 1, maxLength: 2_000 }),
      /** Of that file, as it stands under `files`: with other code it is another expectation. */
      digest: Type.Optional(Digest),
      /** What the function reads of a row; it is given nothing else. Without it: every column. */
      columns: Type.Optional(Type.Array(ColumnName, { maxItems: 10_000 })),
    },
    closed,
  ),
]);
export type ExpectationSpec = Static<typeof ExpectationSpec>;
export type FunctionExpectationSpec = Extract<ExpectationSpec, { bundle: string }>;

export const SchemaSpec = Type.Object(
  {
    name: Name,
    columns: Type.Record(Type.String(), ColumnRule),
    /** What to do about a column that the schema does not name. Default `warn`. */
    unexpectedColumns: Type.Optional(Type.Union([Type.Literal("block"), Type.Literal("warn"), Type.Literal("allow")])),
    minRows: Type.Optional(Type.Integer({ minimum: 0 })),
    maxRows: Type.Optional(Type.Integer({ minimum: 0 })),
    /** The rows against the mean of what the `last` arrivals before brought: at most `within` more or less, as a share of it. */
    volume: Type.Optional(
      Type.Object(
        {
          within: Type.Number({ minimum: 0 }),
          /** Default 1. */
          last: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
          /** Default `warn`. */
          severity: Type.Optional(Severity),
          definedAt: Place,
        },
        closed,
      ),
    ),
    /** The newest moment of a column is at most this old, by the platform's clock. */
    freshness: Type.Optional(Type.Object({ column: ColumnName, maxAge: Duration, severity: Type.Optional(Severity), definedAt: Place }, closed)),
    relations: Type.Optional(Type.Array(RelationSpec, { maxItems: 1_000 })),
    /** Default `{ last: 1 }`. */
    reference: Type.Optional(ReferenceSpec),
    /** Conditions of one's own, each for all but `maxFailing` of the rows. */
    expectations: Type.Optional(Type.Array(ExpectationSpec, { maxItems: 1_000 })),
    /** Where the definition stands, `file:line`, for reports. */
    definedAt: Type.Optional(Type.String()),
  },
  closed,
);
export type SchemaSpec = Static<typeof SchemaSpec>;

export const DatasetSpec = Type.Object(
  {
    name: Name,
    description: Type.Optional(Type.String()),
    /** `append`: every arrival adds its rows; `snapshot`: every arrival replaces them. */
    mode: Type.Union([Type.Literal("append"), Type.Literal("snapshot")]),
    /** What is watched for files, each taken once in the order of their names. A folder is relative to the project folder. */
    watch: Type.Optional(WatchSpec),
    format: Type.Optional(FormatSpec),
    /** The column that says when a row's event happened. */
    timestamp: Type.Optional(Type.String()),
    /** The time zone of times that are written without one, as `America/New_York`. Default UTC. */
    zone: Type.Optional(Type.String({ maxLength: 100 })),
    /** Columns that name a row: no null, and no two rows with the same. */
    key: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 1_000 }), { minItems: 1, maxItems: 20 })),
    partition: Type.Optional(PartitionSpec),
    /** The schema that every arrival must pass. */
    schema: Type.Optional(Name),
    definedAt: Type.Optional(Type.String()),
  },
  closed,
);
export type DatasetSpec = Static<typeof DatasetSpec>;
