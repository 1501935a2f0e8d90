import { type Static, Type } from "@sinclair/typebox";
import { ColumnType, closed, Name, Severity } from "./common.js";

/** What a column must look like. Shares are of all rows, 0 to 1; bounds are inclusive. */
export const ColumnRule = Type.Object(
  {
    type: ColumnType,
    /** The column must be there. Default true. */
    required: Type.Optional(Type.Boolean()),
    /** The largest share of nulls that is accepted. Default 1. */
    maxNullShare: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
    /** The values that are known. */
    domain: Type.Optional(Type.Array(Type.Union([Type.String(), Type.Number(), Type.Boolean()]), { maxItems: 10_000 })),
    /** The largest share of rows whose value is outside `domain`. Default 0. */
    maxOutsideDomain: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
    min: Type.Optional(Type.Number()),
    max: Type.Optional(Type.Number()),
    unique: Type.Optional(Type.Boolean()),
    /** Default `block`. */
    severity: Type.Optional(Severity),
    description: Type.Optional(Type.String()),
  },
  closed,
);
export type ColumnRule = Static<typeof ColumnRule>;

export const SchemaSpec = Type.Object(
  {
    name: Name,
    columns: Type.Record(Type.String(), ColumnRule),
    /** What to do about a column that the schema does not name. Default `warn`. */
    unexpectedColumns: Type.Optional(Type.Union([Type.Literal("block"), Type.Literal("warn"), Type.Literal("allow")])),
    minRows: Type.Optional(Type.Integer({ minimum: 0 })),
    /** Conditions of one's own: SQL over a row that must hold for all but `maxFailing` of the rows. */
    expectations: Type.Optional(
      Type.Array(
        Type.Object(
          {
            name: Name,
            sql: Type.String({ maxLength: 10_000 }),
            maxFailing: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
            severity: Type.Optional(Severity),
          },
          closed,
        ),
      ),
    ),
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
    /** A folder that is watched for files, picked up once each in the order of their names. Relative to the project folder. */
    watch: Type.Optional(Type.Object({ folder: Type.String(), pattern: Type.String() }, closed)),
    /** The column that says when a row's event happened. */
    timestamp: Type.Optional(Type.String()),
    /** The schema that every arrival must pass. */
    schema: Type.Optional(Name),
    definedAt: Type.Optional(Type.String()),
  },
  closed,
);
export type DatasetSpec = Static<typeof DatasetSpec>;
