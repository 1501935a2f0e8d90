import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Run, RunDetail } from "@millrace/sdk/api";
import type { NodeSpec } from "@millrace/sdk/spec";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createCompute } from "../compute/index.js";
import type { Platform } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { createProjects } from "../projects/index.js";
import { applyProject } from "../projects/testing.js";
import { createPipelines, type Pipelines, type RunTracker, type StepKind } from "./index.js";

/** What the steps of these tests do, by the name of the dataset that they say they read. */
const work = new Map<string, StepKind<"read_dataset">["run"]>();
const reading: StepKind<"read_dataset"> = {
  kind: "read_dataset",
  version: "1",
  run: async (context) => (await work.get(context.node.config.dataset)?.(context)) ?? { outputs: {} },
};
const tracked: unknown[][] = [];
const tracking: RunTracker = {
  begin: async ({ experiment }) => {
    tracked.push(["begin", experiment]);
    return { runId: "tracked" };
  },
  end: async (runId, status) => void tracked.push(["end", runId, status]),
  logParams: async (_runId, params) => void tracked.push(["params", params]),
  logMetrics: async (_runId, metrics) => void tracked.push(["metrics", metrics]),
  environment: () => ({}),
};
const node = (id: string, after?: string): NodeSpec => ({
  id,
  kind: "read_dataset",
  config: { dataset: id },
  inputs: after === undefined ? {} : { rows: { node: after, output: "rows" } },
  outputs: [{ name: "rows", type: "json" }],
  cache: false,
});
const nothing = { outputs: { rows: { type: "json" as const, digest: `sha256:${"0".repeat(64)}`, files: [], meta: {} } } };

let folder: string;
let platform: Platform;
let close: () => Promise<void>;
let pipelines: Pipelines;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  ({ platform, close } = await openPlatform({ host: "127.0.0.1", port: 0, dataDir: folder, clock: { kind: "system" }, logLevel: "silent" }));
  const projects = createProjects(platform);
  await applyProject(projects, {
    pipelines: [
      { name: "gated", params: [{ name: "by", type: "float", default: 0.1 }], nodes: [node("gate"), node("release", "gate")] },
      { name: "slow", params: [], nodes: [node("slow")] },
      { name: "wide", params: [], nodes: Array.from({ length: 6 }, (_, i) => node(`part${i}`)) },
    ],
  });
  pipelines = createPipelines(platform, { projects, compute: createCompute(platform), tracking, secrets: { read: async () => ({}) }, stepKinds: [reading] });
  await platform.events.start();
  await pipelines.launch();
});
afterAll(async () => {
  await pipelines.stop();
  await close();
  await rm(folder, { recursive: true, force: true });
});

async function untilOver(id: string): Promise<RunDetail> {
  for (;;) {
    const run = await pipelines.get(id);
    if (run.state !== "queued" && run.state !== "running") return run;
    await delay(20);
  }
}
const start = (pipeline: string, id?: string): Promise<Run> => pipelines.start({ pipeline, cause: { kind: "manual" }, ...(id === undefined ? {} : { id }) });

test("a step that says no ends the run as refused, with the reason, and is told of", async () => {
  work.set("gate", async () => ({ ...nothing, refused: "The candidate is no better.", metrics: { auc: 0.7 } }));
  const run = await untilOver((await start("gated")).id);
  expect(run).toMatchObject({ state: "refused", message: "The candidate is no better.", metrics: { auc: 0.7 }, trackingRunId: "tracked" });
  expect(run.steps.map((s) => s.state)).toEqual(["refused", "skipped"]);
  await expect
    .poll(() => tracked)
    .toEqual([
      ["begin", "gated"],
      ["params", { by: "0.1" }],
      ["metrics", { auc: 0.7 }],
      ["end", "tracked", "FINISHED"],
    ]);
  await expect
    .poll(async () => (await platform.events.list({ limit: 100, types: ["run.*", "step.*"] })).map((e) => `${e.type} ${e.data.step ?? ""} ${e.data.state}`))
    .toEqual([
      "run.queued  queued",
      "run.started  running",
      "step.changed gate running",
      "step.changed gate refused",
      "step.changed release skipped",
      "run.finished  refused",
    ]);
});

test("a run that is asked for twice by the same id is started once", async () => {
  const [one, two] = await Promise.all([start("wide", "fired-1"), start("wide", "fired-1")]);
  expect(one.createdAt).toBe(two.createdAt);
  await untilOver("fired-1");
  expect((await start("wide", "fired-1")).id).toBe("fired-1");
  expect((await pipelines.list({ pipeline: "wide" })).items).toHaveLength(1);
  await expect(start("slow", "fired-1")).rejects.toMatchObject({ status: 409 });
});

test("so many steps run at a time as there is room for, and the others wait for their turn", async () => {
  let running = 0;
  let most = 0;
  for (let i = 0; i < 6; i++) {
    work.set(`part${i}`, async () => {
      running += 1;
      most = Math.max(most, running);
      await delay(20);
      running -= 1;
      return nothing;
    });
  }
  expect((await untilOver((await start("wide")).id)).state).toBe("succeeded");
  expect(most).toBe(Math.min(6, 2 * availableParallelism()));
});

test("what an execution does that was superseded is dropped, and the run goes on when the other one dies", async () => {
  let began = 0;
  let finish = () => {};
  let signal: AbortSignal | undefined;
  work.set("slow", async (context) => {
    began += 1;
    if (began > 1) return { ...nothing, metrics: { fresh: 1 } };
    signal = context.signal;
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
    return { ...nothing, metrics: { late: 1 } };
  });
  const { id } = await start("slow");
  await expect.poll(() => began).toBe(1);

  // Another worker has taken this one, which was only paused, for dead; and then dies itself.
  const other = { host: "elsewhere", machine: "elsewhere", pid: 1, backends: ["local"], cpus: 1, memory: 1, gpus: 0 };
  await sql`
    insert into pipeline_worker (id, host, machine, pid, backends, cpus, memory, gpus)
    values ('other', ${other.host}, ${other.machine}, ${other.pid}, ${other.backends}, ${other.cpus}, ${other.memory}, ${other.gpus})`.execute(platform.db);
  await sql`update pipeline_step set worker = 'other' where run = ${id}`.execute(platform.db);
  await expect.poll(() => signal?.aborted, { timeout: 5_000 }).toBe(true);
  finish();
  await sql`update pipeline_worker set seen_at = clock_timestamp() - interval '1 minute' where id = 'other'`.execute(platform.db);
  const run = await untilOver(id);
  expect(run).toMatchObject({ state: "succeeded", steps: [{ state: "succeeded", attempt: 2 }] });
  expect(run.metrics).toEqual({ fresh: 1 });
});
