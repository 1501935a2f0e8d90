import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { ColumnType, closed, Duration, Name } from "./common.js";

/** Who answers for a definition and what it is found by. */
const told = {
  description: Type.Optional(Type.String({ maxLength: 2_000 })),
  owner: Type.Optional(Type.String({ maxLength: 200 })),
  tags: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 100 }), { maxItems: 50 })),
};

export const EntitySpec = Type.Object(
  { name: Name, keys: Type.Array(Type.Object({ name: Type.String(), type: ColumnType }, closed), { minItems: 1, maxItems: 8 }), ...told },
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

/** `stddev` is the sample's; `last` is the newest value; all but `count` leave nulls out. */
const aggregates = ["count", "sum", "mean", "share", "min", "max", "stddev", "last", "distinct"] as const;
export const Aggregate = Type.Union(aggregates.map((one) => Type.Literal(one)));
export type Aggregate = (typeof aggregates)[number];

/** What both kinds of view have. */
const view = {
  name: Name,
  entity: Name,
  source: FeatureSource,
  /**
   * The column that says when a row's values came to be known, where that can be later than its timestamp: a row that was created or corrected
   * later is not seen before. Null is the timestamp itself.
   */
  created: Type.Optional(Type.String()),
  /** How often what the dataset accepted is brought online. Without it, as soon as it is accepted. */
  materialize: Type.Optional(Duration),
  ...told,
  definedAt: Type.Optional(Type.String()),
};

/** `latest`: the newest row of an entity not older than the TTL. `window`: aggregates of its events over (t − over, t]. */
export const FeatureViewSpec = Type.Union([
  Type.Object(
    {
      kind: Type.Literal("latest"),
      ...view,
      /** The column that says from when on a row's values were known. Without it the values hold for all time. */
      timestamp: Type.Optional(Type.String()),
      ttl: Type.Optional(Duration),
      features: Type.Array(Type.Object(feature, closed), { minItems: 1 }),
    },
    closed,
  ),
  Type.Object(
    {
      kind: Type.Literal("window"),
      ...view,
      timestamp: Type.String(),
      features: Type.Array(
        Type.Object(
          {
            ...feature,
            aggregate: Aggregate,
            column: Type.Optional(Type.String()),
            /** The column's type, for `distinct`. Default string. */
            of: Type.Optional(ColumnType),
            over: Duration,
          },
          closed,
        ),
        { minItems: 1 },
      ),
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
    ...told,
    definedAt: Type.Optional(Type.String()),
  },
  closed,
);
export type FeatureServiceSpec = Static<typeof FeatureServiceSpec>;
