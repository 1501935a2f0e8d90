import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { DatasetVersionDetail, Firing, MonitorCheck, Run, Trigger } from "@millrace/sdk/api";
import type { ConditionSpec, TriggerSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createCompute } from "../compute/index.js";
import { createPipelines, type Pipelines, type StepKind } from "../pipelines/index.js";
import { invalid, openHttp, type Platform } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { createProjects, type Projects } from "../projects/index.js";
import { applyProject } from "../projects/testing.js";
import { createTriggers, triggersRoutes } from "./index.js";

let folder: string;
let platform: Platform;
let close: () => Promise<void>;
let projects: Projects;
let pipelines: Pipelines;
let url: string;
let stop: () => Promise<unknown>;
/** Another process that looks at the same moment. */
let beside: (now: Date) => Promise<void> = async () => {};

/** What the neighbours say. */
const versions = new Map<string, DatasetVersionDetail>();
const checks = new Map<string, MonitorCheck>();
/** What the step of a run does before it has read, and what happens before and after a run is asked for. */
let reading: () => Promise<void> = async () => {};
let asking: () => void = () => {};
let asked: () => void = () => {};

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const clock = { kind: "replay" as const, from: new Date("2024-01-01T00:00:00Z") };
  ({ platform, close } = await openPlatform({ host: "127.0.0.1", port: 0, dataDir: folder, clock, logLevel: "silent" }));
  projects = createProjects(platform);
  const read: StepKind<"read_dataset"> = {
    kind: "read_dataset",
    version: "1",
    async run({ node }) {
      await reading();
      const { dataset } = node.config;
      const meta = { dataset, version: versions.get(dataset)?.version ?? 0 };
      return { outputs: { rows: { type: "table", digest: `sha256:${"0".repeat(64)}`, files: [], meta } } };
    },
  };
  const tracking = { begin: async () => ({ runId: "tracked" }), end: async () => {}, logParams: async () => {}, logMetrics: async () => {} };
  pipelines = createPipelines(platform, {
    projects,
    compute: createCompute(platform),
    tracking: { ...tracking, environment: () => ({}) },
    secrets: { read: async () => ({}) },
    stepKinds: [read],
  });
  const on = {
    projects,
    pipelines: {
      ...pipelines,
      start: async (request: Parameters<Pipelines["start"]>[0]) => {
        asking();
        const run = await pipelines.start(request);
        asked();
        return run;
      },
    },
    datasets: { latest: async (name: string) => versions.get(name) },
    monitoring: { latest: async (name: string) => checks.get(name) },
  };
  const app = await openHttp(platform, async () => ({ name: "anna" }));
  triggersRoutes(app, createTriggers(platform, on));
  const onTick = (_: string, handler: typeof beside) => {
    beside = handler;
  };
  createTriggers({ ...platform, clock: { ...platform.clock, onTick } }, on);
  url = await app.listen({ host: "127.0.0.1", port: 0 });
  stop = () => app.close();
  await platform.events.start();
  await pipelines.launch();
});
afterAll(async () => {
  await stop();
  await pipelines.stop();
  await close();
  await rm(folder, { recursive: true, force: true });
});

/** A project with one trigger of its own pipeline, which reads the dataset of its name. */
async function apply(name: string, when: ConditionSpec[], rest: Partial<TriggerSpec> = {}): Promise<void> {
  await applyProject(projects, {
    name,
    datasets: [{ name, mode: "append" }],
    pipelines: [
      {
        name,
        params: [],
        nodes: [{ id: "read", kind: "read_dataset", config: { dataset: name }, inputs: {}, outputs: [{ name: "rows", type: "table" }], cache: false }],
      },
    ],
    triggers: [{ name, pipeline: name, when, ...rest }],
  });
}
function accept(dataset: string, version: number): void {
  const part = { file: `${version}.parquet`, digest: `sha256:${"0".repeat(64)}`, rows: 1, bytes: 1, partition: null, from: null, to: null };
  const counts = { rows: version, bytes: version, added: part, origin: null, anomalies: 0, createdAt: platform.clock.now().toISOString() };
  versions.set(dataset, { dataset, version, digest: part.digest, status: "accepted", ...counts, parts: [part], report: null, columns: [] });
}
function check(monitor: string, from: string, auc: number): void {
  const at = { at: platform.clock.now().toISOString(), from, to: platform.clock.now().toISOString() };
  const found = { rows: 900, labelled: 800, version: 1, driftShare: 0, drifted: false, predictionPsi: 0, features: [], alert: null };
  checks.set(monitor, { monitor, ...at, ...found, metrics: { auc } });
}
const advance = (to: string) => platform.clock.advance(new Date(to));
async function get<T>(route: string): Promise<T> {
  return (await fetch(`${url}${route}`)).json() as Promise<T>;
}
/** Oldest first. */
async function firings(trigger: string): Promise<string[]> {
  const { items } = await get<{ items: Firing[] }>(`/api/v1/triggers/${trigger}/firings`);
  return items.reverse().map(({ outcome, condition, reason }) => `${outcome}: ${condition}: ${reason}`);
}
const runsOf = async (pipeline: string): Promise<Run[]> => (await pipelines.list({ pipeline })).items;
async function settled(pipeline: string): Promise<void> {
  await expect.poll(async () => (await runsOf(pipeline)).map(({ state }) => state).filter((state) => state === "queued" || state === "running")).toEqual([]);
}

test("new data starts one run, and what comes in the cool-down waits for its end", async () => {
  await apply("data", [{ kind: "new_data", dataset: "data" }], { coolDown: "2h" });
  await advance("2024-01-01T01:00:00Z");
  expect(await firings("data")).toEqual([]);
  accept("data", 1);
  await advance("2024-01-01T01:30:00Z");
  await settled("data");
  const [run] = await runsOf("data");
  expect(run?.cause).toEqual({ kind: "trigger", trigger: "data", reason: "data is at version 1 (1.parquet)" });
  accept("data", 2);
  await advance("2024-01-01T02:00:00Z");
  await advance("2024-01-01T03:00:00Z");
  expect(await get<Trigger>("/api/v1/triggers/data")).toMatchObject({ coolDownUntil: "2024-01-01T03:30:00.000Z", lastFiring: { outcome: "deferred" } });
  await advance("2024-01-01T03:30:00Z");
  await settled("data");
  await advance("2024-01-01T06:00:00Z");
  expect(await firings("data")).toEqual([
    "started: new data of data: data is at version 1 (1.parquet)",
    "deferred: new data of data: data is at version 2 (2.parquet); until 2024-01-01T03:30:00.000Z the trigger cools down",
    "started: new data of data: data is at version 2 (2.parquet)",
  ]);
  expect(await runsOf("data")).toHaveLength(2);
});

test("a moment of a schedule is read in its zone, counts once however late, and is skipped in the cool-down", async () => {
  await advance("2024-03-01T00:00:00Z");
  await apply("schedule", [{ kind: "cron", expression: "0 6 * * *", zone: "America/New_York" }], { coolDown: "1d" });
  await advance("2024-03-01T10:00:00Z");
  expect(await get<Trigger>("/api/v1/triggers/schedule")).toMatchObject({ nextCron: "2024-03-01T11:00:00.000Z", lastFiring: null });
  await advance("2024-03-04T10:59:00Z");
  await settled("schedule");
  await advance("2024-03-04T11:00:00Z");
  // From the tenth on, summer time.
  await advance("2024-03-11T09:59:00Z");
  await settled("schedule");
  await advance("2024-03-12T10:00:00Z");
  await settled("schedule");
  const condition = "cron 0 6 * * * (America/New_York)";
  expect(await firings("schedule")).toEqual([
    `started: ${condition}: 2024-03-01T11:00:00.000Z has come`,
    `skipped: ${condition}: 2024-03-04T11:00:00.000Z has come; until 2024-03-05T10:59:00.000Z the trigger cools down`,
    `started: ${condition}: 2024-03-05T11:00:00.000Z has come`,
    `started: ${condition}: 2024-03-11T10:00:00.000Z has come`,
  ]);
});

test("a metric below its bound starts a run once, until a window after that run is below it again", async () => {
  await advance("2024-04-02T00:00:00Z");
  await apply("quality", [
    { kind: "below", monitor: "quality", metric: "auc", bound: 0.7 },
    { kind: "new_data", dataset: "quality" },
  ]);
  check("quality", "2024-04-01T00:00:00Z", 0.71);
  await advance("2024-04-02T01:00:00Z");
  expect(await firings("quality")).toEqual([]);
  check("quality", "2024-04-01T00:00:00Z", 0.65);
  accept("quality", 1);
  for (const hour of ["02", "03", "04"]) {
    await advance(`2024-04-02T${hour}:00:00Z`);
    await settled("quality");
  }
  check("quality", "2024-04-02T01:00:00Z", 0.6);
  await advance("2024-04-03T00:00:00Z");
  check("quality", "2024-04-02T02:00:00Z", 0.6);
  await advance("2024-04-04T00:00:00Z");
  await settled("quality");
  expect(await firings("quality")).toEqual([
    "started: auc of quality below 0.7, new data of quality: auc is 0.6500 on 800 labelled predictions, below 0.7; quality is at version 1 (1.parquet)",
    "started: auc of quality below 0.7: auc is 0.6000 on 800 labelled predictions, below 0.7",
  ]);
});

test("while its run is under way a trigger starts no other, and a run that can't read is not asked for again until there is more", async () => {
  await advance("2024-05-01T00:00:00Z");
  await apply("slow", [
    { kind: "new_data", dataset: "slow" },
    { kind: "drift", monitor: "slow" },
  ]);
  let fail = () => {};
  reading = () =>
    new Promise((_, reject) => {
      fail = () => reject(new Error("no disk"));
    });
  accept("slow", 1);
  await advance("2024-05-01T01:00:00Z");
  await expect.poll(async () => (await runsOf("slow"))[0]?.state).toBe("running");
  check("slow", "2024-05-01T01:00:00Z", 0.7);
  checks.set("slow", { ...(checks.get("slow") ?? never()), drifted: true, alert: "3 of 4 features drifted." });
  await advance("2024-05-01T02:00:00Z");
  await advance("2024-05-01T03:00:00Z");
  checks.delete("slow");
  fail();
  await settled("slow");
  reading = async () => {};
  await advance("2024-05-01T04:00:00Z");
  expect((await runsOf("slow")).map(({ state }) => state)).toEqual(["failed"]);
  accept("slow", 2);
  await advance("2024-05-01T05:00:00Z");
  await settled("slow");
  expect(await firings("slow")).toEqual([
    "started: new data of slow: slow is at version 1 (1.parquet)",
    "deferred: drift of slow: 3 of 4 features drifted.; the run that it started is under way",
    "started: new data of slow: slow is at version 2 (2.parquet)",
  ]);
});

test("two processes that look at once start one run, which a failure in between does not lose, and one that is impossible is told once", async () => {
  await advance("2024-06-01T00:00:00Z");
  await apply("shared", [{ kind: "new_data", dataset: "shared" }]);
  accept("shared", 1);
  asking = () => {
    throw new Error("The database is away.");
  };
  await Promise.all([beside(platform.clock.now()), beside(platform.clock.now()), advance("2024-06-01T01:00:00Z")]);
  expect(await runsOf("shared")).toEqual([]);
  asking = () => {};
  await Promise.all([beside(platform.clock.now()), advance("2024-06-01T02:00:00Z")]);
  await settled("shared");
  const { items } = await get<{ items: Firing[] }>("/api/v1/triggers/shared/firings");
  expect(items.map(({ outcome, runId }) => [outcome, runId])).toEqual([["started", (await runsOf("shared"))[0]?.id]]);

  asking = () => {
    throw invalid("The param depth is missing.");
  };
  accept("shared", 2);
  await advance("2024-06-01T03:00:00Z");
  await advance("2024-06-01T04:00:00Z");
  asking = () => {};
  expect((await firings("shared")).slice(1)).toEqual([
    "skipped: new data of shared: shared is at version 2 (2.parquet); but the run can't be started: The param depth is missing.",
  ]);
  expect((await get<Trigger>("/api/v1/triggers/shared")).lastFiring?.runId).toBeNull();
  const told = (await platform.events.list({ limit: 1_000, types: ["trigger.fired"] })).filter(({ subject }) => subject === "shared");
  expect(told.map(({ data }) => data.outcome)).toEqual(["started", "started", "skipped"]);
});

test("a run that was asked for is not doubled where that could not be noted; a condition that is no schedule keeps nothing else waiting", async () => {
  await advance("2024-06-10T00:00:00Z");
  await apply("noted", [
    { kind: "cron", expression: "whenever", zone: "Mars/Base" },
    { kind: "new_data", dataset: "noted" },
  ]);
  expect(await get<Trigger>("/api/v1/triggers/noted")).toMatchObject({ nextCron: null });
  accept("noted", 1);
  asked = () => {
    throw new Error("The process ends here.");
  };
  await advance("2024-06-10T01:00:00Z");
  asked = () => {};
  await advance("2024-06-10T02:00:00Z");
  await settled("noted");
  await advance("2024-06-10T03:00:00Z");
  expect(await runsOf("noted")).toHaveLength(1);
  expect(await firings("noted")).toEqual(["started: new data of noted: noted is at version 1 (1.parquet)"]);
});

test("a paused trigger starts nothing; what still holds when it is resumed counts then", async () => {
  await advance("2024-07-01T00:00:00Z");
  await apply("resting", [{ kind: "new_data", dataset: "resting" }]);
  expect(await (await fetch(`${url}/api/v1/triggers/resting/pause`, { method: "POST" })).json()).toMatchObject({ paused: true });
  accept("resting", 1);
  await advance("2024-07-01T01:00:00Z");
  expect(await firings("resting")).toEqual([]);
  await fetch(`${url}/api/v1/triggers/resting/resume`, { method: "POST" });
  await advance("2024-07-01T02:00:00Z");
  expect(await firings("resting")).toEqual(["started: new data of resting: resting is at version 1 (1.parquet)"]);
  await settled("resting");
  const told = (await platform.events.list({ limit: 1_000, types: ["trigger.*"] })).filter(({ subject }) => subject === "resting").map(({ type }) => type);
  expect(told).toEqual(["trigger.paused", "trigger.resumed", "trigger.fired"]);
  expect(await get("/api/v1/triggers/none")).toEqual({ error: { code: "NOT_FOUND", message: 'There is no trigger "none".' } });
});

function never(): never {
  throw new Error("That was set before.");
}
