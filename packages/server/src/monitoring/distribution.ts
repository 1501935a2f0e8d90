/** Distributions of columns, and how far apart two of them are. */
import type { Columns } from "@millrace/sdk/api";
import type { ColumnType } from "@millrace/sdk/spec";

type Value = string | number | boolean | null;
type Feature = { name: string; type: ColumnType };

/** What falls where: between the edges of a number, or on one of the values of anything else; the last two are the rest and the missing. */
export type Bins = { kind: "numbers"; edges: number[] } | { kind: "values"; values: string[] };
export interface Distribution {
  bins: Bins;
  counts: number[];
}

const numberBins = 10;
const mostValues = 50;
/** A share that is never seen would make the index infinite. */
const least = 1e-4;

const isNumber = (type: ColumnType): boolean => type === "int64" || type === "float64";
const sizeOf = (bins: Bins): number => (bins.kind === "numbers" ? bins.edges.length + 1 : bins.values.length + 1) + 1;

/** Bins of equal share of the reference for numbers; its most frequent values for the rest. */
export function binsOf(feature: Feature, values: Value[]): Bins {
  if (isNumber(feature.type)) {
    const numbers = Float64Array.from(values.flatMap((value) => (typeof value === "number" && !Number.isNaN(value) ? [value] : []))).sort();
    const edges = Array.from({ length: numberBins - 1 }, (_, i) => numbers.at(Math.floor(((i + 1) * numbers.length) / numberBins)) ?? Number.NaN);
    return { kind: "numbers", edges: numbers.length === 0 ? [] : [...new Set(edges)] };
  }
  const counts = new Map<string, number>();
  for (const value of values) if (value !== null) counts.set(String(value), (counts.get(String(value)) ?? 0) + 1);
  const frequent = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, mostValues);
  return { kind: "values", values: frequent.map(([value]) => value) };
}

export function countInto(bins: Bins): { counts: number[]; add(values: Value[]): void } {
  const counts: number[] = new Array(sizeOf(bins)).fill(0);
  const missing = counts.length - 1;
  const index = bins.kind === "values" ? new Map(bins.values.map((value, i) => [value, i])) : undefined;
  const bump = (at: number) => {
    counts[at] = (counts[at] ?? 0) + 1;
  };
  return {
    counts,
    add(values) {
      for (const value of values) {
        if (value === null || (typeof value === "number" && Number.isNaN(value))) bump(missing);
        else if (bins.kind === "numbers") {
          const over = bins.edges.findIndex((edge) => Number(value) < edge);
          bump(over === -1 ? bins.edges.length : over);
        } else bump(index?.get(String(value)) ?? missing - 1);
      }
    },
  };
}

/** The distribution of each feature of these rows, with bins of their own. */
export function distributions(features: Feature[], columns: Columns): Record<string, Distribution> {
  return Object.fromEntries(
    features.map((feature) => {
      const values = columns[feature.name] ?? [];
      const bins = binsOf(feature, values);
      const counter = countInto(bins);
      counter.add(values);
      return [feature.name, { bins, counts: counter.counts }];
    }),
  );
}

/**
 * The population stability index Σ (p − q) ln(p / q) over the bins, where q are the reference's shares and p those of now, each at least
 * 0.0001 (Siddiqi, Credit Risk Scorecards, 2006, p. 136). Below 0.1 is taken as no change, above 0.2 or 0.25 as a shift. null without rows.
 */
export function populationStability(reference: number[], now: number[]): number | null {
  const total = (counts: number[]) => counts.reduce((sum, count) => sum + count, 0);
  const [before, after] = [total(reference), total(now)];
  if (before === 0 || after === 0) return null;
  let index = 0;
  for (const [bin, count] of now.entries()) {
    const p = Math.max(least, count / after);
    const q = Math.max(least, (reference[bin] ?? 0) / before);
    index += (p - q) * Math.log(p / q);
  }
  return index;
}
