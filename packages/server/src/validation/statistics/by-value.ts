import type { ColumnStatistics } from "@millrace/sdk/api";
import { identifier, literal } from "../../platform/index.js";
import type { Reading, TableColumn } from "../types.js";
import {
  binOf,
  deciles,
  type Found,
  fewValues,
  isFloat,
  isNumber,
  isTime,
  largestSquared,
  length,
  place,
  quantiles,
  shownLength,
  statisticsFrom,
} from "./axis.js";

type Summary = Pick<
  Found,
  "count" | "nulls" | "distinct" | "nan" | "infinite" | "zeros" | "low" | "high" | "first" | "last" | "shortest" | "longest" | "length"
> & {
  placed: number;
  top: { value: string | null; n: number }[] | null;
};
interface Shape {
  mean: number | null;
  quantiles: (number | null)[];
  bins: number[];
}

/** Exact statistics of a column, by grouping it by its values once: the rest is read from the groups. */
export async function byValue({ duckdb, connection }: Reading, source: string, column: TableColumn): Promise<ColumnStatistics> {
  await connection.run(`create or replace temp table value_groups as select ${identifier(column.name)} as v, count(*) as n from ${source} group by 1`);
  const [summary] = await duckdb.rows<Summary>(summarySql(column), connection);
  if (summary === undefined) throw new Error("an aggregate without a row");
  const { low, high, placed } = summary;
  let shape: Shape | undefined;
  let stddev: number | null = null;
  if (low !== null && high !== null) {
    [shape] = await duckdb.rows<Shape>(shapeSql(column, low, high, placed), connection);
    const mean = shape?.mean ?? null;
    if (isNumber(column) && mean !== null && placed > 1 && Math.max(Math.abs(low), Math.abs(high)) < largestSquared) {
      const distance = `(${place(column, "v")} - ${double(mean)})`;
      const [spread] = await duckdb.rows<{ s: number | null }>(
        `select sqrt(sum(${distance} * ${distance} * n) / ${placed - 1}) as s from value_groups where v is not null`,
        connection,
      );
      stddev = spread?.s ?? null;
    }
  }
  return statisticsFrom(column, {
    ...summary,
    mean: shape?.mean ?? null,
    stddev,
    quantiles: shape?.quantiles ?? null,
    histogram: new Map(shape?.bins.map((n, bin) => [bin, n]) ?? []),
    top: (summary.top ?? []).flatMap(({ value, n }) => (value === null ? [] : [{ value, count: n }])),
    approximate: false,
  });
}

/** As text, so that it is the very number. */
const double = (value: number) => `${literal(String(value))}::double`;

function summarySql(column: TableColumn): string {
  const at = place(column, "v");
  const long = length(column, "v");
  const sum = (what: string) => `coalesce(sum(n) filter (where ${what}), 0)::double`;
  const floats = (what: string) => (isFloat(column) ? sum(what) : "null::double");
  const text = `left(v::varchar, ${shownLength})`;
  const lengths = (sql: string) => (long === undefined ? "null::double" : sql);
  return `select ${sum("v is not null")} as "count", ${sum("v is null")} as nulls, count(v)::double as "distinct",
    ${floats("isnan(v)")} as nan, ${floats("isinf(v)")} as infinite, ${isNumber(column) ? sum("v = 0") : "null::double"} as zeros,
    ${at === undefined ? "0" : sum(`${at} is not null`)} as placed, ${at === undefined ? "null::double" : `min(${at})`} as low, ${at === undefined ? "null::double" : `max(${at})`} as high,
    ${at === undefined ? `left(min(v)::varchar, ${shownLength})` : "null"} as "first", ${at === undefined ? `left(max(v)::varchar, ${shownLength})` : "null"} as "last",
    ${lengths(`min(${long})::double`)} as shortest, ${lengths(`max(${long})::double`)} as longest,
    ${lengths(`(sum(${long}::double * n) / sum(n) filter (where v is not null))`)} as "length",
    ${isTime(column) ? "null" : `(select list({value: ${text}, n: n::double} order by n desc, v) from (from value_groups where v is not null order by n desc, v limit ${fewValues}))`} as top
  from value_groups`;
}

function shapeSql(column: TableColumn, low: number, high: number, placed: number): string {
  const levels = [...quantiles, ...deciles].map((level) => `min(x) filter (where upto >= ${level * placed})`);
  const counts = Array.from({ length: 20 }, (_, bin) => `coalesce(sum(n) filter (where bin = ${bin}), 0)::double`);
  // A sum of shares of the mean, so that large values don't overflow on the way.
  return `select ${isNumber(column) ? `sum(x / ${placed} * n)` : "null::double"} as mean, [${levels.join(", ")}] as quantiles, [${counts.join(", ")}] as bins
  from (select x, n, ${binOf("x", double(low), double(high))} as bin, sum(n) over (order by x rows unbounded preceding) as upto
    from (select ${place(column, "v")} as x, n from value_groups) where x is not null)`;
}
