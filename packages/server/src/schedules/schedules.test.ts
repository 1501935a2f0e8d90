import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Backfill, BackfillItem, Plan, Run, Schedule, ScheduleFiring, ScheduleMoment } from "@millrace/sdk/api";
import { type Client, createClient } from "@millrace/sdk/client";
import type { PipelineSpec, ScheduleSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { backfillsRoutes, createBackfills } from "../backfills/index.js";
import { createCompute } from "../compute/index.js";
import { createPipelines, type Pipelines, type StepKind } from "../pipelines/index.js";
import { invalid, openHttp, type Platform } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { createProjects, type Projects } from "../projects/index.js";
import { applyProject } from "../projects/testing.js";
import { createSchedules, schedulesRoutes } from "./index.js";

let folder: string;
let platform: Platform;
let close: () => Promise<void>;
let projects: Projects;
let pipelines: Pipelines;
let client: Client;
let stop: () => Promise<unknown>;
/** Another process that looks at the same moment. */
let beside: (now: Date) => Promise<void> = async () => {};
/** What the step of a run does, and what happens before and after a run is asked for. */
let working: (params: Readonly<Record<string, unknown>>) => Promise<void> = async () => {};
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
    async run({ inputs }) {
      await working(inputs);
      return { outputs: { rows: { type: "table", digest: `sha256:${"0".repeat(64)}`, files: [], meta: {} } } };
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
    partitions: async (dataset: string) => (dataset === "days" ? ["2024-01-01", "2024-01-02"] : []),
  };
  const app = await openHttp(platform, async () => ({ name: "anna" }));
  schedulesRoutes(app, createSchedules(platform, on));
  const onTick = (_: string, handler: typeof beside) => {
    beside = handler;
  };
  createSchedules(
    { ...platform, clock: { ...platform.clock, onTick }, events: { ...platform.events, subscribe: () => {} } },
    { ...on, projects: { ...projects, review: () => {} } },
  );
  const backfills = [createBackfills(platform, on), createBackfills(platform, on)];
  if (backfills[0] !== undefined) backfillsRoutes(app, backfills[0]);
  const url = await app.listen({ host: "127.0.0.1", port: 0 });
  client = createClient({ url });
  stop = () => Promise.all([app.close(), ...backfills.map((one) => one.stop())]);
  await platform.events.start();
  await pipelines.launch();
  // Two processes look after the same backfills.
  for (const one of backfills) one.launch();
});
afterAll(async () => {
  await stop();
  await pipelines.stop();
  await close();
  await rm(folder, { recursive: true, force: true });
});

const pipelineOf = (name: string): PipelineSpec => ({
  name,
  params: [
    { name: "until", type: "month", default: "latest" },
    { name: "day", type: "string", default: "none" },
  ],
  nodes: [
    {
      ...{ id: "read", kind: "read_dataset", config: { dataset: name }, cache: false },
      ...{ inputs: { until: { param: "until" }, day: { param: "day" } }, outputs: [{ name: "rows", type: "table" }] },
    },
  ],
});
const apply = (name: string, schedules: Omit<ScheduleSpec, "name" | "pipeline" | "zone">[] = []): Promise<Plan> =>
  applyProject(projects, {
    ...{ name, datasets: [{ name, mode: "append" }], pipelines: [pipelineOf(name)] },
    schedules: schedules.map((one) => ({ name, pipeline: name, zone: "America/New_York", ...one })),
  });
const advance = (to: string) => platform.clock.advance(new Date(to));
const runsOf = async (pipeline: string): Promise<Run[]> => (await pipelines.list({ pipeline, limit: 100 })).items.reverse();
async function settled(pipeline: string): Promise<void> {
  await expect.poll(async () => (await runsOf(pipeline)).some(({ state }) => state === "queued" || state === "running")).toBe(false);
}
/** Oldest first: `started 2024-01-01T05:00`. */
async function history(name: string): Promise<string[]> {
  return (await client.schedules.firings(name)).items.reverse().map(({ outcome, moment }) => `${outcome} ${moment.slice(0, 16)}`);
}
/** A step that goes on until it is told. */
function hold(): () => void {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  working = () => held;
  return () => {
    working = async () => {};
    release();
  };
}

test("a schedule starts its run at each moment in its zone, with the moment in its params, once for all servers", async () => {
  await apply("daily", [{ cron: "30 6 * * *", params: { until: "{scheduled:month-1}", day: "at {scheduled:date}, {scheduled:hour}" } }]);
  expect(await client.schedules.get("daily")).toMatchObject({ next: "2024-01-01T11:30:00.000Z", paused: false, overlap: "skip", catchUp: "last", edited: [] });
  await advance("2024-01-01T11:00:00Z");
  expect(await history("daily")).toEqual([]);
  asking = () => {
    throw new Error("The database is away.");
  };
  await Promise.all([beside(new Date("2024-01-01T11:30:00Z")), advance("2024-01-01T11:30:00Z")]);
  expect(await runsOf("daily")).toEqual([]);
  asking = () => {};
  asked = () => {
    throw new Error("The process ends here.");
  };
  await Promise.all([beside(platform.clock.now()), advance("2024-01-01T11:31:00Z")]);
  asked = () => {};
  await Promise.all([beside(platform.clock.now()), advance("2024-01-01T11:32:00Z")]);
  await settled("daily");
  const runs = await runsOf("daily");
  expect(runs.map(({ params, cause }) => ({ params, cause }))).toEqual([
    {
      params: { until: "2023-12", day: "at 2024-01-01, 2024-01-01T06" },
      cause: { kind: "schedule", schedule: "daily", reason: "2024-01-01T11:30:00.000Z has come" },
    },
  ]);
  expect((await client.schedules.firings("daily")).items).toEqual([expect.objectContaining({ runId: runs[0]?.id, runState: "succeeded", manual: false })]);
});

test("an hour that summer time leaves out counts as its end, and one that it repeats counts once unless hours are any", async () => {
  await apply("dst");
  const moments = async (cron: string) => {
    await client.schedules.create({ name: "dst", pipeline: "dst", cron, zone: "America/New_York" }).catch(() => client.schedules.edit("dst", { cron }));
    return (await client.schedules.next("dst", 3)).items.map(({ local }) => local);
  };
  await advance("2024-03-09T12:00:00Z");
  expect(await moments("30 2 * * *")).toEqual(["2024-03-10T03:00:00-04:00", "2024-03-11T02:30:00-04:00", "2024-03-12T02:30:00-04:00"]);
  await advance("2024-11-03T04:45:00Z");
  expect(await moments("30 1 * * *")).toEqual(["2024-11-03T01:30:00-04:00", "2024-11-04T01:30:00-05:00", "2024-11-05T01:30:00-05:00"]);
  expect(await moments("30 * * * *")).toEqual(["2024-11-03T01:30:00-04:00", "2024-11-03T01:30:00-05:00", "2024-11-03T02:30:00-05:00"]);
  await client.schedules.delete("dst");
  await expect(client.schedules.get("dst")).rejects.toMatchObject({ status: 404, message: 'There is no schedule "dst".' });
});

test("after downtime a schedule makes up for no moment, the last, or all up to its limit", async () => {
  await advance("2024-12-01T00:00:00Z");
  for (const [name, rest] of [
    ["none", { catchUp: "none" }],
    ["last", {}],
    ["all", { catchUp: "all", catchUpLimit: 3, overlap: "queue" }],
  ] as const)
    await apply(`after_${name}`, [{ cron: "0 12 * * *", ...rest }]);
  await advance("2024-12-01T00:01:00Z");
  await advance("2024-12-05T18:00:00Z");
  for (const name of ["after_none", "after_last", "after_all"])
    await expect.poll(async () => (await history(name)).some((one) => one.startsWith("waiting"))).toBe(false);
  expect(await history("after_none")).toEqual(["missed 2024-12-05T17:00"]);
  expect(await history("after_last")).toEqual(["missed 2024-12-04T17:00", "started 2024-12-05T17:00"]);
  expect(await history("after_all")).toEqual(["missed 2024-12-02T17:00", "started 2024-12-03T17:00", "started 2024-12-04T17:00", "started 2024-12-05T17:00"]);
  expect((await client.schedules.get("after_none")).last?.reason).toBe("no server came to it in time, nor to those before it");
  await advance("2024-12-06T17:00:30Z");
  expect((await history("after_none")).at(-1)).toBe("started 2024-12-06T17:00");
});

test("while its run is under way, a moment is skipped, waits, ends that run, or does not care", async () => {
  await advance("2025-01-01T00:00:00Z");
  const policies = ["skip", "queue", "cancel_running", "allow"] as const;
  for (const overlap of policies) await apply(`over_${overlap}`, [{ cron: "0 * * * *", overlap }]);
  await advance("2025-01-01T00:30:00Z");
  const release = hold();
  await advance("2025-01-01T01:00:00Z");
  await advance("2025-01-01T02:00:00Z");
  const outcomes = async (name: string) => (await client.schedules.firings(name)).items.reverse().map(({ outcome, runState }) => `${outcome} ${runState}`);
  expect(await outcomes("over_skip")).toEqual(["started running", "skipped null"]);
  expect(await outcomes("over_queue")).toEqual(["started running", "waiting null"]);
  expect(await outcomes("over_cancel_running")).toEqual(["started cancelled", "started running"]);
  expect(await outcomes("over_allow")).toEqual(["started running", "started running"]);
  release();
  await expect.poll(() => outcomes("over_queue"), { timeout: 20_000 }).toEqual(["started succeeded", "started succeeded"]);
  for (const overlap of policies) await client.schedules.pause(`over_${overlap}`);
});

test("what was edited or paused on the server stays whatever is applied, which tells of it, until it is reset", async () => {
  await advance("2025-02-01T00:00:00Z");
  await apply("edited", [{ cron: "0 * * * *" }]);
  await client.schedules.edit("edited", { cron: "15 * * * *", jitter: "10m" });
  const told: Schedule = await client.schedules.pause("edited");
  expect(told).toMatchObject({ cron: "15 * * * *", paused: true, next: null, edited: ["cron", "jitter", "paused"], editedBy: "anna" });
  await advance("2025-02-01T05:00:00Z");
  const plan = await apply("edited", [{ cron: "30 * * * *" }]);
  expect(plan.notes).toEqual(['The schedule "edited" was edited on the server by anna (cron, jitter, paused), and that stays: millrace schedule reset edited']);
  await client.schedules.resume("edited");
  const [next] = (await client.schedules.next("edited", 1)).items as [ScheduleMoment];
  const late = Date.parse(next.dueAt) - Date.parse(next.moment);
  expect(next.moment).toBe("2025-02-01T05:15:00.000Z");
  expect(late).toBeGreaterThan(0);
  expect(late).toBeLessThan(600_000);
  await advance(new Date(Date.parse(next.dueAt) - 1).toISOString());
  expect(await history("edited")).toEqual(["waiting 2025-02-01T05:15"]);
  await advance(next.dueAt);
  expect(await history("edited")).toEqual(["started 2025-02-01T05:15"]);
  expect(await client.schedules.reset("edited")).toMatchObject({ cron: "30 * * * *", edited: [], paused: false, jitter: null });
  await expect(client.schedules.delete("edited")).rejects.toMatchObject({ status: 409 });
});

test("what is no schedule is refused with what would be right, and a run that can't be started is told", async () => {
  await apply("wrong");
  const create = (rest: object) =>
    client.schedules.create({ name: "by_api", pipeline: "wrong", cron: "0 6 * * *", zone: "Europe/Oslo", ...rest }).then(
      () => "made",
      (error: Error) => error.message,
    );
  expect(await create({ cron: "61 * * * *" })).toContain("is no minute");
  expect(await create({ cron: "0 0 30 2 *" })).toContain("has no moment");
  expect(await create({ zone: "Europe/Olso" })).toContain("is no time zone");
  expect(await create({ pipeline: "wrog" })).toContain('is "wrong" meant?');
  expect(await create({ params: { until: "{scheduled:date}" } })).toContain("which is not a month: write {scheduled:month}");
  expect(await create({ params: { day: "{scheduled:moth}" } })).toContain('"moth" is no part of a moment');
  expect(await create({})).toBe("made");
  expect(await create({})).toContain('There is a schedule "by_api" already');
  await expect(apply("by_api", [{ cron: "0 6 * * *" }])).rejects.toThrow('The schedule "by_api" was made by API');
  const fired: ScheduleFiring = await client.schedules.fire("by_api");
  expect(fired).toMatchObject({ manual: true, reason: "by anna", outcome: "started" });
  asking = () => {
    throw invalid("The param depth is missing.");
  };
  await expect(client.schedules.fire("by_api")).rejects.toMatchObject({ status: 409, message: expect.stringContaining("depth is missing") });
  asking = () => {};
  await settled("wrong");
});

const over = async (id: string): Promise<Backfill> => {
  await expect.poll(async () => (await client.backfills.get(id)).state, { timeout: 30_000 }).not.toBe("running");
  return client.backfills.get(id);
};
const itemsOf = async (id: string): Promise<BackfillItem[]> => (await client.backfills.items(id)).items;

test("a backfill does a run for each value, so many at once, and the failed ones again", async () => {
  await apply("past");
  let [now, most] = [0, 0];
  working = async ({ until }) => {
    now += 1;
    most = Math.max(most, now);
    await new Promise((resolve) => setImmediate(resolve));
    now -= 1;
    if (until === "2013-02") throw new Error("February is away.");
  };
  const request = {
    pipeline: "past",
    param: "until",
    over: { kind: "months" as const, from: "2012-11", to: "2013-03" },
    params: { day: "x" },
    atOnce: 2,
    id: "past-1",
  };
  const { id } = await client.backfills.start(request);
  expect((await client.backfills.start(request)).id).toBe(id);
  expect(await over(id)).toMatchObject({
    state: "failed",
    message: "1 of 5 failed or were cancelled.",
    progress: { total: 5, succeeded: 4, failed: 1, waiting: 0 },
  });
  expect(most).toBeLessThanOrEqual(2);
  const items = await itemsOf(id);
  expect(items.map(({ value, state }) => `${value} ${state}`)).toEqual([
    "2012-11 succeeded",
    "2012-12 succeeded",
    "2013-01 succeeded",
    "2013-02 failed",
    "2013-03 succeeded",
  ]);
  const run = await pipelines.get(items[0]?.runId ?? "");
  expect(run).toMatchObject({ params: { until: "2012-11", day: "x" }, cause: { kind: "backfill", backfill: id, reason: "until is 2012-11" } });

  working = async () => {};
  await client.backfills.retry(id);
  expect(await over(id)).toMatchObject({ state: "succeeded", message: null, progress: { succeeded: 5 } });
  expect((await itemsOf(id))[3]).toMatchObject({ state: "succeeded", attempt: 2 });
  expect(await runsOf("past")).toHaveLength(6);
  const again = await client.backfills.start({
    ...request,
    id: "past-2",
    over: { kind: "months", from: "2013-01", to: "2013-04" },
    skipSucceeded: true,
    order: "newest_first",
  });
  expect(await over(again.id)).toMatchObject({ state: "succeeded", progress: { succeeded: 1, skipped: 3 }, first: "2013-04" });
});

test("a backfill is paused, goes on, and is cancelled with its runs", async () => {
  await apply("paused");
  const release = hold();
  const { id } = await client.backfills.start({ pipeline: "paused", param: "day", over: { kind: "values", values: ["a", "b", "c", "d"] } });
  await expect.poll(async () => (await client.backfills.get(id)).progress).toMatchObject({ running: 1, waiting: 3 });
  await client.backfills.pause(id);
  release();
  await expect.poll(async () => (await client.backfills.get(id)).progress).toMatchObject({ succeeded: 1, running: 0, waiting: 3 });
  const again = hold();
  await client.backfills.resume(id);
  await expect.poll(async () => (await pipelines.list({ pipeline: "paused", state: "running" })).items.length).toBe(1);
  expect(await client.backfills.cancel(id)).toMatchObject({ state: "cancelled" });
  await expect.poll(async () => (await client.backfills.get(id)).progress, { timeout: 20_000 }).toMatchObject({ succeeded: 1, cancelled: 3, running: 0 });
  again();
  await expect(client.backfills.pause(id)).rejects.toMatchObject({ status: 409, message: `The backfill ${id} can't be paused: it is cancelled.` });
  await settled("paused");
});

test("what is no backfill is refused with what would be right", async () => {
  for (const name of ["ranges", "days", "hours"]) await apply(name);
  const start = (over: object, rest: object = {}) =>
    client.request<Backfill>("POST", "/api/v1/backfills", { json: { pipeline: "ranges", param: "day", over, ...rest } }).then(
      ({ progress }) => progress.total,
      (error: Error) => error.message,
    );
  expect(await start({ kind: "dates", from: "2024-02-27", to: "2024-03-02" })).toBe(5);
  expect(await start({ kind: "dates", from: "2024-02-27", to: "2024-03-02", every: 2 })).toBe(3);
  expect(await start({ kind: "partitions", dataset: "days" })).toBe(2);
  expect(await start({ kind: "partitions", dataset: "hours" })).toContain('There are no partitions of "hours" to go through');
  expect(await start({ kind: "partitions", dataset: "nothing" })).toBe('There is no dataset "nothing".');
  expect(await start({ kind: "dates", from: "2024-02-30", to: "2024-03-02" })).toBe('There is no day "2024-02-30".');
  expect(await start({ kind: "months", from: "2024-02", to: "2023-03" })).toContain("the first is the earlier one");
  expect(await start({ kind: "months", from: "0001-01", to: "9999-01" })).toContain("at most 10,000 values");
  expect(await start({ kind: "values", values: ["a", "a"] })).toBe('The value "a" is there twice.');
  expect(await start({ kind: "values", values: ["a"] }, { param: "until" })).toContain('"a", not a month');
  expect(await start({ kind: "values", values: ["a"] }, { param: "untl" })).toContain('is "until" meant?');
  for (const { id } of (await client.backfills.list({ pipeline: "ranges" })).items) await over(id);
});
