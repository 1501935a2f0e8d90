/** Where the values of a column lie on an axis. */
import type { ColumnStatistics } from "@millrace/sdk/api";
import { identifier } from "../../platform/index.js";
import type { TableColumn } from "../types.js";

export const bins = 20;
/** So many of the most frequent values are told, and all where there are at most `fewValues`. */
export const topValues = 10;
export const fewValues = 50;
/** Of a text that is told. */
export const shownLength = 200;
/** The quantiles of the API, and the deciles. */
export const quantiles = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];
export const deciles = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
/** Squares of more than this have no place in a double. */
export const largestSquared = 1e150;

export const isNumber = (column: TableColumn): boolean => column.type === "int64" || column.type === "float64";
export const isTime = (column: TableColumn): boolean => column.type === "timestamp" || column.type === "date";
export const isFloat = (column: TableColumn): boolean => column.sqlType === "DOUBLE" || column.sqlType === "FLOAT";

/**
 * A value's place: numbers as doubles, times in milliseconds since 1970. Infinities and NaN have none. undefined for columns without an axis.
 * `value` is the SQL of the value, default the column.
 */
export function place(column: TableColumn, value = identifier(column.name)): string | undefined {
  if (isFloat(column)) return `case when isfinite(${value}) then ${value}::double end`;
  if (isNumber(column)) return `${value}::double`;
  if (!isTime(column)) return undefined;
  const moment = column.sqlType === "TIMESTAMP WITH TIME ZONE" || column.sqlType === "DATE" ? value : `${value}::timestamp`;
  return `case when isfinite(${value}) then epoch_ms(${moment})::double end`;
}

/** The length of a text, a blob, a list or a map; undefined for what has none. */
export function length(column: TableColumn, value = identifier(column.name)): string | undefined {
  if (column.sqlType === "BLOB") return `octet_length(${value})`;
  if (column.sqlType.endsWith("]")) return `len(${value})`;
  if (column.sqlType.startsWith("MAP(")) return `cardinality(${value})`;
  return column.type === "string" ? `length(${value}::varchar)` : undefined;
}

/** A place as the API tells it. */
export function told(column: TableColumn, at: number): string | number {
  if (!isTime(column)) return at;
  if (Math.abs(at) > 8.64e15) return at;
  const iso = new Date(at).toISOString();
  return column.type === "date" ? iso.slice(0, 10) : iso;
}

/** A value that came as text, as JSON has it. */
export function jsonOf(column: TableColumn, text: string): unknown {
  if (column.type === "boolean") return text === "true";
  return isNumber(column) ? Number(text) : text;
}

export interface Found {
  count: number;
  nulls: number;
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
  /** Those of the API, then the deciles. */
  quantiles: (number | null)[] | null;
  /** By bin; undefined bins are empty. */
  histogram: ReadonlyMap<number, number>;
  top: { value: string; count: number }[];
  shortest: number | null;
  longest: number | null;
  length: number | null;
  approximate: boolean;
}

export function statisticsFrom(column: TableColumn, found: Found): ColumnStatistics {
  const base: ColumnStatistics = {
    name: column.name,
    type: column.type ?? column.sqlType.toLowerCase().slice(0, 1_000),
    count: found.count,
    nulls: found.nulls,
    // A sketch may say more than there are.
    distinct: Math.min(found.distinct, found.count),
  };
  if (found.approximate) base.approximate = true;
  if (found.nan !== null) base.nan = found.nan;
  if (found.infinite !== null) base.infinite = found.infinite;
  if (found.zeros !== null) base.zeros = found.zeros;
  const { low, high } = found;
  if (low !== null && high !== null) {
    Object.assign(base, { min: told(column, low), max: told(column, high) });
    const within = found.quantiles?.map((one) => one ?? low);
    if (within !== undefined) Object.assign(base, { quantiles: within.slice(0, quantiles.length), deciles: within.slice(quantiles.length) });
    const counts = Array.from({ length: bins }, (_, bin) => found.histogram.get(bin) ?? 0);
    const total = counts.reduce((sum, one) => sum + one, 0);
    if (!(high > low) || !Number.isFinite(high - low)) base.histogram = { edges: [low, high], counts: [total] };
    else base.histogram = { edges: Array.from({ length: bins + 1 }, (_, i) => (i === bins ? high : low + ((high - low) * i) / bins)), counts };
  } else if (found.first !== null && found.last !== null) {
    Object.assign(base, { min: found.first, max: found.last });
  }
  if (isNumber(column)) Object.assign(base, { mean: found.mean, stddev: found.stddev });
  if (found.shortest !== null && found.longest !== null && found.length !== null)
    base.lengths = { min: found.shortest, max: found.longest, mean: found.length };
  if (found.top.length > 0) {
    const complete = !found.approximate && found.distinct <= fewValues && (found.longest ?? 0) <= shownLength;
    base.top = found.top.slice(0, complete ? fewValues : topValues).map(({ value, count }) => ({ value: jsonOf(column, value), count }));
    if (complete) base.complete = true;
  }
  return base;
}

/** SQL of the bin of a place. A table whose ends are equal has one bin. */
export const binOf = (at: string, low: string, high: string): string =>
  `case when ${high} > ${low} and isfinite(${high} - ${low}) then greatest(0, least(${bins - 1}, floor((${at} - ${low}) / (${high} - ${low}) * ${bins})))::int when ${at} is not null then 0 end`;
