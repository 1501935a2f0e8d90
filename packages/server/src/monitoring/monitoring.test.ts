import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Event, Monitor, MonitorCheck, Performance, Run } from "@millrace/sdk/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openShadeLoop, type ShadeLoop } from "./testing.js";

let folder: string;
let loop: ShadeLoop;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  loop = await openShadeLoop(folder, "2024-01-01T00:00:00Z");
  await loop.apply({
    monitors: [
      {
        ...{ name: "shade", endpoint: "shade", every: "1d", reference: { alias: "champion" } },
        drift: { method: "psi", threshold: 0.2, share: 0.5 },
        performance: { metrics: ["auc", "log_loss"], minLabels: 100 },
      },
    ],
    triggers: [{ name: "shade", pipeline: "shade", when: [{ kind: "below", monitor: "shade", metric: "auc", bound: 0.7 }] }],
  });
});
afterAll(async () => {
  await loop.stop();
  await rm(folder, { recursive: true, force: true });
});

const checks = async (query = "") => (await loop.get<{ items: MonitorCheck[] }>(`/api/v1/monitors/shade/checks${query}`)).items;
const told = async (type: string) => (await loop.get<{ items: Event[] }>(`/api/v1/events?types=${type}`)).items.map(({ data }) => data);
const performance = (query: string) => loop.get<Performance[]>(`/api/v1/monitors/shade/performance?${query}`);
/** Numbers as the training rows have them, from −2 to 2; `shift` is what changes in the world. */
const numbers = Array.from({ length: 400 }, (_, i) => (4 * ((i * 7) % 400)) / 400 - 2);
async function day(date: string, shift: number, isDark: (x: number, row: number) => boolean): Promise<void> {
  const rows = numbers.map((x) => ({ color: null, x: x + shift }));
  await loop.predict(`${date}T02:00:00Z`, date, rows);
  await loop.label(
    date,
    rows.map(({ x }, row) => isDark(x, row)),
  );
}

test("days are compared with the rows that the champion was trained on, and with the labels that came", async () => {
  await loop.advance("2024-01-01T00:30:00Z");
  expect(await loop.get<Monitor>("/api/v1/monitors/shade")).toMatchObject({ last: null, checks: 0 });
  await loop.arrive("january.parquet", "select null::varchar as color, 4 * i / 2000.0 - 2 as x, i > 1000 as dark from range(2000) t(i)");
  const run = await loop.send<Run>("POST", "/api/v1/pipelines/shade/runs", {});
  expect(await loop.finished(run.id)).toMatchObject({ state: "succeeded", modelVersion: "shade/1", message: null });

  await day("2024-01-01", 0, (x, row) => x > 0 !== (row % 10 === 0));
  await loop.advance("2024-01-02T00:00:00Z");
  expect(await checks()).toMatchObject([
    {
      ...{ at: "2024-01-02T00:00:00.000Z", from: "2024-01-01T00:00:00.000Z", rows: 400, labelled: 400, version: 1 },
      ...{ drifted: false, driftShare: 0, features: [{ feature: "color" }, { feature: "x", drifted: false }], alert: null },
    },
  ]);
  const [first] = await checks();
  for (const { psi } of first?.features ?? []) expect(psi).toBeLessThan(0.05);
  expect(first?.predictionPsi).toBeLessThan(0.05);
  expect(first?.metrics.auc).toBeGreaterThan(0.8);
  expect(first?.metrics.log_loss).toBeGreaterThan(0);
});

test("a jump of the clock leaves no day out; drift and a metric below a trigger's bound are told once, while they last", async () => {
  await day("2024-01-02", 3, (_, row) => row % 2 === 0);
  await day("2024-01-03", 3, (_, row) => row % 2 === 0);
  await loop.predict("2024-01-04T02:00:00Z", "unlabelled", [{ color: "red", x: 0 }]);
  await loop.advance("2024-01-05T10:00:00Z");
  const found = await checks("?from=2024-01-03T00:00:00Z");
  expect(found.map(({ at, rows, labelled, drifted }) => [at.slice(0, 10), rows, labelled, drifted])).toEqual([
    ["2024-01-03", 400, 400, true],
    ["2024-01-04", 400, 400, true],
    ["2024-01-05", 1, 0, true],
  ]);
  expect(found[0]?.alert).toMatch(/^1 of 2 features have a PSI over 0\.2: x \d\.\d\d\. auc is 0\.\d{4} on 400 labelled predictions, below 0\.7\.$/);
  expect(found[2]?.metrics).toEqual({ auc: null, log_loss: null });
  expect(await told("monitor.alert")).toEqual([{ monitor: "shade", reason: found[0]?.alert }]);
  expect(await told("monitor.checked")).toHaveLength(4);
  // The newest value of the metric is that of the day before the last.
  const { items } = await loop.get<{ items: Run[] }>("/api/v1/runs?pipeline=shade");
  expect(items[0]?.cause).toMatchObject({ kind: "trigger", trigger: "shade", reason: expect.stringMatching(/^auc is 0\.\d+ on 400 labelled/) });
  await loop.finished(items[0]?.id ?? "");
});

test("performance is that of what answered, or of any version on the features that were logged", async () => {
  const run = await loop.send<Run>("POST", "/api/v1/pipelines/shade/runs", { params: { model: "reversed" } });
  expect(await loop.finished(run.id)).toMatchObject({ modelVersion: "shade/2" });
  const answered = await performance("by=day");
  expect(answered.map(({ period, version, metrics }) => [period, version, metrics.rows])).toEqual([
    ["2024-01-01", null, 400],
    ["2024-01-02", null, 400],
    ["2024-01-03", null, 400],
  ]);
  const again = await performance("by=day&version=1");
  const other = await performance("by=day&version=2");
  for (const [i, { metrics }] of answered.entries()) {
    expect(again[i]).toMatchObject({ version: 1, metrics: { rows: 400, auc: metrics.auc } });
    expect(again[i]?.metrics.log_loss).toBeCloseTo(metrics.log_loss ?? 0, 5);
    expect(other[i]?.metrics.auc).toBeCloseTo(1 - (metrics.auc ?? 0), 5);
  }
  expect(await performance("by=month&from=2024-01-02T00:00:00Z")).toMatchObject([{ period: "2024-01", metrics: { rows: 800 } }]);
  await expect(performance("by=day&from=soon")).rejects.toThrow("400");
  await expect(performance("by=day&version=9")).rejects.toThrow("404");
});

test("another interval is kept to its own whole multiples from the next check on, and what came before the first check is looked at", async () => {
  const every = (interval: string) =>
    loop.apply({
      monitors: [
        {
          ...{ name: "often", endpoint: "shade", every: interval, reference: { alias: "champion" } },
          drift: { method: "psi", threshold: 0.2, share: 0.5 },
          performance: { metrics: ["auc"], minLabels: 100 },
        },
      ],
      triggers: [],
    });
  await every("7h");
  await loop.advance("2024-01-08T00:00:00Z");
  await loop.predict("2024-01-08T02:00:00Z", "early", [{ color: "red", x: 0 }]);
  await loop.advance("2024-01-09T01:00:00Z");
  await every("1d");
  await loop.advance("2024-01-11T06:00:00Z");
  const { items } = await loop.get<{ items: MonitorCheck[] }>("/api/v1/monitors/often/checks");
  expect(items.map(({ at, rows }) => `${at.slice(0, 13)} ${rows}`)).toEqual([
    ...["2024-01-08T09 1", "2024-01-08T16 0", "2024-01-08T23 0"],
    ...["2024-01-09T00 1", "2024-01-10T00 0", "2024-01-11T00 0"],
  ]);
});
