import type { ColumnStatistics } from "@millrace/sdk/api";
import type { RelationSpec, SchemaSpec } from "@millrace/sdk/spec";
import { identifier, literal } from "../platform/index.js";
import type { CheckedTable } from "./check.js";
import { isNumber, isTime, place } from "./statistics/axis.js";
import type { TableColumn } from "./types.js";

/** Below this a rule is chance. */
const fewestRows = 100;
/** Pairs of columns are looked at in one query. */
const mostPairs = 400;

/** Adds to a schema what the table happens to keep and a person may want to keep: uniqueness, patterns, relations, how the volume may move. */
export async function suggest(table: CheckedTable, schema: SchemaSpec, now: Date): Promise<void> {
  if (table.rows < fewestRows) return;
  for (const [i, column] of table.columns.entries()) {
    const found = table.statistics[i];
    const rule = schema.columns[column.name];
    if (found === undefined || rule === undefined) continue;
    const key = column.type === "string" || column.type === "int64";
    if (key && !found.approximate && found.distinct === table.rows) rule.unique = true;
    if (column.type === "string" && rule.domain === undefined && found.lengths !== undefined && found.lengths.max > 0) {
      const pattern = await patternOf(table, column, found);
      if (pattern !== undefined) rule.pattern = pattern;
      else rule.maxLength = found.lengths.max * 2;
    }
  }
  const relations = await relationsOf(table);
  if (relations.length > 0) schema.relations = relations;
  schema.volume = { within: 0.5 };
  const freshness = await freshnessOf(table, now);
  if (freshness !== undefined) schema.freshness = freshness;
  // Where distributions are known they are watched, by the bound that is taken as a shift.
  for (const rule of Object.values(schema.columns)) if (rule.domain !== undefined) rule.drift = { lInfinity: 0.1 };
}

/** By the column of times that has the newest one. A table of long ago is history, of which nobody expects that it is fresh. */
async function freshnessOf({ duckdb, connection, source, columns, statistics }: CheckedTable, now: Date): Promise<SchemaSpec["freshness"]> {
  const times = columns.filter((column, i) => column.type === "timestamp" && statistics[i]?.nulls === 0);
  if (times.length === 0) return undefined;
  const newest = times.map((column, i) => `max(${place(column)}) as t${i}`);
  const [row] = await duckdb.rows<Record<string, number | null>>(`select ${newest.join(", ")} from ${source}`, connection);
  const ages = times.flatMap(({ name }, i) => {
    const age = now.getTime() - (row?.[`t${i}`] ?? Number.NaN);
    // What is to come, as the time for which something is planned, tells nothing of how old a table is.
    return age >= 0 && age <= oldestMs ? [{ name, age }] : [];
  });
  const [youngest] = ages.sort((a, b) => a.age - b.age);
  if (youngest === undefined) return undefined;
  const hours = Math.max(1, Math.ceil((2 * youngest.age) / 3_600_000));
  return { column: youngest.name, maxAge: hours <= 48 ? `${hours}h` : `${Math.ceil(hours / 24)}d`, severity: "warn" };
}
const oldestMs = 180 * 86_400_000;

/** A pattern by the kinds of characters that texts are made of, where at most a few shapes make up all of them. */
async function patternOf({ duckdb, connection, source }: CheckedTable, column: TableColumn, { lengths }: ColumnStatistics): Promise<string | undefined> {
  if (lengths === undefined || lengths.max > 40) return undefined;
  const name = identifier(column.name);
  const shape = `regexp_replace(regexp_replace(regexp_replace(${name}::varchar, '[A-Z]+', 'A', 'g'), '[a-z]+', 'a', 'g'), '[0-9]+', '0', 'g')`;
  const shapes = await duckdb.rows<{ shape: string }>(`select distinct ${shape} as shape from ${source} where ${name} is not null limit 4`, connection);
  if (shapes.length === 0 || shapes.length > 3) return undefined;
  const parts = shapes.map(({ shape: one }) => [...one].map((sign) => classes[sign] ?? literally(sign)).join("")).sort();
  const pattern = parts.length === 1 ? (parts[0] ?? "") : `(${parts.join("|")})`;
  // A single fixed text, or signs of other scripts, make no pattern that says something.
  if (!/\[/.test(pattern) || /[^\x20-\x7e]/.test(pattern) || pattern.length > 200) return undefined;
  const [row] = await duckdb.rows<{ n: number }>(
    `select count(*)::double as n from ${source} where not regexp_full_match(${name}::varchar, ${literal(pattern)})`,
    connection,
  );
  return row?.n === 0 ? pattern : undefined;
}
const classes: Record<string, string> = { A: "[A-Z]+", a: "[a-z]+", "0": "[0-9]+" };
const literally = (sign: string) => sign.replace(/[\\^$.|?*+()[\]{}]/, "\\$&");

/** Pairs of columns that are in order in every row, and columns that are null in the same rows. */
async function relationsOf({ duckdb, connection, source, columns, statistics, rows }: CheckedTable): Promise<RelationSpec[]> {
  const relations: RelationSpec[] = [];
  const pairs: [TableColumn, TableColumn][] = [];
  for (const [i, a] of columns.entries()) {
    for (const [j, b] of columns.entries()) {
      if (i === j || pairs.length >= mostPairs) continue;
      // Of numbers any two may happen to be in order: only names that belong together are looked at.
      if ((isTime(a) && isTime(b)) || (isNumber(a) && isNumber(b) && related(a.name, b.name))) pairs.push([a, b]);
    }
  }
  if (pairs.length > 0) {
    const parts = pairs.map(([a, b], i) => {
      const [x, y] = [identifier(a.name), identifier(b.name)];
      return `bool_and(${x} <= ${y}) as o${i}, count(*) filter (where ${x} < ${y})::double as n${i}`;
    });
    const [row] = await duckdb.rows<Record<string, boolean | number | null>>(`select ${parts.join(", ")} from ${source}`, connection);
    for (const [i, [a, b]] of pairs.entries()) {
      if (row?.[`o${i}`] === true && Number(row[`n${i}`]) > rows / 10) relations.push({ kind: "compare", left: a.name, op: "<=", right: b.name });
    }
  }
  const sometimes = columns.filter((_, i) => (statistics[i]?.nulls ?? 0) > 0 && (statistics[i]?.count ?? 0) > 0).slice(0, 50);
  const groups = new Map<string, string[]>();
  if (sometimes.length > 1) {
    // Columns that are null in the same rows have the same digest of where they are.
    const parts = sometimes.map(({ name }, i) => `bit_xor(case when ${identifier(name)} is null then hash(place) end)::varchar as h${i}`);
    const names = sometimes.map(({ name }) => identifier(name)).join(", ");
    const [row] = await duckdb.rows<Record<string, string | null>>(
      `select ${parts.join(", ")} from (select ${names}, row_number() over () as place from ${source})`,
      connection,
    );
    for (const [i, { name }] of sometimes.entries()) {
      const digest = row?.[`h${i}`];
      if (digest != null) groups.set(digest, [...(groups.get(digest) ?? []), name]);
    }
  }
  for (const group of groups.values()) if (group.length > 1) relations.push({ kind: "null_together", columns: group });
  return relations.slice(0, 50);
}

/** One name is the other's with a pair of opposites changed. */
function related(a: string, b: string): boolean {
  return opposites.some(([low, high]) => a !== b && a.toLowerCase().replace(low, "·") === b.toLowerCase().replace(high, "·") && a.toLowerCase().includes(low));
}
const opposites = [
  ["min", "max"],
  ["start", "end"],
  ["first", "last"],
  ["low", "high"],
  ["from", "to"],
  ["begin", "end"],
  ["net", "gross"],
] as const;
