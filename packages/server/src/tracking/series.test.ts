import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { MetricSeries, SeriesAnswer, SeriesQuery } from "@millrace/sdk/api";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type RunningServer, startServer } from "../server.js";
import { mlflowApi } from "./testing.js";

let folder: string;
let server: RunningServer;
const long = 30_000;
const spikes = new Map([
  [0, -7],
  [633, 99],
  [634, -99],
  [20_011, 55],
  [long - 1, 12],
]);
let [longRun, shortRun] = ["", ""];

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  server = await startServer({ host: "127.0.0.1", port: 0, dataDir: folder, clock: { kind: "system" }, logLevel: "warn" });
  [longRun, shortRun] = [await newRun(), await newRun()];
  for (let from = 0; from < long; from += 1_000)
    await log(
      longRun,
      Array.from({ length: 1_000 }, (_, i) => ({
        key: "loss",
        step: from + i,
        timestamp: 1_000_000 + (from + i) * 10,
        value: spikes.get(from + i) ?? Math.sin(i),
      })),
    );
  const points = [5, 5, 1, 9].map((step, i) => ({ key: "loss", step, timestamp: 1_000_000 + i, value: i }));
  const odd = ["NaN", "Infinity", "-Infinity", 1.7e308, 1.6e308].map((value, step) => ({ key: "odd", step, timestamp: 0, value }));
  await log(shortRun, [...points, ...odd]);
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const call = mlflowApi(() => server.url);
async function newRun(): Promise<string> {
  return (await call("POST", "runs/create", { experiment_id: "0", start_time: 1_000_000 })).body.text("run", "info", "run_id");
}
const log = (run_id: string, metrics: unknown[]) => call("POST", "runs/log-batch", { run_id, metrics });
const post = (route: string, body: unknown) =>
  fetch(`${server.url}/api/v1/tracking/${route}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
async function series(query: SeriesQuery): Promise<SeriesAnswer> {
  return JSON.parse(await (await post("metrics/series", query)).text());
}
async function one(query: SeriesQuery): Promise<MetricSeries> {
  const [item, ...others] = (await series(query)).items;
  if (item === undefined || others.length > 0) throw new Error("one series was expected");
  return item;
}

it("tells a long series by stretches that keep every spike, at every zoom", async () => {
  for (const [from, to, buckets] of [
    [undefined, undefined, 50],
    [0, 999, 20],
    [20_000, long - 1, 3],
    [undefined, undefined, 1],
  ] as const) {
    const window = { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
    const found = await one({ runs: [longRun], keys: ["loss"], buckets, ...window });
    expect(found.x.length).toBeLessThanOrEqual(buckets);
    expect([found.min?.length, found.max?.length, found.value.length]).toEqual([found.x.length, found.x.length, found.x.length]);
    const inside = [...spikes].filter(([step]) => step >= (from ?? 0) && step <= (to ?? long)).map(([, value]) => value);
    expect(found.points).toBe((to ?? long - 1) - (from ?? 0) + 1);
    expect([Math.min(...(found.min ?? [])), Math.max(...(found.max ?? []))]).toEqual(
      [Math.min(-1, ...inside), Math.max(1, ...inside)].map((value) => expect.closeTo(value, 2)),
    );
    expect([...found.x].sort((a, b) => a - b)).toEqual(found.x);
  }
});

it("tells each point where there are few, over steps, time, and time since the start", async () => {
  const of = { runs: [shortRun], keys: ["loss"] };
  expect(await one(of)).toEqual({ run: shortRun, key: "loss", points: 4, x: [1, 5, 5, 9], value: [2, 0, 1, 3] });
  expect((await one({ ...of, x: "time" })).x).toEqual([1_000_000, 1_000_001, 1_000_002, 1_000_003]);
  expect(await one({ ...of, x: "relative", from: 1, to: 2 })).toMatchObject({ x: [1, 2], value: [1, 2] });
  expect((await one({ runs: [longRun], keys: ["loss"], from: 632.5, to: 634.5 })).value).toEqual([99, -99]);
});

it("tells what is no finite number apart, and is not confused by the largest doubles", async () => {
  const found = await one({ runs: [shortRun], keys: ["odd"], buckets: 1 });
  const first = [
    { x: 0, value: "NaN" },
    { x: 1, value: "Infinity" },
    { x: 2, value: "-Infinity" },
  ];
  expect(found).toMatchObject({ points: 2, min: [1.6e308], max: [1.7e308], odd: { count: 3, first } });
});

it("answers several runs and metrics at once over one range, without those that are not there", async () => {
  const { items, range } = await series({ runs: [longRun, shortRun, "none"], keys: ["odd", "loss", "absent"] });
  expect(items.map(({ run, key }) => `${run} ${key}`).sort()).toEqual([`${longRun} loss`, `${shortRun} loss`, `${shortRun} odd`].sort());
  expect(range).toEqual({ from: 0, to: long - 1 });
  expect(await series({ runs: ["none"], keys: ["loss"] })).toEqual({ items: [], range: null });
  expect(await (await post("metrics/keys", { runs: [longRun, shortRun] })).json()).toEqual({
    items: [
      { key: "loss", runs: 2 },
      { key: "odd", runs: 1 },
    ],
    more: false,
  });
});

it("refuses what is too much and what is no range", async () => {
  const many = Array.from({ length: 500 }, (_, i) => `r${i}`);
  for (const wrong of [
    { runs: many, keys: Array.from({ length: 6 }, (_, i) => `k${i}`) },
    { runs: [...many, "one more"], keys: ["loss"] },
    { runs: [longRun], keys: ["loss"], from: 2, to: 1 },
    { runs: [longRun], keys: ["loss"], buckets: 0 },
    { runs: [], keys: ["loss"] },
  ])
    expect((await post("metrics/series", wrong)).status).toBe(400);
});

it("puts whole runs side by side in the order that was asked for, without those that are not there", async () => {
  await call("POST", "runs/log-batch", { run_id: shortRun, params: [{ key: "depth", value: "6" }], tags: [{ key: "note", value: "x".repeat(900) }] });
  const { items } = JSON.parse(await (await post("runs/compare", { runs: [shortRun, "none", longRun] })).text());
  expect(items.map(({ id }: { id: string }) => id)).toEqual([shortRun, longRun]);
  expect(items[0]).toMatchObject({ params: { depth: "6" }, tags: { note: "x".repeat(500) }, metrics: { loss: 3, odd: 1.6e308 }, status: "RUNNING" });
});
