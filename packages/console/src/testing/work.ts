/** What starts many runs, made up in the shapes of the API: schedules, backfills, sweeps. */
import type { Backfill, BackfillItem, Schedule, ScheduleFiring, ScheduleMoment, SweepDetail, SweepPlots, Trial } from "@millrace/sdk/api";
import { clock, runs } from "./fixtures";

const hour = 3_600_000;
const now = Date.parse(clock.now);
const ago = (hours: number): string => new Date(now - hours * hour).toISOString();
const noise = (i: number): number => Math.abs(Math.sin(i * 12.9898) * 43_758.5453) % 1;
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

export const firings: ScheduleFiring[] = range(24).map((i) => ({
  ...{ id: `firing-${i}`, schedule: "monthly", moment: ago(1 + i * 24), dueAt: ago(1 + i * 24), decidedAt: ago(1 + i * 24), manual: false },
  ...(i % 7 === 3
    ? { outcome: "skipped" as const, reason: "the run of the day before is under way", runId: null, runState: null }
    : { outcome: "started" as const, reason: `${ago(1 + i * 24)} has come`, runId: runs[i]?.id ?? null, runState: i % 5 === 4 ? "failed" : "succeeded" }),
}));
const schedule: Schedule = {
  ...{ name: "monthly", project: "flights", description: "Trains on all months before", pipeline: "delay", cron: "0 6 1 * *", zone: "America/New_York" },
  ...{ params: { until: "{scheduled:month-1}" }, catchUp: "all", catchUpLimit: 3, overlap: "queue", jitter: "10m", paused: false, edited: ["jitter"] },
  ...{ editedBy: "anna", definedAt: "schedules.ts:4", next: ago(-420), last: firings[0] ?? null },
};
export const schedules: Schedule[] = [
  schedule,
  {
    ...schedule,
    name: "nightly",
    project: null,
    cron: "30 2 * * *",
    zone: "Europe/Oslo",
    paused: true,
    next: null,
    edited: [],
    overlap: "skip",
    jitter: null,
    last: firings[3] ?? null,
  },
];
export const moments: ScheduleMoment[] = range(8).map((i) => {
  const month = i > 3 ? `2014-0${i - 3}` : `2013-${String(9 + i).padStart(2, "0")}`;
  return { moment: ago(-420 - i * 730), dueAt: ago(-420 - i * 730), local: `${month}-01T06:00:00-0${i > 1 ? 5 : 4}:00`, params: { until: month } };
});

const backfill: Backfill = {
  ...{
    id: "backfill-2013",
    pipeline: "delay",
    param: "until",
    params: { depth: 6 },
    atOnce: 2,
    state: "running",
    message: null,
    first: "2012-09",
    last: "2013-08",
  },
  progress: { total: 12, waiting: 3, running: 2, succeeded: 4, refused: 1, failed: 1, cancelled: 0, skipped: 1 },
  ...{ createdBy: "anna", createdAt: ago(3), finishedAt: null },
};
export const backfills: Backfill[] = [
  backfill,
  {
    ...backfill,
    id: "backfill-2012",
    state: "succeeded",
    progress: { ...backfill.progress, waiting: 0, running: 0, succeeded: 12, refused: 0, failed: 0, skipped: 0 },
    finishedAt: ago(50),
    createdAt: ago(60),
  },
];
const states = [
  "skipped",
  "succeeded",
  "succeeded",
  "failed",
  "succeeded",
  "refused",
  "succeeded",
  "running",
  "running",
  "waiting",
  "waiting",
  "waiting",
] as const;
export const items: BackfillItem[] = states.map((state, n) => ({
  ...{ n, value: n < 4 ? `2012-${String(n + 9).padStart(2, "0")}` : `2013-0${n - 3}`, state, attempt: state === "waiting" || state === "skipped" ? 0 : 1 },
  runId: state === "waiting" || state === "skipped" ? null : (runs[n]?.id ?? null),
  message: state === "failed" ? "The step train failed: y contains 1 class" : null,
}));

const trials: Trial[] = range(24).map((n) => {
  const [depth, lr] = [2 + Math.floor(noise(n) * 8), Number((0.001 * 300 ** noise(n + 50)).toPrecision(4))];
  const state = n > 21 ? ("running" as const) : n % 6 === 4 ? ("stopped" as const) : n === 9 ? ("failed" as const) : ("succeeded" as const);
  return {
    ...{ n, state, params: { depth, lr, booster: n % 3 === 0 ? "linear" : "tree" }, step: state === "failed" ? null : 30 },
    value: state === "failed" ? null : 0.72 - (depth - 6) ** 2 / 400 - (Math.log10(lr) + 1.3) ** 2 / 40 - (state === "stopped" ? 0.05 : 0),
    ...{ runId: runs[n]?.id ?? "", trackingRunId: `tracked-${n}`, startedAt: ago(5 - n / 6), finishedAt: state === "running" ? null : ago(4.9 - n / 6) },
    message: state === "failed" ? "The step train failed: out of memory" : state === "stopped" ? "at step 9 it is number 7 of 9, and the first 3 go on" : null,
  };
});
const done = trials.filter(({ state }) => state === "succeeded");
const best = done.reduce((a, b) => ((b.value ?? 0) > (a.value ?? 0) ? b : a));
export const sweep: SweepDetail = {
  ...{ id: "sweep-1", sweep: "tune_delay", pipeline: "delay", state: "running", message: null, search: "bayesian" },
  over: {
    depth: { kind: "int", from: 2, to: 9 },
    lr: { kind: "float", from: 0.001, to: 0.3, log: true },
    booster: { kind: "choice", values: ["tree", "linear"] },
  },
  ...{
    params: { until: "2013-07" },
    goal: { metric: "auc", direction: "maximize" },
    stop: { kind: "asha", reduction: 3, minSteps: 1 },
    atOnce: 2,
    seed: 0,
    maxFailed: 10,
  },
  progress: { total: 40, running: 2, succeeded: done.length, stopped: trials.filter(({ state }) => state === "stopped").length, failed: 1, cancelled: 0 },
  ...{ best, trackingRunId: "root-of-the-sweep", experimentId: "1", createdBy: "anna", createdAt: ago(5), finishedAt: null, trials },
};
let highest = 0;
export const plots: SweepPlots = {
  history: trials.flatMap(({ n, state, value }) => {
    if (value === null || (state !== "succeeded" && state !== "stopped")) return [];
    if (state === "succeeded") highest = Math.max(highest, value);
    return [{ n, value, best: highest, stopped: state === "stopped" }];
  }),
  importance: [
    { param: "lr", importance: 0.74, method: "spearman" },
    { param: "depth", importance: 0.31, method: "spearman" },
    { param: "booster", importance: 0.08, method: "correlation_ratio" },
  ],
  curves: trials.slice(-12).map(({ n, value }) => ({ n, points: range(30).map((step): [number, number] => [step + 1, (value ?? 0.6) - 0.2 / (step + 1)]) })),
};
