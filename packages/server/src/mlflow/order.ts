/**
 * Orders by any key, and pages that stay what they are while rows are added: a page's token says after which row the next begins.
 * As in MLflow, values come first, then NaN, then what has no value, in both directions.
 */
import { createHash } from "node:crypto";
import { sql } from "kysely";
import { invalidValue } from "./errors.js";
import { type Field, fieldOf, type Searchable, type Sql } from "./search.js";

export interface OrderKey {
  type: Field["type"];
  sort: NonNullable<Field["sort"]>;
  descending: boolean;
  /** The same key twice says nothing more. */
  name: string;
}
export interface Page<Row> {
  items: Row[];
  next?: string;
}
/** What a statement takes to answer rows in an order. */
export interface Statement {
  joins: Sql;
  where: Sql;
  orderBy: Sql;
  limit: number;
  /** Selected as `position`: where the row stands in the order. */
  position: Sql;
}
interface Positioned {
  position: (string | null)[];
}

/** `["metrics.auc DESC", "start_time"]`. */
export function orderKeys(by: string[], of: Searchable): OrderKey[] {
  const keys: OrderKey[] = [];
  for (const text of by) {
    const match = /^\s*(.+?)(?:\s+(asc|desc))?\s*$/is.exec(text);
    const name = match?.[1];
    if (name === undefined || text.length > 1_000) throw invalidValue(`Invalid order_by clause '${text.slice(0, 200)}'. Could not be parsed.`);
    const field = fieldOf(name, of);
    if (field.sort === undefined) throw invalidValue(`Results can't be ordered by '${name}'.`);
    if (!keys.some((key) => key.name === name))
      keys.push({ type: field.sort.type ?? field.type, sort: field.sort, descending: match?.[2]?.toLowerCase() === "desc", name });
  }
  if (keys.length > 20) throw invalidValue("An order has at most 20 keys.");
  return keys;
}
export const key = (name: string, field: Field, descending = false): OrderKey => {
  if (field.sort === undefined) throw new Error(`${name} has no order`);
  return { name, type: field.sort.type ?? field.type, sort: field.sort, descending };
};

/** Which values of the first key a statement is for: an index gives each kind in order, which it could not do with all of them. */
type Phase = "value" | "nan" | "none";
const phasesOf = ({ type, sort }: OrderKey): Phase[] => (!sort.nullable ? ["value"] : type === "number" ? ["value", "nan", "none"] : ["value", "none"]);

interface Token {
  /** Of the search: a token goes with the search that gave it. */
  search: string;
  phase: Phase;
  after: (string | null)[];
}

/**
 * One page. The last keys must tell any two rows apart. `search` is whatever the order and the rows depend on; `read` runs a
 * statement whose rows carry `position`.
 */
export async function readPage<Row extends Positioned>(
  keys: OrderKey[],
  page: { limit: number; token: string | undefined; search: unknown },
  read: (statement: Statement) => Promise<Row[]>,
): Promise<Page<Row>> {
  const [first, ...rest] = keys;
  if (first === undefined) throw new Error("an order needs a key");
  const search = createHash("sha256").update(JSON.stringify(page.search)).digest("base64url").slice(0, 16);
  const token = page.token === undefined || page.token === "" ? undefined : readToken(page.token, search, keys);
  const phases = phasesOf(first);
  const items: { row: Row; phase: Phase }[] = [];
  for (const phase of phases.slice(token === undefined ? 0 : phases.indexOf(token.phase))) {
    const after = token?.phase === phase ? token.after : undefined;
    const limit = page.limit + 1 - items.length;
    const rows = await read({
      joins: sql.join([joinOf(first, phase === "none" ? sql`left join` : sql`join`), ...rest.map((one) => joinOf(one, sql`left join`))], sql` `),
      where: sql.join([phaseCondition(first, phase), ...(after === undefined ? [] : [afterCondition(first, rest, phase, after)])], sql` and `),
      orderBy: sql.join([...(phase === "value" ? [directed(first)] : []), ...rest.flatMap((one) => [...rank(one), directed(one)])]),
      limit,
      position: sql`array[${sql.join(keys.map(({ sort }) => sql`(${sort.value})::text`))}]::text[]`,
    });
    items.push(...rows.map((row) => ({ row, phase })));
    if (items.length > page.limit) break;
  }
  const shown = items.slice(0, page.limit);
  const last = shown.at(-1);
  return {
    items: shown.map(({ row }) => row),
    ...(items.length > page.limit && last !== undefined ? { next: writeToken({ search, phase: last.phase, after: last.row.position }) } : {}),
  };
}

const joinOf = ({ sort }: OrderKey, kind: Sql): Sql => sort.join?.(kind) ?? sql``;
const directed = ({ sort, descending }: OrderKey): Sql => (descending ? sql`${sort.value} desc` : sql`${sort.value}`);
function rank({ type, sort }: OrderKey): Sql[] {
  if (!sort.nullable) return [];
  return [type === "number" ? sql`case when ${sort.value} is null then 2 when ${sort.value} = 'NaN'::float8 then 1 else 0 end` : sql`(${sort.value} is null)`];
}
function phaseCondition({ type, sort }: OrderKey, phase: Phase): Sql {
  if (!sort.nullable) return sql`true`;
  if (phase === "none") return sql`${sort.value} is null`;
  if (phase === "nan") return sql`${sort.value} = 'NaN'::float8`;
  return type === "number" ? sql`${sort.value} <> 'NaN'::float8` : sql`${sort.value} is not null`;
}

function afterCondition(first: OrderKey, rest: OrderKey[], phase: Phase, after: (string | null)[]): Sql {
  const [value, ...values] = after;
  const beyond = afterAll(rest, values);
  if (phase !== "value") return sql`(${beyond})`;
  const { sort, descending } = first;
  const told = constant(first, value ?? null);
  // The first of the three is what an index can begin at.
  return descending
    ? sql`${sort.value} <= ${told} and (${sort.value} < ${told} or (${beyond}))`
    : sql`${sort.value} >= ${told} and (${sort.value} > ${told} or (${beyond}))`;
}
/** Rows that come after the given values in the order of the keys. */
function afterAll(keys: OrderKey[], values: (string | null)[]): Sql {
  const [one, ...rest] = keys;
  if (one === undefined) return sql`false`;
  const [value = null, ...others] = values;
  const told = constant(one, value);
  const further = one.descending ? sql`${one.sort.value} < ${told}` : sql`${one.sort.value} > ${told}`;
  const equal = sql`${one.sort.value} is not distinct from ${told} and (${afterAll(rest, others)})`;
  const [ranked] = rank(one);
  if (ranked === undefined) return sql`(${further}) or (${equal})`;
  if (value === null) return equal;
  // What has no value, and NaN, come after every value.
  const isValue = one.type === "number" ? sql`${one.sort.value} <> 'NaN'::float8` : sql`true`;
  if (value === "NaN" && one.type === "number") return sql`${one.sort.value} is null or (${equal})`;
  return sql`(${further} and ${isValue}) or ${one.sort.value} is null${one.type === "number" ? sql` or ${one.sort.value} = 'NaN'::float8` : sql``} or (${equal})`;
}
const casts = { text: sql`text`, number: sql`text::float8`, integer: sql`text::bigint`, time: sql`text::timestamptz` };
const constant = ({ type }: OrderKey, value: string | null): Sql => sql`${value}::${casts[type]}`;

const writeToken = ({ search, phase, after }: Token): string => Buffer.from(JSON.stringify([search, phase, ...after])).toString("base64url");
function readToken(token: string, search: string, keys: OrderKey[]): Token {
  const given = parse(Buffer.from(token, "base64url").toString());
  if (!Array.isArray(given)) throw invalidValue("Invalid page token: pass on the one of the last answer.");
  const [of, phase, ...after] = given as unknown[];
  if (of !== search) throw invalidValue("Invalid page token: it belongs to another search. Repeat the filter and the order of the first page.");
  const isPhase = phase === "value" || phase === "nan" || phase === "none";
  if (!isPhase || after.length !== keys.length || !after.every(isPosition) || !keys.every((one, i) => fits(one, after[i] ?? null)))
    throw invalidValue("Invalid page token: pass on the one of the last answer.");
  return { search, phase, after };
}
const isPosition = (one: unknown): one is string | null => one === null || typeof one === "string";
function fits({ type, sort }: OrderKey, value: string | null): boolean {
  if (value === null) return sort.nullable;
  if (type === "integer") return /^-?[0-9]{1,18}$/.test(value);
  if (type === "time") return /^[0-9]{4,6}-[0-9]{2}-[0-9]{2} [0-9:.]{8,15}[+-][0-9:]{2,8}$/.test(value) && !Number.isNaN(Date.parse(value));
  return type === "text" || /^(?:NaN|-?Infinity|-?[0-9.]+(?:e[+-]?[0-9]{1,3})?)$/.test(value);
}
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
