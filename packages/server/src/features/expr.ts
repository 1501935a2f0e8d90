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

const deepest = 100;
const longestSql = 200_000;

function compile(expr: Expr, types: Types, depth = 0): Compiled {
  if (depth > deepest) throw invalid(`An expression is nested ${deepest} deep at most.`);
  const compiled = compileOne(expr, (inner) => compile(inner, types, depth + 1), types);
  if (compiled.sql.length > longestSql) throw invalid("The expression is too large: take it apart into several features.");
  return compiled;
}

function compileOne(expr: Expr, of: (inner: Expr) => Compiled, types: Types): Compiled {
  switch (expr.op) {
    case "column":
      return column(expr.name, types);
    case "literal":
      return constant(expr.value);
    case "add":
    case "subtract":
    case "multiply":
    case "divide":
    case "modulo":
      return arithmetic(expr.op, of(expr.left), of(expr.right));
    case "equal":
    case "less":
    case "less_or_equal":
      return comparison(expr.op, of(expr.left), of(expr.right));
    case "seconds_between":
      return secondsBetween(of(expr.left), of(expr.right));
    case "contains":
    case "starts_with":
    case "ends_with":
      return textTest(expr.op, of(expr.left), of(expr.right));
    case "is_null": {
      const one = of(expr.of);
      return { sql: `((${one.sql}) is null)`, kind: "boolean", evaluate: (rows, row) => one.evaluate(rows, row) === null };
    }
    case "coalesce":
      return coalesce(expr.of.map(of));
    case "least":
    case "greatest":
      return extreme(expr.op, expr.of.map(of));
    case "and":
    case "or":
      return logical(expr.op, expr.of.map(of));
    case "concat":
      return concat(expr.of.map(of));
    case "if":
      return choice(of(expr.condition), of(expr.yes), of(expr.no));
    case "one_of":
      return oneOf(of(expr.of), expr.values);
    case "substring":
      return substring(of(expr.of), expr.start, expr.length);
    case "not": {
      const one = wanted("not", of(expr.of), "boolean");
      return { sql: `(not (${one.sql}))`, kind: "boolean", evaluate: mapped(one, (value) => value !== true) };
    }
    case "lower":
    case "upper":
    case "trim":
    case "length":
      return textFunction(expr.op, of(expr.of));
    case "abs":
    case "sqrt":
    case "log":
    case "exp":
    case "floor":
    case "ceil":
    case "round":
      return numberFunction(expr.op, of(expr.of));
    default:
      return timePart(expr.op, of(expr.of), expr.zone);
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
  modulo: ["%", (a: number, b: number) => (b === 0 ? null : a % b)],
} as const;

function arithmetic(op: keyof typeof operators, left: Compiled, right: Compiled): Compiled {
  for (const one of [left, right]) wanted(op, one, "number");
  const [sign, apply] = operators[op];
  const divisor = op === "modulo" ? `nullif((${right.sql})::double, 0)` : `(${right.sql})::double`;
  return {
    sql: `((${left.sql})::double ${sign} ${divisor})`,
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
export function order(x: string | number | boolean, y: string | number | boolean): number {
  if (typeof x === "string" && typeof y === "string") return Buffer.compare(Buffer.from(x), Buffer.from(y));
  const [a, b] = [Number(x), Number(y)];
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return a - b === 0 || a === b ? 0 : a < b ? -1 : 1;
}

function wanted(op: string, one: Compiled, kind: Kind): Compiled {
  if (one.kind !== kind && one.kind !== "null") throw invalid(`${op} takes ${kind === "number" ? "numbers" : `a ${kind}`}, not a ${one.kind}.`);
  return one;
}
/** Null in, null out. */
const mapped =
  (one: Compiled, apply: (value: string | number | boolean) => Value): Evaluate =>
  (rows, row) => {
    const value = one.evaluate(rows, row);
    return value === null ? null : apply(value);
  };
function oneKind(op: string, all: Compiled[]): Kind {
  const kinds = [...new Set(all.map((one) => one.kind).filter((kind) => kind !== "null"))];
  if (kinds.length > 1) throw invalid(`${op} takes values of one type, not of ${kinds.join(" and ")}.`);
  return kinds[0] ?? "null";
}

function coalesce(all: Compiled[]): Compiled {
  return {
    sql: `coalesce(${all.map((one) => one.sql).join(", ")})`,
    kind: oneKind("coalesce", all),
    evaluate: (rows, row) => {
      for (const one of all) {
        const value = one.evaluate(rows, row);
        if (value !== null) return value;
      }
      return null;
    },
  };
}

/** DuckDB's own functions leave nulls out. */
function extreme(op: "least" | "greatest", all: Compiled[]): Compiled {
  const kind = oneKind(op, all);
  const sign = op === "least" ? -1 : 1;
  return {
    sql: `(case when ${all.map((one) => `(${one.sql}) is not null`).join(" and ")} then ${op}(${all.map((one) => one.sql).join(", ")}) end)`,
    kind,
    evaluate: (rows, row) => {
      let found: Value = null;
      for (const one of all) {
        const value = one.evaluate(rows, row);
        if (value === null) return null;
        if (found === null || order(value, found) * sign > 0) found = value;
      }
      return found;
    },
  };
}

/** SQL's three values: one false decides an `and`, one true an `or`, whatever is unknown beside it. */
function logical(op: "and" | "or", all: Compiled[]): Compiled {
  const decides = op === "or";
  for (const one of all) wanted(op, one, "boolean");
  return {
    sql: `(${all.map((one) => `(${one.sql})`).join(` ${op} `)})`,
    kind: "boolean",
    evaluate: (rows, row) => {
      let unknown = false;
      for (const one of all) {
        const value = one.evaluate(rows, row);
        if (value === decides) return decides;
        unknown ||= value === null;
      }
      return unknown ? null : !decides;
    },
  };
}

function choice(condition: Compiled, yes: Compiled, no: Compiled): Compiled {
  wanted("if", condition, "boolean");
  return {
    sql: `(case when (${condition.sql}) then (${yes.sql}) else (${no.sql}) end)`,
    kind: oneKind("if", [yes, no]),
    evaluate: (rows, row) => (condition.evaluate(rows, row) === true ? yes : no).evaluate(rows, row),
  };
}

function oneOf(of: Compiled, values: (number | string)[]): Compiled {
  const kind = values.some((value) => typeof value === "string") ? "string" : "number";
  if (values.some((value) => typeof value !== kind)) throw invalid("one_of names texts or numbers, not both.");
  if (!(kind === "string" && of.kind === "date")) wanted("one_of", of, kind);
  const known = new Set<Value>(values);
  return {
    sql: `((${of.sql}) in (${values.map((value) => constant(value).sql).join(", ")}))`,
    kind: "boolean",
    evaluate: mapped(of, (value) => known.has(value)),
  };
}

function secondsBetween(a: Compiled, b: Compiled): Compiled {
  const [from, to] = [a, b].map((one) => wanted("seconds_between", asTime(one, { ...one, kind: "timestamp" }), "timestamp"));
  if (from === undefined || to === undefined) throw invalid("seconds_between takes two moments.");
  const micros = (one: Compiled) => `epoch_us((${one.sql})::timestamptz)`;
  return {
    sql: `((${micros(to)} - ${micros(from)})::double / 1000000)`,
    kind: "number",
    evaluate: (rows, row) => {
      const [x, y] = [from.evaluate(rows, row), to.evaluate(rows, row)];
      return x === null || y === null ? null : (Number(y) - Number(x)) / 1_000_000;
    },
  };
}

const numberFunctions = {
  abs: [(x: string) => `abs(${x})`, Math.abs],
  floor: [(x: string) => `floor(${x})`, Math.floor],
  ceil: [(x: string) => `ceil(${x})`, Math.ceil],
  round: [(x: string) => `(sign(${x}) * floor(abs(${x}) + 0.5))`, (x: number) => Math.sign(x) * Math.floor(Math.abs(x) + 0.5)],
  // What DuckDB would refuse is missing.
  sqrt: [(x: string) => `sqrt(case when ${x} >= 0 then ${x} end)`, (x: number) => (x < 0 ? null : Math.sqrt(x))],
  log: [(x: string) => `ln(case when ${x} > 0 then ${x} end)`, (x: number) => (x <= 0 ? null : Math.log(x))],
  exp: [(x: string) => `exp(${x})`, Math.exp],
} as const;

function numberFunction(op: keyof typeof numberFunctions, of: Compiled): Compiled {
  wanted(op, of, "number");
  const [sql, apply] = numberFunctions[op];
  return { sql: sql(`((${of.sql})::double)`), kind: "number", evaluate: mapped(of, (value) => apply(Number(value))) };
}

/** Latin, Greek and Cyrillic letters with one partner each: one table for both sides, as their Unicode versions differ. */
function letterTable(change: (letter: string) => string): { from: string; to: string; partner: Map<string, string> } {
  const partner = new Map<string, string>();
  for (let code = 0x41; code < 0x530; code++) {
    const letter = String.fromCodePoint(code);
    const changed = change(letter);
    if (changed !== letter && changed.length === 1) partner.set(letter, changed);
  }
  return { from: [...partner.keys()].join(""), to: [...partner.values()].join(""), partner };
}
const toLower = letterTable((letter) => letter.toLowerCase());
const toUpper = letterTable((letter) => letter.toUpperCase());
const translate = ({ from, to }: typeof toLower, sql: string): string => `translate(${sql}, '${from}', '${to}')`;
const translated = ({ partner }: typeof toLower, text: string): string => Array.from(text, (letter) => partner.get(letter) ?? letter).join("");

const textFunctions = {
  lower: [(x: string) => translate(toLower, x), (text: string) => translated(toLower, text)],
  upper: [(x: string) => translate(toUpper, x), (text: string) => translated(toUpper, text)],
  trim: [(x: string) => `trim(${x}, ' ')`, (text: string) => text.replace(/^ +/, "").replace(/ +$/, "")],
  length: [(x: string) => `length(${x})::double`, (text: string) => Array.from(text).length],
} as const;

function textFunction(op: keyof typeof textFunctions, of: Compiled): Compiled {
  wanted(op, of, "string");
  const [sql, apply] = textFunctions[op];
  return { sql: sql(`((${of.sql})::varchar)`), kind: op === "length" ? "number" : "string", evaluate: mapped(of, (value) => apply(String(value))) };
}

const textTests = {
  contains: (text: string, part: string) => text.includes(part),
  starts_with: (text: string, part: string) => text.startsWith(part),
  ends_with: (text: string, part: string) => text.endsWith(part),
} as const;

function textTest(op: keyof typeof textTests, text: Compiled, part: Compiled): Compiled {
  for (const one of [text, part]) wanted(op, one, "string");
  return {
    sql: `${op}((${text.sql})::varchar, (${part.sql})::varchar)`,
    kind: "boolean",
    evaluate: (rows, row) => {
      const [x, y] = [text.evaluate(rows, row), part.evaluate(rows, row)];
      return x === null || y === null ? null : textTests[op](String(x), String(y));
    },
  };
}

function concat(all: Compiled[]): Compiled {
  for (const one of all) wanted("concat", one, "string");
  return {
    sql: `(${all.map((one) => `(${one.sql})::varchar`).join(" || ")})`,
    kind: "string",
    evaluate: (rows, row) => {
      const values = all.map((one) => one.evaluate(rows, row));
      return values.includes(null) ? null : values.join("");
    },
  };
}

function substring(of: Compiled, start: number, length: number): Compiled {
  wanted("substring", of, "string");
  return {
    sql: `substring((${of.sql})::varchar, ${start}, ${length})`,
    kind: "string",
    evaluate: mapped(of, (value) =>
      Array.from(String(value))
        .slice(start - 1, start - 1 + length)
        .join(""),
    ),
  };
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
