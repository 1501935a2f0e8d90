/** What runs have in common and where they differ, and how their values lie on an axis. */
import type { RunTableRow } from "@millrace/sdk/api";

export type Group = "attributes" | "params" | "metrics" | "tags";
export const groups: readonly Group[] = ["attributes", "params", "metrics", "tags"];
export type Value = number | string | undefined;
/** One row of a comparison: `id` is `params.depth`. */
export interface Fact {
  id: string;
  group: Group;
  name: string;
  values: Value[];
  differs: boolean;
}

const seconds = (run: RunTableRow): number | undefined => (run.endTime === null ? undefined : (run.endTime - run.startTime) / 1_000);
const attributes: [string, (run: RunTableRow) => Value][] = [
  ["status", (run) => run.status],
  ["user", (run) => run.user],
  ["start", (run) => new Date(run.startTime).toISOString().slice(0, 19).replace("T", " ")],
  ["duration (s)", seconds],
];

/** A run's name, which is the head of its column. */
const nameTag = "mlflow.runName";

export function factsOf(runs: readonly RunTableRow[]): Fact[] {
  const fact = (group: Group, name: string, values: Value[]): Fact => ({ id: `${group}.${name}`, group, name, values, differs: new Set(values).size > 1 });
  const keyed = (group: "params" | "metrics" | "tags"): Fact[] => {
    const all = runs.flatMap((run) => Object.keys(run[group])).filter((key) => group !== "tags" || key !== nameTag);
    const keys = [...new Set(all)].sort((a, b) => (a < b ? -1 : 1));
    return keys.map((key) =>
      fact(
        group,
        key,
        runs.map((run) => (group === "params" ? typed(run.params[key]) : run[group][key])),
      ),
    );
  };
  return [...attributes.map(([name, of]) => fact("attributes", name, runs.map(of))), ...keyed("params"), ...keyed("metrics"), ...keyed("tags")];
}
/** Params are texts; those that are numbers are compared as numbers. */
const typed = (text: string | undefined): Value => (text !== undefined && text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text);

/** Whether a small value is the good one, by what such metrics are called. */
export const smallIsGood = (metric: string): boolean => /loss|err|rmse|mse|mae|mape|perplexity|distance|latency|time|duration|wer\b|fid\b/i.test(metric);

/** The places of the best values: of several equal ones, all. */
export function bestOf(values: readonly Value[], small: boolean): Set<number> {
  const numbers = values.filter((value): value is number => typeof value === "number" && Number.isFinite(value));
  if (numbers.length < 2) return new Set();
  const best = numbers.reduce((a, b) => (small === b < a ? b : a));
  if (numbers.every((one) => one === best)) return new Set();
  return new Set(values.flatMap((value, i) => (value === best ? [i] : [])));
}

/** Where values lie between 0 and 1, what stands there, and how it is written. */
export interface Scale {
  kind: "number" | "category";
  position: (value: Value) => number | undefined;
  ticks: { at: number; text: string }[];
}
const mostCategories = 24;

/** Numbers by their size, or by the order of magnitude; anything else in its own order, evenly. What is neither has no place. */
export function scaleOf(values: readonly Value[], log: boolean): Scale {
  const there = values.filter((value) => value !== undefined);
  const numbers = there.filter((value): value is number => typeof value === "number" && Number.isFinite(value) && (!log || value > 0));
  // A metric's NaN is a text among numbers.
  const isNumber = numbers.length > 0 && there.every((value) => typeof value === "number" || value === "NaN" || /^-?Infinity$/.test(value));
  if (isNumber) {
    const warp = log ? Math.log10 : (value: number) => value;
    const all = numbers.map(warp);
    const [low, high] = [all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))];
    const place = (value: number) => (high > low ? (warp(value) - low) / (high - low) : 0.5);
    const marks = high > low ? [0, 0.25, 0.5, 0.75, 1] : [0.5];
    return {
      kind: "number",
      position: (value) => (typeof value === "number" && Number.isFinite(value) && (!log || value > 0) ? place(value) : undefined),
      ticks: marks.map((at) => {
        const value = low + at * (high - low);
        return { at, text: String(Number((log ? 10 ** value : value).toPrecision(3))) };
      }),
    };
  }
  const names = [...new Set(there.map(String))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const at = (i: number) => (names.length === 1 ? 0.5 : i / (names.length - 1));
  const places = new Map(names.map((name, i) => [name, at(i)]));
  const step = Math.ceil(names.length / mostCategories);
  return {
    kind: "category",
    position: (value) => (value === undefined ? undefined : places.get(String(value))),
    ticks: names.flatMap((name, i) => (i % step === 0 ? [{ at: at(i), text: name.length > 18 ? `${name.slice(0, 17)}…` : name }] : [])),
  };
}

/** Blue over green to yellow (after viridis), for what lies from 0 to 1. */
export function shadeOf(at: number | undefined): string {
  if (at === undefined) return "oklch(0.6 0 0)";
  return `oklch(${0.48 + 0.34 * at} ${0.13 + 0.03 * at} ${285 - 185 * at})`;
}

/** Which runs lie within all chosen stretches; a run without a value on such an axis does not. */
export function within(runs: number, chosen: readonly { scale: Scale; values: readonly Value[]; from: number; to: number }[]): boolean[] {
  return Array.from({ length: runs }, (_, i) =>
    chosen.every(({ scale, values, from, to }) => {
      const at = scale.position(values[i]);
      return at !== undefined && at >= from - 1e-9 && at <= to + 1e-9;
    }),
  );
}
