import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { ColumnType, closed, Duration, Name } from "./common.js";

export const EntitySpec = Type.Object(
  { name: Name, keys: Type.Array(Type.Object({ name: Type.String(), type: ColumnType }, closed), { minItems: 1, maxItems: 8 }) },
  closed,
);
export type EntitySpec = Static<typeof EntitySpec>;

/**
 * A computation over named columns that gives the same value in DuckDB (offline) and in the serving process (online).
 * Null in, null out, except for `is_null` and `coalesce`. Times are read in the zone that is named.
 */
export type Expr =
  | { op: "column"; name: string }
  | { op: "literal"; value: number | string | boolean | null }
  | { op: "add" | "subtract" | "multiply" | "divide" | "equal" | "less" | "less_or_equal"; left: Expr; right: Expr }
  | { op: "year" | "month" | "day_of_month" | "day_of_week" | "hour" | "minute"; of: Expr; zone: string }
  | { op: "is_null"; of: Expr }
  | { op: "coalesce"; of: Expr[] };
const times = ["year", "month", "day_of_month", "day_of_week", "hour", "minute"] as const;
const binary = ["add", "subtract", "multiply", "divide", "equal", "less", "less_or_equal"] as const;
export const Expr = Type.Unsafe<Expr>(
  Type.Recursive(
    (self) =>
      Type.Union([
        Type.Object({ op: Type.Literal("column"), name: Type.String() }, closed),
        Type.Object({ op: Type.Literal("literal"), value: Type.Union([Type.Number(), Type.String(), Type.Boolean(), Type.Null()]) }, closed),
        Type.Object({ op: Type.Union(binary.map((b) => Type.Literal(b))), left: self, right: self }, closed),
        Type.Object({ op: Type.Union(times.map((t) => Type.Literal(t))), of: self, zone: Type.String() }, closed),
        Type.Object({ op: Type.Literal("is_null"), of: self }, closed),
        Type.Object({ op: Type.Literal("coalesce"), of: Type.Array(self, { minItems: 1 }) }, closed),
      ]),
    { $id: "Expr" },
  ) as TSchema,
);

const FeatureSource = Type.Object(
  {
    dataset: Name,
    /** A SELECT over the dataset, which it sees as a table of the dataset's name. */
    sql: Type.Optional(Type.String({ maxLength: 20_000 })),
  },
  closed,
);
const feature = { name: Name, type: ColumnType, unit: Type.Optional(Type.String()), description: Type.Optional(Type.String()) };

export const Aggregate = Type.Union([Type.Literal("count"), Type.Literal("sum"), Type.Literal("mean"), Type.Literal("share")]);

/** `latest`: the newest row of an entity not older than the TTL. `window`: aggregates of its events over (t − over, t]. */
export const FeatureViewSpec = Type.Union([
  Type.Object(
    {
      kind: Type.Literal("latest"),
      name: Name,
      entity: Name,
      source: FeatureSource,
      /** The column that says from when on a row's values were known. Without it the values hold for all time. */
      timestamp: Type.Optional(Type.String()),
      ttl: Type.Optional(Duration),
      features: Type.Array(Type.Object(feature, closed), { minItems: 1 }),
      description: Type.Optional(Type.String()),
      definedAt: Type.Optional(Type.String()),
    },
    closed,
  ),
  Type.Object(
    {
      kind: Type.Literal("window"),
      name: Name,
      entity: Name,
      source: FeatureSource,
      timestamp: Type.String(),
      features: Type.Array(Type.Object({ ...feature, aggregate: Aggregate, column: Type.Optional(Type.String()), over: Duration }, closed), { minItems: 1 }),
      description: Type.Optional(Type.String()),
      definedAt: Type.Optional(Type.String()),
    },
    closed,
  ),
]);
export type FeatureViewSpec = Static<typeof FeatureViewSpec>;

/** What a model takes: the columns of a request, the features looked up by them, and what is computed from both. */
export const FeatureServiceSpec = Type.Object(
  {
    name: Name,
    /** Columns that the request (online) or the row (offline) brings itself; entity keys are among them. */
    request: Type.Array(Type.Object({ name: Name, type: ColumnType }, closed), { minItems: 1 }),
    /** The request column that holds a row's own moment when features are joined offline. */
    timestamp: Name,
    views: Type.Array(Name),
    compute: Type.Array(Type.Object({ name: Name, type: ColumnType, expr: Expr }, closed)),
    /** The model's inputs in order: names of request columns, of the views' features, or of computed ones. */
    features: Type.Array(Type.Object({ name: Name, type: ColumnType }, closed), { minItems: 1 }),
    definedAt: Type.Optional(Type.String()),
  },
  closed,
);
export type FeatureServiceSpec = Static<typeof FeatureServiceSpec>;
