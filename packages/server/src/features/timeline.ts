/** The rows of one entity in memory, in the order of their moments, and what a view makes of them. */
import type { Micros } from "./times.js";
import type { Value } from "./values.js";
import type { LatestView, View, WindowView } from "./views.js";
import { type OnlineRow, scanned } from "./window.js";

export interface Timeline {
  /** All rows from this moment on are here. */
  first: Micros;
  /** They answer for moments from this one on. */
  from: Micros;
  /** The number of the view's change as of which they were read. */
  change: number;
  rows: OnlineRow[];
  /** When it was last used. */
  round: number;
  /** The latest moment at which one of them became known. */
  lastKnown: Micros;
  sums: Sums | undefined;
}
/** Sums up to and with each row. */
interface Sums {
  /** For how many rows they hold. */
  upTo: number;
  rows: number[];
  columns: { counts: number[]; sums: number[]; exact: boolean }[];
}

export function newTimeline(of: Pick<Timeline, "first" | "from" | "change">, rows: OnlineRow[]): Timeline {
  return {
    first: of.first,
    from: of.from,
    change: of.change,
    rows,
    round: -1,
    lastKnown: rows.reduce((last, row) => Math.max(last, row.known), Number.NEGATIVE_INFINITY),
    sums: undefined,
  };
}

/** Puts a row in its place, or takes the place of the row that it is. */
export function setRow(timeline: Timeline, row: OnlineRow): void {
  const { rows, sums } = timeline;
  timeline.lastKnown = Math.max(timeline.lastKnown, row.known);
  const end = after(rows, row.at);
  let place = end;
  while (place > 0 && rows[place - 1]?.at === row.at && rows[place - 1]?.key !== row.key) place--;
  const same = place > 0 && rows[place - 1]?.at === row.at;
  const index = same ? place - 1 : end;
  if (same) rows[index] = row;
  else if (index === rows.length) rows.push(row);
  else rows.splice(index, 0, row);
  if (sums !== undefined && index < sums.upTo) sums.upTo = index;
}

/** The number of rows at or before a moment. */
function after(rows: OnlineRow[], at: Micros): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((rows[middle]?.at ?? 0) <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}

export type Status = "PRESENT" | "NOT_FOUND" | "OUTSIDE_MAX_AGE";

export interface Found {
  status: Status;
  values: Value[];
  /** The moment of the newest row that counts. */
  at: Micros | undefined;
}
/** The view's features at a moment. */
export function featuresAt(view: View, timeline: Timeline | undefined, at: Micros): Found {
  return view.kind === "latest" ? latestAt(view, timeline, at) : windowsAt(view, timeline, at);
}

function latestAt(view: LatestView, timeline: Timeline | undefined, at: Micros): Found {
  const row = timeline === undefined ? undefined : view.timestamp === undefined ? timeline.rows[0] : newestAt(timeline, at);
  if (row === undefined) return { status: "NOT_FOUND", values: view.features.map(() => null), at: undefined };
  const moment = view.timestamp === undefined ? undefined : row.at;
  if (view.ttl !== undefined && at - row.at > view.ttl) return { status: "OUTSIDE_MAX_AGE", values: view.features.map(() => null), at: moment };
  return { status: "PRESENT", values: row.values, at: moment };
}

/** The newest row that was known, and of several of one moment the one created last. */
function newestAt({ rows }: Timeline, at: Micros): OnlineRow | undefined {
  let found: OnlineRow | undefined;
  for (let i = after(rows, at) - 1; i >= 0; i--) {
    const row = rows[i];
    if (row === undefined || (found !== undefined && row.at < found.at)) break;
    if (row.known <= at && (found === undefined || createdOf(row) > createdOf(found))) found = row;
  }
  return found;
}
/** A latest view's rows have their creation for a key, where the view tells it. */
const createdOf = (row: OnlineRow): number => (row.key === "" ? row.at : Number(row.key));

function windowsAt(view: WindowView, timeline: Timeline | undefined, at: Micros): Found {
  if (timeline !== undefined && timeline.lastKnown > at && view.created !== undefined) {
    // Some rows are not known yet.
    const rows = timeline.rows.filter((row) => row.known <= at);
    return windowsAt(view, newTimeline(timeline, rows), at);
  }
  const rows = timeline?.rows ?? [];
  const sums = timeline === undefined ? undefined : summed(timeline, view.columns.length);
  const high = after(rows, at);
  let widest = high;
  const values = view.aggregates.map(({ aggregate, column, over }): Value => {
    const low = after(rows, at - over);
    widest = Math.min(widest, low);
    const between = (upTo: number[] | undefined) => (upTo?.[high - 1] ?? 0) - (upTo?.[low - 1] ?? 0);
    if (column === undefined) return between(sums?.rows);
    if (aggregate === "last" || aggregate === "distinct" || aggregate === "min" || aggregate === "max" || aggregate === "stddev")
      return scanned[aggregate](rows, low, high, column);
    const of = sums?.columns[column];
    const count = between(of?.counts);
    if (count === 0) return null;
    const sum = of?.exact === false ? sumOf(rows, low, high, column) : between(of?.sums);
    return aggregate === "sum" ? sum : sum / count;
  });
  return { status: widest < high ? "PRESENT" : "NOT_FOUND", values, at: widest < high ? rows[high - 1]?.at : undefined };
}

/** Fractions are added up window by window: as a difference of longer sums they would lose digits. */
function sumOf(rows: OnlineRow[], low: number, high: number, column: number): number {
  let sum = 0;
  for (let i = low; i < high; i++) sum += Number(rows[i]?.values[column] ?? 0) * (rows[i]?.n ?? 0);
  return sum;
}

function summed(timeline: Timeline, columns: number): Sums {
  const { rows } = timeline;
  timeline.sums ??= { upTo: 0, rows: [], columns: Array.from({ length: columns }, () => ({ counts: [], sums: [], exact: true })) };
  const { sums } = timeline;
  for (let i = sums.upTo; i < rows.length; i++) {
    const row = rows[i];
    if (row === undefined) continue;
    sums.rows[i] = (sums.rows[i - 1] ?? 0) + row.n;
    for (let c = 0; c < columns; c++) {
      const of = sums.columns[c];
      if (of === undefined) continue;
      const value = row.values[c] ?? null;
      const number = Number(value);
      if (!Number.isSafeInteger(number)) of.exact = false;
      of.counts[i] = (of.counts[i - 1] ?? 0) + (value === null ? 0 : row.n);
      of.sums[i] = (of.sums[i - 1] ?? 0) + (value === null ? 0 : number * row.n);
    }
  }
  sums.upTo = rows.length;
  return sums;
}
