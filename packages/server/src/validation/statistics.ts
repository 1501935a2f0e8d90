import type { DuckDBConnection } from "@duckdb/node-api";
import type { ColumnStatistics } from "@millrace/sdk/api";
import { type DuckDb, identifier, literal } from "../platform/index.js";
import type { TableColumn } from "./types.js";

const quantiles = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];
const bins = 20;
const topValues = 10;

interface Summary {
  count: number;
  distinct: number;
  min: unknown;
  max: unknown;
  mean: number | null;
  stddev: number | null;
  quantiles: number[] | null;
  top: unknown[] | null;
}

/**
 * Statistics of every column in two passes. Distinct counts, quantiles and the choice of top values are sketches (HyperLogLog, t-digest,
 * Space-Saving), so that memory stays the same however long the table is; the counts of the chosen values are exact.
 */
export async function statisticsOf(
  duckdb: DuckDb,
  connection: DuckDBConnection,
  source: string,
  columns: TableColumn[],
): Promise<{ rows: number; statistics: ColumnStatistics[] }> {
  const summaries = await duckdb.rows<Record<string, unknown>>(
    `select count(*) as n, ${columns.map((column, i) => `${summarySql(column)} as c${i}`).join(", ")} from ${source}`,
    connection,
  );
  const first = summaries[0] ?? {};
  const rows = Number(first.n ?? 0);
  const read = columns.map((_, i) => first[`c${i}`] as Summary);

  const details = columns.map((column, i) => detailSql(column, read[i] as Summary)).map((sql, i) => `${sql ?? "null"} as c${i}`);
  const second = (await duckdb.rows<Record<string, unknown>>(`select ${details.join(", ")} from ${source}`, connection))[0] ?? {};
  return { rows, statistics: columns.map((column, i) => toStatistics(column, read[i] as Summary, entries(second[`c${i}`]), rows)) };
}

const isNumber = (column: TableColumn) => column.type === "int64" || column.type === "float64";

/** Infinities and NaN have no place on an axis: they count as values, and nowhere else. */
const finite = (column: TableColumn) =>
  column.sqlType === "DOUBLE" || column.sqlType === "FLOAT"
    ? `case when isfinite(${identifier(column.name)}) then ${identifier(column.name)}::double end`
    : `${identifier(column.name)}::double`;

function summarySql(column: TableColumn): string {
  const name = identifier(column.name);
  const parts = [`"count" := count(${name})`];
  if (isNumber(column)) {
    const value = finite(column);
    parts.push(`"distinct" := approx_count_distinct(${name})`, `"min" := min(${value})`, `"max" := max(${value})`, `mean := avg(${value})`);
    parts.push(`stddev := case when max(abs(${value})) < 1e150 then stddev_samp(${value}) end`);
    parts.push(`quantiles := approx_quantile(${value}, [${quantiles.join(", ")}])`, "top := null");
  } else if (column.type === "string" || column.type === "boolean") {
    const text = `${name}::varchar`;
    parts.push(`"distinct" := approx_count_distinct(${name})`, `"min" := left(min(${text}), 200)`, `"max" := left(max(${text}), 200)`);
    parts.push("mean := null", "stddev := null", "quantiles := null", `top := approx_top_k(left(${text}, 200), ${topValues})`);
  } else if (column.type !== undefined) {
    const iso = (value: string) => (column.type === "date" ? `strftime(${value}, '%Y-%m-%d')` : `strftime(${value}, '%Y-%m-%dT%H:%M:%S.%gZ')`);
    parts.push(`"distinct" := approx_count_distinct(${name})`, `"min" := ${iso(`min(${name})`)}`, `"max" := ${iso(`max(${name})`)}`);
    parts.push("mean := null", "stddev := null", "quantiles := null", "top := null");
  } else {
    parts.push(`"distinct" := 0`, `"min" := null`, `"max" := null`, "mean := null", "stddev := null", "quantiles := null", "top := null");
  }
  return `struct_pack(${parts.join(", ")})`;
}

/** The second pass: how many values fall into each bin, and how often each top value is there. */
function detailSql(column: TableColumn, summary: Summary): string | undefined {
  if (isNumber(column)) {
    if (typeof summary.min !== "number" || typeof summary.max !== "number") return undefined;
    const width = (summary.max - summary.min) / bins;
    if (!(width > 0) || !Number.isFinite(width)) return undefined;
    const value = finite(column);
    return `histogram(least(${bins - 1}, floor((${value} - (${summary.min}::double)) / ${width}::double))::int)`;
  }
  const top = summary.top?.filter((value) => value !== null) ?? [];
  if (top.length === 0) return undefined;
  const text = `left(${identifier(column.name)}::varchar, 200)`;
  return `histogram(${text}) filter (where ${text} in (${top.map((value) => literal(String(value))).join(", ")}))`;
}

/** A map as DuckDB gives it. */
function entries(value: unknown): { key: unknown; value: number }[] {
  if (value === null || typeof value !== "object") return [];
  const list = Array.isArray(value) ? value : "entries" in value && Array.isArray(value.entries) ? value.entries : [];
  return list.map((entry: { key: unknown; value: unknown }) => ({ key: entry.key, value: Number(entry.value) }));
}

function toStatistics(column: TableColumn, summary: Summary, counted: { key: unknown; value: number }[], rows: number): ColumnStatistics {
  const base: ColumnStatistics = {
    name: column.name,
    type: column.type ?? column.sqlType.toLowerCase(),
    count: summary.count,
    nulls: rows - summary.count,
    // A sketch may say more than there are.
    distinct: Math.min(summary.distinct, summary.count),
  };
  if (summary.min !== null) base.min = summary.min;
  if (summary.max !== null) base.max = summary.max;
  if (isNumber(column)) {
    base.mean = summary.mean;
    base.stddev = summary.stddev;
    if (summary.quantiles !== null) base.quantiles = summary.quantiles;
    if (typeof summary.min === "number" && typeof summary.max === "number" && summary.count > 0) {
      const { min, max } = summary;
      if (counted.length === 0) base.histogram = { edges: [min, max], counts: [summary.count] };
      else {
        const counts = Array.from({ length: bins }, (_, bin) => counted.find((entry) => Number(entry.key) === bin)?.value ?? 0);
        base.histogram = { edges: Array.from({ length: bins + 1 }, (_, i) => (i === bins ? max : min + ((max - min) * i) / bins)), counts };
      }
    }
  } else if (counted.length > 0) {
    base.top = counted.map((entry) => ({ value: entry.key, count: entry.value })).sort((a, b) => b.count - a.count);
  }
  return base;
}
