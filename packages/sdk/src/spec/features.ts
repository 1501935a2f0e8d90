import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { ColumnType, closed, Duration, Name } from "./common.js";

export const EntitySpec = Type.Object(
  { name: Name, keys: Type.Array(Type.Object({ name: Type.String(), type: ColumnType }, closed), { minItems: 1, maxItems: 8 }) },
  closed,
);
export type EntitySpec = Static<typeof EntitySpec>;

const times = ["year", "month", "day_of_month", "day_of_week", "hour", "minute"] as const;
const binary = [
  ...(["add", "subtract", "multiply", "divide", "modulo", "equal", "less", "less_or_equal"] as const),
  ...(["seconds_between", "contains", "starts_with", "ends_with"] as const),
] as const;
const unary = [
  ...(["abs", "sqrt", "log", "exp", "floor", "ceil", "round"] as const),
  ...(["lower", "upper", "trim", "length", "not", "is_null"] as const),
] as const;
const many = ["coalesce", "least", "greatest", "concat", "and", "or"] as const;
/**
 * A computation over named columns that gives the same value in DuckDB (offline) and in the serving process (online).
 * Null in, null out, except for `is_null`, `coalesce`, `if` (which takes null for false), and `and` and `or` (which are SQL's). Times are read
 * in the zone that is named. What is no finite number in the end is missing.
 */
export type Expr =
  | { op: "column"; name: string }
  | { op: "literal"; value: number | string | boolean | null }
  | { op: (typeof binary)[number]; left: Expr; right: Expr }
  | { op: (typeof times)[number]; of: Expr; zone: string }
  | { op: (typeof unary)[number]; of: Expr }
  | { op: (typeof many)[number]; of: Expr[] }
  | { op: "if"; condition: Expr; yes: Expr; no: Expr }
  | { op: "one_of"; of: Expr; values: (number | string)[] }
  /** `length` characters from the one that has the number `start`, counted from 1. */
  | { op: "substring"; of: Expr; start: number; length: number };
const Constant = Type.Union([Type.Number(), Type.String({ maxLength: 10_000 }), Type.Boolean(), Type.Null()]);
const character = Type.Integer({ minimum: 1, maximum: 1_000_000 });
export const Expr = Type.Unsafe<Expr>(
  Type.Recursive(
    (self) =>
      Type.Union([
        Type.Object({ op: Type.Literal("column"), name: Type.String() }, closed),
        Type.Object({ op: Type.Literal("literal"), value: Constant }, closed),
        Type.Object({ op: Type.Union(binary.map((b) => Type.Literal(b))), left: self, right: self }, closed),
        Type.Object({ op: Type.Union(times.map((t) => Type.Literal(t))), of: self, zone: Type.String() }, closed),
        Type.Object({ op: Type.Union(unary.map((u) => Type.Literal(u))), of: self }, closed),
        Type.Object({ op: Type.Union(many.map((m) => Type.Literal(m))), of: Type.Array(self, { minItems: 1, maxItems: 100 }) }, closed),
        Type.Object({ op: Type.Literal("if"), condition: self, yes: self, no: self }, closed),
        Type.Object(
          { op: Type.Literal("one_of"), of: self, values: Type.Array(Type.Union([Type.Number(), Type.String()]), { minItems: 1, maxItems: 10_000 }) },
          closed,
        ),
        Type.Object({ op: Type.Literal("substring"), of: self, start: character, length: character }, closed),
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
