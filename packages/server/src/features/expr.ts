/** Computed features: one expression, as SQL for DuckDB and as a function for the serving process, with the same values from both. */
import type { ColumnType, Expr } from "@millrace/sdk/spec";
import { identifier, invalid, literal } from "../platform/index.js";
import { formatTime, parseTime } from "./times.js";
import type { Value } from "./values.js";
import { localTime } from "./zones.js";

/**
 * Numbers are doubles on both sides, so that arithmetic is IEEE 754's; moments are microseconds in the serving process and TIMESTAMPTZ in
 * DuckDB; dates are texts on both.
 */
type Kind = "number" | "string" | "boolean" | "timestamp" | "date" | "null";
type Types = Readonly<Record<string, ColumnType>>;
type Rows = Readonly<Record<string, readonly Value[]>>;
type Evaluate = (rows: Rows, row: number) => Value;

const kindOf = (type: ColumnType): Kind => (type === "int64" || type === "float64" ? "number" : type);

/** SQL for the expression as a column of `type`, over columns as `columnSql` gives them. Throws a 400 where the types don't fit. */
export function exprSql(expr: Expr, types: Types, type: ColumnType): string {
  const { sql, kind } = compile(expr, types);
  assertFits(kind, type);
  switch (type) {
    case "int64":
      // A cast of infinity would be an error.
      return `try_cast(trunc((${sql})::double) as bigint)`;
    case "float64":
      return `case when isfinite((${sql})::double) then (${sql})::double + 0 end`;
    case "date":
      return `(${sql})::date`;
    default:
      return sql;
  }
}

/** The same in this process: a function of columns, as `readValue` gives them, and a row's number. */
export function exprFunction(expr: Expr, types: Types, type: ColumnType): Evaluate {
  const { evaluate, kind } = compile(expr, types);
  assertFits(kind, type);
  return (rows, row) => {
    const value = evaluate(rows, row);
    if (value === null) return null;
    if (type === "int64") {
      // Zero has no sign.
      const whole = Math.trunc(Number(value)) + 0;
      return Math.abs(whole) < 2 ** 63 ? whole : null;
    }
    if (type === "float64") return Number.isFinite(Number(value)) ? Number(value) + 0 : null;
    return type === "timestamp" ? formatTime(Number(value)) : value;
  };
}

function assertFits(kind: Kind, type: ColumnType): void {
  const wanted = kindOf(type);
  if (kind !== wanted && kind !== "null" && !(kind === "boolean" && wanted === "number")) throw invalid(`The expression gives a ${kind}, not ${type}.`);
}

interface Compiled {
  sql: string;
  kind: Kind;
  evaluate: Evaluate;
}

function compile(expr: Expr, types: Types): Compiled {
  switch (expr.op) {
    case "column":
      return column(expr.name, types);
    case "literal":
      return constant(expr.value);
    case "add":
    case "subtract":
    case "multiply":
    case "divide":
      return arithmetic(expr.op, compile(expr.left, types), compile(expr.right, types));
    case "equal":
    case "less":
    case "less_or_equal":
      return comparison(expr.op, compile(expr.left, types), compile(expr.right, types));
    case "is_null": {
      const of = compile(expr.of, types);
      return { sql: `((${of.sql}) is null)`, kind: "boolean", evaluate: (rows, row) => of.evaluate(rows, row) === null };
    }
    case "coalesce": {
      const all = expr.of.map((one) => compile(one, types));
      const kinds = [...new Set(all.map((one) => one.kind).filter((kind) => kind !== "null"))];
      if (kinds.length > 1) throw invalid(`coalesce takes values of one type, not of ${kinds.join(" and ")}.`);
      return {
        sql: `coalesce(${all.map((one) => one.sql).join(", ")})`,
        kind: kinds[0] ?? "null",
        evaluate: (rows, row) => {
          for (const one of all) {
            const value = one.evaluate(rows, row);
            if (value !== null) return value;
          }
          return null;
        },
      };
    }
    default:
      return timePart(expr.op, compile(expr.of, types), expr.zone);
  }
}

function column(name: string, types: Types): Compiled {
  const type = types[name];
  if (type === undefined) throw invalid(`There is no column "${name}": there are ${Object.keys(types).join(", ")}.`);
  const kind = kindOf(type);
  const quoted = identifier(name);
  const get: Evaluate = (rows, row) => rows[name]?.[row] ?? null;
  if (kind === "number") return { sql: `${quoted}::double`, kind, evaluate: get };
  if (kind === "date") return { sql: `strftime(${quoted}::date, '%Y-%m-%d')`, kind, evaluate: get };
  if (kind === "timestamp") {
    return {
      sql: `${quoted}::timestamptz`,
      kind,
      evaluate: (rows, row) => {
        const value = get(rows, row);
        return typeof value === "string" ? parseTime(value) : value;
      },
    };
  }
  return { sql: quoted, kind, evaluate: get };
}

function constant(value: Value): Compiled {
  const evaluate = () => value;
  if (value === null) return { sql: "null", kind: "null", evaluate };
  if (typeof value === "number") return { sql: `(${value})::double`, kind: "number", evaluate };
  if (typeof value === "boolean") return { sql: String(value), kind: "boolean", evaluate };
  return { sql: literal(value), kind: "string", evaluate };
}

const operators = {
  add: ["+", (a: number, b: number) => a + b],
  subtract: ["-", (a: number, b: number) => a - b],
  multiply: ["*", (a: number, b: number) => a * b],
  divide: ["/", (a: number, b: number) => a / b],
} as const;

function arithmetic(op: keyof typeof operators, left: Compiled, right: Compiled): Compiled {
  for (const { kind } of [left, right]) if (kind !== "number" && kind !== "null") throw invalid(`${op} takes numbers, not a ${kind}.`);
  const [sign, apply] = operators[op];
  return {
    sql: `((${left.sql})::double ${sign} (${right.sql})::double)`,
    kind: "number",
    evaluate: (rows, row) => {
      const a = left.evaluate(rows, row);
      const b = right.evaluate(rows, row);
      return a === null || b === null ? null : apply(Number(a), Number(b));
    },
  };
}

const relations = {
  equal: ["=", (order: number) => order === 0],
  less: ["<", (order: number) => order < 0],
  less_or_equal: ["<=", (order: number) => order <= 0],
} as const;

function comparison(op: keyof typeof relations, a: Compiled, b: Compiled): Compiled {
  const left = asTime(a, b);
  const right = asTime(b, a);
  if (left.kind !== right.kind && left.kind !== "null" && right.kind !== "null")
    throw invalid(`${op} takes two values of one type, not ${left.kind} and ${right.kind}.`);
  const [sign, holds] = relations[op];
  return {
    sql: `((${left.sql}) ${sign} (${right.sql}))`,
    kind: "boolean",
    evaluate: (rows, row) => {
      const x = left.evaluate(rows, row);
      const y = right.evaluate(rows, row);
      return x === null || y === null ? null : holds(order(x, y));
    },
  };
}

/** A text beside a moment is a moment, and beside a date it is a date. */
function asTime(one: Compiled, other: Compiled): Compiled {
  if (one.kind !== "string" || (other.kind !== "timestamp" && other.kind !== "date")) return one;
  if (other.kind === "date") return { ...one, kind: "date" };
  return {
    sql: `(${one.sql})::timestamptz`,
    kind: "timestamp",
    evaluate: (rows, row) => {
      const value = one.evaluate(rows, row);
      return typeof value === "string" ? parseTime(value) : value;
    },
  };
}

/** DuckDB's order: texts by their bytes in UTF-8, NaN above every number and equal to itself. */
function order(x: string | number | boolean, y: string | number | boolean): number {
  if (typeof x === "string" && typeof y === "string") return Buffer.compare(Buffer.from(x), Buffer.from(y));
  const [a, b] = [Number(x), Number(y)];
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return a - b === 0 || a === b ? 0 : a < b ? -1 : 1;
}

const parts = {
  year: ["year", (local: Date) => local.getUTCFullYear()],
  month: ["month", (local: Date) => local.getUTCMonth() + 1],
  day_of_month: ["day", (local: Date) => local.getUTCDate()],
  // 1 is Monday.
  day_of_week: ["isodow", (local: Date) => local.getUTCDay() || 7],
  hour: ["hour", (local: Date) => local.getUTCHours()],
  minute: ["minute", (local: Date) => local.getUTCMinutes()],
} as const;

function timePart(op: keyof typeof parts, given: Compiled, zone: string): Compiled {
  const of = asTime(given, { ...given, kind: "timestamp" });
  if (of.kind !== "timestamp" && of.kind !== "null") throw invalid(`${op} is taken from a timestamp, not from a ${of.kind}.`);
  const [name, get] = parts[op];
  let local: (ms: number) => Date;
  try {
    local = localTime(zone);
  } catch {
    throw invalid(`There is no time zone "${zone}": write it as America/New_York.`);
  }
  return {
    sql: `date_part('${name}', timezone(${literal(zone)}, (${of.sql})::timestamptz))::double`,
    kind: "number",
    evaluate: (rows, row) => {
      const micros = of.evaluate(rows, row);
      return micros === null ? null : get(local(Math.floor(Number(micros) / 1_000)));
    },
  };
}
