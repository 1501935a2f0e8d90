import type { ColumnStatistics } from "@millrace/sdk/api";
import { identifier, literal } from "../../platform/index.js";
import type { Reading, TableColumn } from "../types.js";
import { binOf, deciles, isFloat, isNumber, largestSquared, length, place, quantiles, shownLength, statisticsFrom, topValues } from "./axis.js";

export interface Bounds {
  low: number;
  high: number;
}
interface Summary {
  count: number;
  distinct: number;
  nan: number | null;
  infinite: number | null;
  zeros: number | null;
  low: number | null;
  high: number | null;
  first: string | null;
  last: string | null;
  mean: number | null;
  stddev: number | null;
  quantiles: (number | null)[] | null;
  histogram: unknown;
  top: (string | null)[] | null;
  shortest: number | null;
  longest: number | null;
  length: number | null;
}

/** Statistics of columns of many values, in memory that does not grow with them. */
export async function bySketch(
  { duckdb, connection }: Reading,
  source: string,
  columns: TableColumn[],
  rows: number,
  toldBounds: (column: TableColumn) => Bounds | undefined,
): Promise<ColumnStatistics[]> {
  if (columns.length === 0) return [];
  // The ends of a histogram come from the file's footer; where that is silent, they are looked for.
  const silent = columns.filter((column) => place(column) !== undefined && toldBounds(column) === undefined);
  const sought = new Map<string, Bounds>();
  if (silent.length > 0) {
    const ends = silent.map((column, i) => `min(${place(column)}) as l${i}, max(${place(column)}) as h${i}`).join(", ");
    const [found] = await duckdb.rows<Record<string, number | null>>(`select ${ends} from ${source}`, connection);
    for (const [i, column] of silent.entries()) {
      const [low, high] = [found?.[`l${i}`], found?.[`h${i}`]];
      if (low != null && high != null) sought.set(column.name, { low, high });
    }
  }
  const boundsOf = (column: TableColumn) => toldBounds(column) ?? sought.get(column.name);
  const parts = columns.map((column, i) => `${summarySql(column, boundsOf(column))} as c${i}`);
  const [first] = await duckdb.rows<Record<string, Summary>>(`select ${parts.join(", ")} from ${source}`, connection);
  const counted = await countTop({ duckdb, connection }, source, columns, first);
  return columns.flatMap((column, i) => {
    const summary = first?.[`c${i}`];
    if (summary === undefined) return [];
    const bounds = boundsOf(column);
    const histogram = new Map(entries(summary.histogram).flatMap(({ key, value }) => (typeof key === "number" ? [[key, value] as const] : [])));
    const found = { ...summary, nulls: rows - summary.count, histogram, top: counted.get(column.name) ?? [], approximate: true };
    // The bins were made for the bounds of the file: its histogram says them.
    const statistics = statisticsFrom(column, bounds === undefined || summary.low === null ? found : { ...found, ...bounds });
    return [statistics];
  });
}

function summarySql(column: TableColumn, bounds: Bounds | undefined): string {
  const name = identifier(column.name);
  const at = place(column);
  const long = length(column);
  const float = isFloat(column);
  const text = column.type === "string" || column.type === "boolean" ? `${name}::varchar` : undefined;
  const levels = [...quantiles, ...deciles];
  const parts = {
    count: `count(${name})::double`,
    distinct: `approx_count_distinct(${column.type === undefined ? `hash(${name})` : name})::double`,
    nan: float ? `count(*) filter (where isnan(${name}))::double` : "null::double",
    infinite: float ? `count(*) filter (where isinf(${name}))::double` : "null::double",
    zeros: isNumber(column) ? `count(*) filter (where ${name} = 0)::double` : "null::double",
    low: at === undefined ? "null::double" : `min(${at})`,
    high: at === undefined ? "null::double" : `max(${at})`,
    first: text === undefined ? "null::varchar" : `left(min(${text}), ${shownLength})`,
    last: text === undefined ? "null::varchar" : `left(max(${text}), ${shownLength})`,
    mean: at === undefined || !isNumber(column) ? "null::double" : `case when max(abs(${at})) < ${largestSquared} then avg(${at}) end`,
    stddev: at === undefined || !isNumber(column) ? "null::double" : `stddev_samp(case when abs(${at}) < ${largestSquared} then ${at} end)`,
    quantiles: at === undefined ? "null::double[]" : `approx_quantile(${at}, [${levels.join(", ")}])`,
    histogram:
      at === undefined || bounds === undefined
        ? "null"
        : `histogram(${binOf(at, `${literal(String(bounds.low))}::double`, `${literal(String(bounds.high))}::double`)})`,
    top: text === undefined ? "null::varchar[]" : `approx_top_k(left(${text}, ${shownLength}), ${topValues})`,
    shortest: long === undefined ? "null::double" : `min(${long})::double`,
    longest: long === undefined ? "null::double" : `max(${long})::double`,
    length: long === undefined ? "null::double" : `avg(${long})`,
  };
  return `struct_pack(${Object.entries(parts)
    .map(([key, sql]) => `"${key}" := ${sql}`)
    .join(", ")})`;
}

/** A sketch names the most frequent values; how often they are there is counted. */
async function countTop(
  { duckdb, connection }: Reading,
  source: string,
  columns: TableColumn[],
  summaries: Record<string, Summary> | undefined,
): Promise<Map<string, { value: string; count: number }[]>> {
  const asked = columns.flatMap((column, i) => {
    const values = (summaries?.[`c${i}`]?.top ?? []).filter((value) => value !== null);
    return values.length === 0 ? [] : [{ column, values }];
  });
  if (asked.length === 0) return new Map();
  const parts = asked.map(({ column, values }, i) => {
    const text = `left(${identifier(column.name)}::varchar, ${shownLength})`;
    return `histogram(${text}) filter (where ${text} in (${values.map(literal).join(", ")})) as c${i}`;
  });
  const [found] = await duckdb.rows<Record<string, unknown>>(`select ${parts.join(", ")} from ${source}`, connection);
  return new Map(
    asked.map(({ column }, i) => {
      const counts = entries(found?.[`c${i}`]).map(({ key, value }) => ({ value: String(key), count: value }));
      return [column.name, counts.sort((a, b) => b.count - a.count || (a.value < b.value ? -1 : 1))];
    }),
  );
}

/** A map as DuckDB gives it. */
function entries(value: unknown): { key: unknown; value: number }[] {
  if (value === null || typeof value !== "object") return [];
  const list = Array.isArray(value) ? value : "entries" in value && Array.isArray(value.entries) ? value.entries : [];
  return list.map((entry: { key: unknown; value: unknown }) => ({ key: entry.key, value: Number(entry.value) }));
}
