/** MLflow's filters and orders, as SQL: `metrics.auc > 0.7 and params.fault = 'none' and tags."mlflow.user" LIKE 'a%'`. */
import { type RawBuilder, sql } from "kysely";
import { invalidValue } from "./errors.js";

type Sql = RawBuilder<unknown>;
/** How the columns of one kind of thing are asked for. */
export interface Searchable {
  attributes: Record<string, { column: Sql; type: "text" | "number" }>;
  /** SQL of the value under a key; null where there is none. */
  keyed: Record<string, { value: (key: string) => Sql; type: "text" | "number" }>;
}

const token =
  /\s*(?:(and|AND|And)\b|("(?:[^"\\]|\\.)*"|`[^`]*`|'(?:[^'\\]|\\.)*')|(<=|>=|!=|=|<|>)|((?:NOT\s+)?I?LIKE\b|NOT\s+IN\b|IN\b)|(\()|(\))|(,)|([a-zA-Z_][\w]*(?:\.(?:[\w./-]+|"[^"]*"|`[^`]*`))?)|(-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))/iy;
type Token = { kind: "and" | "quoted" | "compare" | "like" | "open" | "close" | "comma" | "name" | "number"; text: string };
const kinds = ["and", "quoted", "compare", "like", "open", "close", "comma", "name", "number"] as const;

function tokens(filter: string): Token[] {
  const found: Token[] = [];
  token.lastIndex = 0;
  while (filter.slice(token.lastIndex).trim() !== "") {
    const at = token.lastIndex;
    const match = token.exec(filter);
    if (match === null) throw invalidValue(`The filter can't be read at "${filter.slice(at).trim().slice(0, 40)}".`);
    const index = kinds.findIndex((_, i) => match[i + 1] !== undefined);
    const kind = kinds[index];
    if (kind !== undefined) found.push({ kind, text: match[index + 1] ?? "" });
  }
  return found;
}

const unquoted = (text: string): string => text.slice(1, -1).replaceAll(/\\(.)/g, "$1");

function column(name: string, of: Searchable): { value: Sql; type: "text" | "number" } {
  const dot = name.indexOf(".");
  const [kind, rest] = dot < 0 ? ["attributes", name] : [name.slice(0, dot), name.slice(dot + 1)];
  const key = /^["`]/.test(rest) ? unquoted(rest) : rest;
  const plural =
    {
      attribute: "attributes",
      attr: "attributes",
      run: "attributes",
      metric: "metrics",
      param: "params",
      parameter: "params",
      parameters: "params",
      tag: "tags",
    }[kind] ?? kind;
  if (plural === "attributes") {
    const attribute = Object.hasOwn(of.attributes, key) ? of.attributes[key] : undefined;
    if (attribute === undefined) throw invalidValue(`There is no attribute "${key}". There are ${Object.keys(of.attributes).join(", ")}.`);
    return { value: attribute.column, type: attribute.type };
  }
  const keyed = Object.hasOwn(of.keyed, plural) ? of.keyed[plural] : undefined;
  if (keyed === undefined)
    throw invalidValue(`"${name}" can't be searched by: write ${["attributes", ...Object.keys(of.keyed)].map((k) => `${k}.<name>`).join(", ")}.`);
  return { value: keyed.value(key), type: keyed.type };
}

export function where(filter: string, of: Searchable): Sql {
  if (filter.length > 5_000) throw invalidValue("The filter is longer than 5,000 characters.");
  const list = tokens(filter);
  const conditions: Sql[] = [];
  let at = 0;
  const next = (): Token => {
    const one = list[at++];
    if (one === undefined) throw invalidValue(`The filter ends too early: "${filter}".`);
    return one;
  };
  const constant = (type: "text" | "number"): string | number => {
    const one = next();
    if (type === "number" && one.kind === "number") return Number(one.text);
    if (type === "text" && one.kind === "quoted" && !one.text.startsWith("`")) return unquoted(one.text);
    throw invalidValue(`The filter compares with ${one.text}; ${type === "number" ? "a number" : "a text in quotes"} is expected there.`);
  };
  while (at < list.length) {
    const name = next();
    if (name.kind !== "name") throw invalidValue(`The filter has ${name.text} where a name is expected.`);
    const { value, type } = column(name.text, of);
    const operator = next();
    if (operator.kind === "compare") conditions.push(sql`${value} ${sql.raw(operator.text === "!=" ? "<>" : operator.text)} ${constant(type)}`);
    else if (operator.kind === "like") {
      const word = operator.text.toUpperCase().replaceAll(/\s+/g, " ");
      if (word === "IN" || word === "NOT IN") {
        if (next().kind !== "open") throw invalidValue("IN takes a list in parentheses.");
        const values = [constant(type)];
        for (let separator = next(); separator.kind !== "close"; separator = next()) values.push(constant(type));
        conditions.push(word === "IN" ? sql`${value} = any(${values})` : sql`${value} <> all(${values})`);
      } else if (type === "text") conditions.push(sql`${value} ${sql.raw(word)} ${constant("text")}`);
      else throw invalidValue(`${word} compares texts; "${name.text}" is a number.`);
    } else throw invalidValue(`The filter has ${operator.text} where a comparison is expected.`);
    if (at < list.length && next().kind !== "and") throw invalidValue("Conditions are joined by AND.");
  }
  return conditions.length === 0 ? sql`true` : sql.join(conditions, sql` and `);
}

export function order(by: string[], of: Searchable, last: Sql): Sql {
  const parts = by.map((text) => {
    const match = /^(.+?)(?:\s+(asc|desc))?$/i.exec(text.trim());
    if (match?.[1] === undefined) throw invalidValue(`"${text}" is no order: write metrics.auc DESC.`);
    return sql`${column(match[1], of).value} ${sql.raw(match[2]?.toLowerCase() === "desc" ? "desc" : "asc")} nulls last`;
  });
  return sql.join([...parts, last]);
}
