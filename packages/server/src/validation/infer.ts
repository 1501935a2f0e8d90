import type { DuckDBConnection } from "@duckdb/node-api";
import type { ColumnRule, SchemaSpec } from "@millrace/sdk/spec";
import { type DuckDb, identifier, parquet } from "../platform/index.js";
import { statisticsOf } from "./statistics/index.js";
import { suggest } from "./suggest.js";
import type { TableColumn } from "./types.js";

/** A text column is a domain when it has at most this many values, each of them seen this often on average. */
const largestDomain = 50;
const seenEach = 20;

/** Rules that the table passes, with room for another one like it. Meant to be read and edited by a person. */
export async function inferSchema(duckdb: DuckDb, connection: DuckDBConnection, of: { name: string; now: Date }, files: string[]): Promise<SchemaSpec> {
  const source = parquet(files);
  const { rows, statistics, columns } = await statisticsOf({ duckdb, connection }, files, (column) => column.type !== undefined);
  const rules: Record<string, ColumnRule> = {};
  for (const [i, column] of columns.entries()) {
    const found = statistics[i];
    if (found === undefined || column.type === undefined) continue;
    const rule: ColumnRule = { type: column.type, maxNullShare: nullShare(found.nulls, rows) };
    if (column.type === "string" && found.count >= seenEach && found.distinct <= Math.min(largestDomain * 1.2, found.count / seenEach)) {
      const domain = await valuesOf(duckdb, connection, source, column);
      if (domain.length > 0 && domain.length <= largestDomain) rule.domain = domain;
    }
    if (typeof found.min === "number" && typeof found.max === "number") Object.assign(rule, range(column, found.min, found.max));
    if ((found.nan ?? 0) + (found.infinite ?? 0) > 0) {
      // Values that are not finite are in no range: rules that the table passes allow as many and some more.
      rule.maxFailing = nullShare((found.nan ?? 0) + (found.infinite ?? 0), rows);
    }
    rules[column.name] = rule;
  }
  const schema: SchemaSpec = { name: of.name, columns: rules, minRows: Math.floor(rows / 10) };
  await suggest({ duckdb, connection, files, source, rows, statistics, columns }, schema, of.now);
  return schema;
}

/** None stay none; some may become twice as many and a hundredth more. */
function nullShare(nulls: number, rows: number): number {
  if (nulls === 0) return 0;
  return Math.min(1, Math.ceil((nulls / rows) * 2 * 100 + 1) / 100);
}

/** A quarter of the width is added on both sides, and what was never negative stays so. A single value stays what it is. */
function range(column: TableColumn, min: number, max: number): { min: number; max: number } {
  const slack = (max - min) / 4;
  if (slack === 0) return { min, max };
  const lower = min >= 0 ? Math.max(0, min - slack) : min - slack;
  const upper = max <= 0 ? Math.min(0, max + slack) : max + slack;
  if (column.type === "int64") return { min: Math.floor(lower), max: Math.ceil(upper) };
  const step = 10 ** (Math.floor(Math.log10(max - min)) - 1);
  const tidy = (value: number) => Number(value.toPrecision(12));
  return { min: tidy(Math.floor(lower / step) * step), max: tidy(Math.ceil(upper / step) * step) };
}

async function valuesOf(duckdb: DuckDb, connection: DuckDBConnection, source: string, column: TableColumn): Promise<string[]> {
  const name = identifier(column.name);
  const sql = `select distinct ${name}::varchar as v from ${source} where ${name} is not null limit ${largestDomain + 1}`;
  return (await duckdb.rows<{ v: string }>(sql, connection)).map((row) => row.v).sort();
}
