import type { MetricSeries } from "@millrace/sdk/api";
import { smoothed } from "./smooth";

export interface Line {
  run: string;
  value: (number | null)[];
  /** What the line's thin shadow covers: all values, also those between the means that the line goes through. */
  low: (number | null)[];
  high: (number | null)[];
}
export interface Aligned {
  x: number[];
  lines: Line[];
  /** Values that a logarithmic axis can't show. */
  hidden: number;
}

/**
 * Brings series with an x of their own each to common columns, narrower than a pixel, which is what the plot wants. Of several values in a column the last is
 * drawn, and all are in its shadow.
 */
export function align(
  series: readonly MetricSeries[],
  { from, to, columns, weight, log }: { from: number; to: number; columns: number; weight: number; log: boolean },
): Aligned {
  const column = (x: number) => (to > from ? Math.min(columns - 1, Math.max(0, Math.floor(((x - from) / (to - from)) * columns))) : 0);
  const used = [...new Set(series.flatMap((one) => one.x.map(column)))].sort((a, b) => a - b);
  const place = new Map(used.map((at, i) => [at, i]));
  let hidden = 0;
  const lines = series.map((one): Line => {
    const line: Line = { run: one.run, value: used.map(() => null), low: used.map(() => null), high: used.map(() => null) };
    const values = smoothed(one.x, one.value, weight);
    one.x.forEach((x, i) => {
      const at = place.get(column(x)) ?? 0;
      const [value, low, high] = [values[i], one.min?.[i] ?? one.value[i], one.max?.[i] ?? one.value[i]];
      if (value === undefined || low === undefined || high === undefined) return;
      if (log && (value <= 0 || high <= 0)) {
        hidden++;
        return;
      }
      line.value[at] = value;
      const [lowest, highest] = [line.low[at] ?? low, line.high[at] ?? high];
      // Below zero a logarithmic shadow ends at the line.
      line.low[at] = log && Math.min(lowest, low) <= 0 ? value : Math.min(lowest, low);
      line.high[at] = Math.max(highest, high);
    });
    return line;
  });
  return { x: used.map((at) => (to > from ? from + ((at + 0.5) * (to - from)) / columns : from)), lines, hidden };
}

/** The values of each run at x: of its point that is nearest. */
export function valuesAt(series: readonly MetricSeries[], x: number): { run: string; x: number; value: number }[] {
  return series.flatMap((one) => {
    let [low, high] = [0, one.x.length - 1];
    if (high < 0) return [];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((one.x[middle] ?? 0) < x) low = middle + 1;
      else high = middle;
    }
    const [left, right] = [one.x[low - 1], one.x[low]];
    const i = left !== undefined && right !== undefined && x - left < right - x ? low - 1 : low;
    const [at, value] = [one.x[i], one.value[i]];
    return at === undefined || value === undefined ? [] : [{ run: one.run, x: at, value }];
  });
}
