/** Aggregates of a window's rows that are no difference of two sums. Nulls are left out. */
import { order } from "./expr.js";
import type { Micros } from "./times.js";
import type { Value } from "./values.js";

/** A row of a view in memory. */
export interface OnlineRow {
  at: Micros;
  /** Equal keys at one moment are one row. */
  key: string;
  /** How often the row is there. */
  n: number;
  values: Value[];
  /** From when on it is seen: its moment, or its creation where that is later. */
  known: Micros;
}

type Scan = (rows: OnlineRow[], low: number, high: number, column: number) => Value;

export const scanned: Record<"last" | "distinct" | "min" | "max" | "stddev", Scan> = { last, distinct, min: extreme(-1), max: extreme(1), stddev };

/** The newest; of one moment's the one known last, of these the largest. */
function last(rows: OnlineRow[], low: number, high: number, column: number): Value {
  let found: { row: OnlineRow; value: Exclude<Value, null> } | undefined;
  for (let i = high - 1; i >= low; i--) {
    const row = rows[i];
    if (row === undefined || (found !== undefined && row.at < found.row.at)) break;
    const value = row.values[column] ?? null;
    if (value === null) continue;
    if (found === undefined || row.known > found.row.known || (row.known === found.row.known && order(value, found.value) > 0)) found = { row, value };
  }
  return found?.value ?? null;
}

function distinct(rows: OnlineRow[], low: number, high: number, column: number): Value {
  const values = new Set<Value>();
  for (let i = low; i < high; i++) {
    const value = rows[i]?.values[column] ?? null;
    if (value !== null) values.add(value);
  }
  return values.size;
}

function extreme(sign: 1 | -1): Scan {
  return (rows, low, high, column) => {
    let found: number | null = null;
    for (let i = low; i < high; i++) {
      const value = rows[i]?.values[column] ?? null;
      if (value !== null && (found === null || (Number(value) - found) * sign > 0)) found = Number(value);
    }
    return found;
  };
}

/** The sample's, in two passes. */
function stddev(rows: OnlineRow[], low: number, high: number, column: number): Value {
  let [n, sum, least, most] = [0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const each = (take: (value: number, times: number) => void) => {
    for (let i = low; i < high; i++) {
      const row = rows[i];
      const value = row?.values[column] ?? null;
      if (row !== undefined && value !== null) take(Number(value), row.n);
    }
  };
  each((value, times) => {
    n += times;
    sum += value * times;
    least = Math.min(least, value);
    most = Math.max(most, value);
  });
  if (n < 2) return null;
  if (least === most) return 0;
  const mean = sum / n;
  let squares = 0;
  each((value, times) => {
    squares += (value - mean) ** 2 * times;
  });
  return Math.sqrt(squares / (n - 1));
}
