/**
 * MLflow's filters as SQL: `metrics.auc > 0.7 and params.kind = 'tree' and tags."mlflow.user" LIKE 'a%'`. Beyond MLflow: OR and parentheses.
 * What a name leads to is said by a `Searchable`; a value is only ever a parameter of the statement.
 */
import { type RawBuilder, sql } from "kysely";
import { ApiError } from "../platform/index.js";
import { invalidValue } from "./errors.js";
import type { View } from "./types.js";

export type Sql = RawBuilder<unknown>;

/** Something that can be compared, and that an order can go by. */
export interface Field {
  /** `number` is a floating-point number, of which NaN is one; a `time` is compared with milliseconds since 1970. */
  type: "text" | "number" | "integer" | "time";
  /** For values that lie in rows of their own: true where there is such a row and its value passes. */
  where(test: (value: Sql) => Sql): Sql;
  /** Where it may be asked for with IS NULL. */
  missing?: Sql;
  /** What of it can be ordered by; nothing where it can't. */
  sort?: {
    value: Sql;
    nullable: boolean;
    /** Where it is ordered as something else than it is compared as. */
    type?: Field["type"];
    /** `left join`ed, or inner joined where only what has a value is wanted. */
    join?: (kind: Sql) => Sql;
  };
}
export interface Searchable {
  /** By kind (`attributes`, `metrics`, …); each answers undefined where there is no such key. */
  fields: Record<string, (key: string) => Field | undefined>;
  /** The keys of `attributes`, for who names another. */
  attributes: string[];
}

export const attribute = (column: Sql, type: Field["type"], nullable = false): Field => ({
  type,
  where: (test) => test(column),
  sort: { value: column, nullable },
});
/** Attributes by their names, also under other names. */
export function attributes(fields: Record<string, Field>, aliases: Record<string, string> = {}): { names: string[]; of: Searchable["fields"][string] } {
  const known = new Map(Object.entries(fields));
  for (const [alias, name] of Object.entries(aliases)) {
    const field = fields[name];
    if (field !== undefined) known.set(alias, field);
  }
  return { names: Object.keys(fields), of: (key) => known.get(key) };
}
/** A column of jsonb, by key. */
export const jsonField = (column: Sql, key: string): Field => ({
  ...attribute(sql`(${column} ->> ${key}::text)`, "text", true),
  missing: sql`not ${column} ? ${key}::text`,
});

export const ofView = (view: View, stage: Sql): Sql => (view === "ALL" ? sql`true` : sql`${stage} = ${view === "DELETED_ONLY" ? "deleted" : "active"}::text`);

type Kind = "and" | "or" | "is" | "quoted" | "compare" | "word" | "open" | "close" | "comma" | "number" | "name";
interface Token {
  kind: Kind;
  text: string;
  /** Where it begins in the filter. */
  at: number;
}
const patterns: [Kind, RegExp][] = [
  ["and", /and\b/iy],
  ["or", /or\b/iy],
  ["is", /is\s+(?:not\s+)?null\b/iy],
  ["word", /(?:not\s+)?(?:i?like|in)\b/iy],
  ["name", /(?:[a-zA-Z_]\w*|`[^`]*`)(?:\.(?:"[^"]*"|'[^']*'|`[^`]*`|[\p{L}\p{N}_./:-]+))?/uy],
  ["quoted", /"[^"]*"|'(?:[^']|'')*'/y],
  ["compare", /<=|>=|!=|=|<|>/y],
  ["open", /\(/y],
  ["close", /\)/y],
  ["comma", /,/y],
  ["number", /[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?/iy],
];
const largest = { filter: 20_000, comparisons: 100, depth: 20, list: 1_000 };

function tokens(filter: string): Token[] {
  const found: Token[] = [];
  const space = /\s*/y;
  for (let at = 0; ; ) {
    space.lastIndex = at;
    space.exec(filter);
    at = space.lastIndex;
    if (at >= filter.length) return found;
    const token = tokenAt(filter, at);
    if (token === undefined) throw placed(invalidValue(`Invalid clause(s) in filter string: '${filter.slice(at, at + 40)}'`), at);
    found.push({ ...token, at });
    at += token.text.length;
  }
}
function tokenAt(filter: string, at: number): Omit<Token, "at"> | undefined {
  for (const [kind, pattern] of patterns) {
    pattern.lastIndex = at;
    const text = pattern.exec(filter)?.[0];
    if (text !== undefined) return { kind, text };
  }
  return undefined;
}

const unquoted = (text: string): string => (/^'/.test(text) ? text.slice(1, -1).replaceAll("''", "'") : /^["`]/.test(text) ? text.slice(1, -1) : text);
const plural: Record<string, string> = {
  attribute: "attributes",
  attr: "attributes",
  run: "attributes",
  metric: "metrics",
  param: "params",
  parameter: "params",
  parameters: "params",
  tag: "tags",
  dataset: "datasets",
};

/** Throws a 400 where a name leads to nothing. */
export function fieldOf(name: string, of: Searchable): Field {
  const match = /^([a-zA-Z_]\w*|`[^`]*`|"[^"]*")(?:\.("[^"]*"|'[^']*'|`[^`]*`|[\p{L}\p{N}_./:-]+))?$/u.exec(name);
  if (match === null)
    throw invalidValue(`Invalid identifier '${name.slice(0, 200)}'. Write it as metrics.<key>, with quotes around a key of other characters.`);
  const [first, rest] = [match[1] ?? name, match[2]];
  const [kind, key] = rest === undefined ? ["attributes", unquoted(first)] : [plural[unquoted(first)] ?? unquoted(first), unquoted(rest)];
  const field = Object.hasOwn(of.fields, kind) ? of.fields[kind]?.(key) : undefined;
  if (field !== undefined) return field;
  if (!Object.hasOwn(of.fields, kind)) throw invalidValue(`Invalid entity type '${kind}'. Valid values are ${Object.keys(of.fields).join(", ")}.`);
  throw invalidValue(`Invalid ${kind} key '${key}' specified.${kind === "attributes" ? ` Valid keys are ${of.attributes.join(", ")}.` : ""}`);
}

/** The condition that a filter says; true for an empty one. */
export function where(filter: string, of: Searchable): Sql {
  if (filter.length > largest.filter) throw invalidValue(`The filter is longer than ${largest.filter} characters.`);
  const list = tokens(filter);
  if (list.length === 0) return sql`true`;
  let at = 0;
  let comparisons = 0;
  const peek = (): Kind | undefined => list[at]?.kind;
  const next = (expected: string): Token => {
    const one = list[at++];
    if (one === undefined) throw invalidValue(`The filter ends where ${expected} is expected: '${filter.slice(-60)}'`);
    return one;
  };

  function any(depth: number): Sql {
    const parts = [all(depth)];
    while (peek() === "or") {
      at++;
      parts.push(all(depth));
    }
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : sql`(${sql.join(parts, sql` or `)})`;
  }
  function all(depth: number): Sql {
    const parts = [one(depth)];
    while (peek() === "and") {
      at++;
      parts.push(one(depth));
    }
    return sql.join(parts, sql` and `);
  }
  function one(depth: number): Sql {
    if (peek() !== "open") return comparison();
    if (depth >= largest.depth) throw invalidValue(`The filter has more than ${largest.depth} parentheses in each other.`);
    at++;
    const inner = any(depth + 1);
    const close = next("a closing parenthesis");
    if (close.kind !== "close") throw invalidValue(`The filter has '${close.text}' where a closing parenthesis is expected.`);
    return sql`(${inner})`;
  }
  function comparison(): Sql {
    if (++comparisons > largest.comparisons) throw invalidValue(`The filter has more than ${largest.comparisons} comparisons.`);
    const name = next("a name");
    if (name.kind !== "name" && !name.text.startsWith('"'))
      throw invalidValue(`Invalid clause(s) in filter string: '${name.text}' stands where a name is expected.`);
    const field = fieldOf(name.text, of);
    const operator = next("a comparison");
    const word = operator.text.toUpperCase().replaceAll(/\s+/g, " ");
    switch (operator.kind) {
      case "is": {
        if (field.missing === undefined) throw invalidValue(`${word} is only supported for tags and params, not for '${name.text}'.`);
        return word === "IS NULL" ? sql`(${field.missing})` : sql`(not (${field.missing}))`;
      }
      case "compare":
        return field.type === "text" ? compareText(field, word, text(name), name) : compareNumber(field, word, number(name, field.type === "integer"));
      case "word": {
        if (field.type !== "text") throw invalidValue(`Invalid comparator '${word}' for '${name.text}', which is a number.`);
        if (word === "IN" || word === "NOT IN") {
          const values = texts(name);
          return field.where((value) => (word === "IN" ? sql`${value} = any(${values}::text[])` : sql`${value} <> all(${values}::text[])`));
        }
        const pattern = text(name);
        // Without an escape character, as MLflow has it.
        return field.where((value) => sql`${value} ${sql.raw(word)} ${pattern}::text escape ''`);
      }
      default:
        throw invalidValue(`Invalid clause(s) in filter string: '${operator.text}' stands where a comparison is expected.`);
    }
  }
  /** A whole number may stand in quotes, as version numbers do in MLflow's own examples. */
  function number(name: Token, whole: boolean): number {
    const value = next("a number");
    if (whole && /^(['"])-?\d+\1$/.test(value.text)) return Number(unquoted(value.text));
    if (value.kind !== "number") throw invalidValue(`Expected numeric value type for '${name.text}'. Found ${value.text}`);
    return Number(value.text);
  }
  function text(name: Token): string {
    const value = next("a text in quotes");
    if (value.kind !== "quoted") throw invalidValue(`Expected a quoted string value for '${name.text}' (e.g. 'my-value'). Got value ${value.text}`);
    return unquoted(value.text);
  }
  function texts(name: Token): string[] {
    if (next("a list in parentheses").kind !== "open") throw invalidValue(`IN compares '${name.text}' with a list in parentheses.`);
    const values = [text(name)];
    while (peek() === "comma") {
      at++;
      if (peek() !== "close") values.push(text(name));
    }
    if (next("a closing parenthesis").kind !== "close") throw invalidValue("A list in parentheses has commas between its texts.");
    if (values.length > largest.list) throw invalidValue(`A list has at most ${largest.list} texts.`);
    return values;
  }

  try {
    const condition = any(0);
    const left = list[at++];
    if (left !== undefined) throw invalidValue(`Invalid clause(s) in filter string: '${left.text}' stands where AND or OR is expected.`);
    return condition;
  } catch (error) {
    // What was read last is what is wrong; a filter that ends too early is so at its end.
    throw placed(error, list[at - 1]?.at ?? filter.length);
  }
}
/** A refusal that says where in the filter, for who marks it there. */
const placed = (error: unknown, at: number): unknown => (error instanceof ApiError ? new ApiError(error.status, error.code, error.message, { at }) : error);

const comparators: Record<string, Sql> = { "=": sql`=`, "!=": sql`<>`, "<": sql`<`, "<=": sql`<=`, ">": sql`>`, ">=": sql`>=` };
function compareNumber(field: Field, operator: string, constant: number): Sql {
  const compare = comparators[operator] ?? sql`=`;
  if (field.type === "time") return field.where((value) => sql`${value} ${compare} to_timestamp(${constant}::float8 / 1000)`);
  // An index of whole numbers is of use only where they are compared with one.
  if (field.type === "integer" && Number.isSafeInteger(constant)) return field.where((value) => sql`${value} ${compare} ${constant}::bigint`);
  return field.where((value) => {
    const compared = sql`${value} ${compare} ${constant}::float8`;
    // Nothing compares with NaN, which PostgreSQL takes for the largest number of all.
    return operator.startsWith(">") && field.type === "number" ? sql`(${compared} and ${value} <> 'NaN'::float8)` : compared;
  });
}
function compareText(field: Field, operator: string, constant: string, name: Token): Sql {
  if (operator !== "=" && operator !== "!=")
    throw invalidValue(`Invalid comparator '${operator}' for '${name.text}', which is a text: use =, !=, LIKE, ILIKE or IN.`);
  return field.where((value) => sql`${value} ${comparators[operator] ?? sql`=`} ${constant}::text`);
}
