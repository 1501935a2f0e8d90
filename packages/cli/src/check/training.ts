/** What the training said of itself: whether its loss fell, and whether all of it are numbers. */
import type { Bounds } from "@millrace/sdk";
import type { MetricKeys, SeriesAnswer } from "@millrace/sdk/api";
import type { Client } from "@millrace/sdk/client";
import type { Series } from "./result.js";

export interface Logged {
  /** Of metrics with more than one value, in the order of their steps. */
  series: Series[];
  /** The last value of each. */
  last: Record<string, number>;
  /** Values that are no numbers, told as `train_loss is NaN at step 3`. */
  odd: string[];
}

const mostKeys = 50;

export async function loggedBy(client: Client, trackingRun: string | null): Promise<Logged> {
  const logged: Logged = { series: [], last: {}, odd: [] };
  if (trackingRun === null) return logged;
  const ask = <T>(path: string, json: object) => client.request<T>("POST", `/api/v1/tracking/metrics/${path}`, { json: { runs: [trackingRun], ...json } });
  const keys = (await ask<MetricKeys>("keys", {})).items.map(({ key }) => key);
  for (let from = 0; from < keys.length; from += mostKeys) {
    const { items } = await ask<SeriesAnswer>("series", { keys: keys.slice(from, from + mostKeys), x: "step", buckets: 500 });
    for (const { key, x, value, odd } of items) {
      const last = value.at(-1);
      if (last !== undefined) logged.last[key] = last;
      if (x.length > 1) logged.series.push({ key, x, value });
      const [first] = odd?.first ?? [];
      if (first !== undefined)
        logged.odd.push(`${key} is ${first.value} at step ${first.x}${(odd?.count ?? 1) > 1 ? `, and ${(odd?.count ?? 1) - 1} times more` : ""}`);
    }
  }
  return logged;
}

const loss = /(^|[^a-z])([a-z]*loss|[a-z]*error|rmse|mae|mse|mape|nll|perplexity|deviance|cross_?entropy)($|[^a-z])/i;
const ofValidation = /(^|[^a-z])(val|valid|validation|test|dev|eval|holdout)($|[^a-z])/i;

/** The series whose fall is asked for: those that are named, or all that are losses of the training. */
export function losses(series: readonly Series[], named: readonly string[] | undefined): Series[] {
  if (named !== undefined) return series.filter(({ key }) => named.includes(key));
  return series.filter(({ key }) => loss.test(key) && !ofValidation.test(key));
}

/** Whether the last quarter of the values is, in the mean, below the first: single values of stochastic training jump. */
export function falls({ value }: Series): { falls: boolean; from: number; to: number } {
  const quarter = Math.max(1, Math.floor(value.length / 4));
  const mean = (values: readonly number[]) => values.reduce((sum, one) => sum + one, 0) / values.length;
  const [from, to] = [mean(value.slice(0, quarter)), mean(value.slice(-quarter))];
  return { falls: to < from, from, to };
}

/** What is not as asked, each as `train_loss is 0.4, and at most 0.1 is asked`. */
export function outside(values: Readonly<Record<string, number>>, asked: Readonly<Record<string, Bounds>>): string[] {
  return Object.entries(asked).flatMap(([name, { min, max }]) => {
    const value = values[name];
    if (value === undefined) {
      const there = Object.keys(values);
      return [`there is no metric ${name}${there.length === 0 ? ": none is logged" : `; there is ${there.slice(0, 20).join(", ")}`}`];
    }
    if (min !== undefined && !(value >= min)) return [`${name} is ${short(value)}, and at least ${min} is asked`];
    if (max !== undefined && !(value <= max)) return [`${name} is ${short(value)}, and at most ${max} is asked`];
    return [];
  });
}
export const short = (value: number): string => String(Number(value.toPrecision(4)));
