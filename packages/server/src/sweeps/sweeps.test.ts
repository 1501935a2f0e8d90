import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { SweepDetail, SweepStart } from "@millrace/sdk/api";
import { type Client, createClient } from "@millrace/sdk/client";
import type { PipelineSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createCompute } from "../compute/index.js";
import { createPipelines, type Pipelines, type StepKind } from "../pipelines/index.js";
import { openHttp, type Platform } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { createProjects } from "../projects/index.js";
import { applyProject } from "../projects/testing.js";
import { createTracking, type Tracking } from "../tracking/index.js";
import { createSweeps, sweepsRoutes } from "./index.js";

let folder: string;
let platform: Platform;
let close: () => Promise<void>;
let tracking: Tracking;
let pipelines: Pipelines;
let client: Client;
let stop: () => Promise<unknown>;

interface Said {
  params: Readonly<Record<string, unknown>>;
  signal: AbortSignal;
  say(step: number, value: number): Promise<void>;
}
/** What a trial does: it answers its metrics. */
let trying: (said: Said) => Promise<Record<string, number>> = async () => ({});

const spec: PipelineSpec = {
  name: "fit",
  params: [
    { name: "depth", type: "int" },
    { name: "lr", type: "float", default: 0.1 },
    { name: "kind", type: "enum", values: ["tree", "linear"], default: "tree" },
  ],
  nodes: [
    {
      ...{ id: "fit", kind: "read_dataset", config: { dataset: "fit" }, cache: false },
      ...{ inputs: { depth: { param: "depth" }, lr: { param: "lr" }, kind: { param: "kind" } }, outputs: [] },
    },
  ],
};

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  ({ platform, close } = await openPlatform({ host: "127.0.0.1", port: 0, dataDir: folder, clock: { kind: "system" }, logLevel: "silent" }));
  const projects = createProjects(platform);
  tracking = createTracking(platform, { access: { issueToken: () => "token" } });
  const compute = createCompute(platform);
  const fit: StepKind<"read_dataset"> = {
    kind: "read_dataset",
    version: "1",
    async run({ inputs, trackingRunId, signal }) {
      const say = (step: number, value: number) => tracking.log(trackingRunId ?? "", { metrics: [{ key: "auc", value, step, timestamp: step }] });
      return { outputs: {}, metrics: await trying({ params: inputs, signal, say }) };
    },
  };
  pipelines = createPipelines(platform, { projects, compute, tracking: tracking.runTracker, secrets: { read: async () => ({}) }, stepKinds: [fit] });
  const app = await openHttp(platform, async () => ({ name: "anna" }));
  // Two processes look after the same sweeps.
  const sweeps = [createSweeps(platform, { projects, pipelines, tracking, compute }), createSweeps(platform, { projects, pipelines, tracking, compute })];
  if (sweeps[0] !== undefined) sweepsRoutes(app, sweeps[0]);
  client = createClient({ url: await app.listen({ host: "127.0.0.1", port: 0 }) });
  stop = () => Promise.all([app.close(), ...sweeps.map((one) => one.stop())]);
  await platform.events.start();
  await pipelines.launch();
  for (const one of sweeps) one.launch();
  await applyProject(projects, {
    ...{ name: "fit", datasets: [{ name: "fit", mode: "append" }], pipelines: [spec] },
    sweeps: [
      { name: "tune", pipeline: "fit", over: { depth: { kind: "int", from: 2, to: 4 } }, search: "grid", goal: { metric: "auc", direction: "maximize" } },
    ],
  });
});
afterAll(async () => {
  await stop();
  await pipelines.stop();
  await close();
  await rm(folder, { recursive: true, force: true });
});

async function over(id: string): Promise<SweepDetail> {
  await expect.poll(async () => (await client.sweeps.get(id)).state, { timeout: 50_000 }).not.toBe("running");
  await expect.poll(async () => (await client.sweeps.get(id)).progress.running, { timeout: 20_000 }).toBe(0);
  return client.sweeps.get(id);
}
const goal = { metric: "auc", direction: "maximize" as const };
const valueAt = (params: Said["params"], name: string): number => Number(params[name]);
const run = async (start: SweepStart): Promise<SweepDetail> => over((await client.sweeps.start({ pipeline: "fit", goal, ...start })).id);

test("a grid tries every point, each as a run below the sweep's in tracking, and tells the best", async () => {
  trying = async ({ params }) => ({ auc: 0.9 - Math.abs(valueAt(params, "depth") - 3) / 10 + (params.kind === "tree" ? 0.01 : 0) });
  const start: SweepStart = {
    sweep: "tune",
    over: { depth: { kind: "int", from: 2, to: 4 }, kind: { kind: "choice", values: ["tree", "linear"] } },
    params: { lr: 0.5 },
  };
  const sweep = await run({ ...start, id: "grid" });
  expect((await client.sweeps.start({ ...start, id: "grid" })).state).toBe("succeeded");
  expect(sweep).toMatchObject({
    sweep: "tune",
    state: "succeeded",
    progress: { total: 6, succeeded: 6 },
    best: { params: { depth: 3, kind: "tree" }, value: 0.91 },
  });
  expect(sweep.trials.map(({ params }) => `${params.depth} ${params.kind}`)).toEqual(["2 tree", "2 linear", "3 tree", "3 linear", "4 tree", "4 linear"]);
  const first = await pipelines.get(sweep.trials[0]?.runId ?? "");
  expect(first).toMatchObject({ params: { depth: 2, kind: "tree", lr: 0.5 }, cause: { kind: "sweep", sweep: "grid", reason: "trial 0" } });

  const family = await tracking.overview.family(sweep.trackingRunId ?? "");
  expect(family.children.map(({ name }) => name).sort()).toEqual(["trial 0", "trial 1", "trial 2", "trial 3", "trial 4", "trial 5"]);
  await expect.poll(async () => (await tracking.runInfo(sweep.trackingRunId ?? "")).status).toBe("FINISHED");
  const root: unknown = JSON.parse(await tracking.runJson(sweep.trackingRunId ?? ""));
  expect(root).toMatchObject({
    data: {
      metrics: [{ key: "auc", value: 0.91 }],
      params: [
        { key: "best_depth", value: "3" },
        { key: "best_kind", value: "tree" },
      ],
    },
  });
  const plots = await client.sweeps.plots("grid");
  expect(plots.history.map(({ best }) => best)).toEqual([0.81, 0.81, 0.91, 0.91, 0.91, 0.91]);
  expect(plots.importance.map(({ param, method }) => `${param} ${method}`).sort()).toEqual(["depth spearman", "kind correlation_ratio"]);
});

test("a random search with the same seed tries the same, and no more at once than it may", async () => {
  let [now, most] = [0, 0];
  trying = async ({ params }) => {
    now += 1;
    most = Math.max(most, now);
    await new Promise((resolve) => setImmediate(resolve));
    now -= 1;
    return { auc: valueAt(params, "lr") };
  };
  const over: SweepStart["over"] = { depth: { kind: "int", from: 1, to: 64, log: true }, lr: { kind: "float", from: 0.001, to: 0.3, log: true } };
  const tried = async (seed: number) => (await run({ over, search: "random", trials: 6, atOnce: 2, seed })).trials.map(({ params }) => params);
  const [one, same, other] = [await tried(1), await tried(1), await tried(2)];
  expect(one).toEqual(same);
  expect(other).not.toEqual(one);
  expect(most).toBeLessThanOrEqual(2);
  for (const { depth, lr } of one) {
    expect(Number.isInteger(depth) && Number(depth) >= 1 && Number(depth) <= 64).toBe(true);
    expect(Number(lr) >= 0.001 && Number(lr) <= 0.3).toBe(true);
  }
});

/** A trial that says a value at each of 9 steps, and waits for the others before each. */
function curves(final: (params: Said["params"]) => number, seen: (depth: number, step: number) => Promise<void>) {
  return async ({ params, signal, say }: Said) => {
    for (let step = 1; step <= 9 && !signal.aborted; step++) {
      await say(step, final(params) - 1 / (step + 1));
      await seen(valueAt(params, "depth"), step);
    }
    signal.throwIfAborted();
    return { auc: final(params) };
  };
}

test("successive halving ends trials that are worse than others at the same step, and records them as stopped", async () => {
  const id = "asha";
  // The good trial goes first; the others go on only when it is over, or they are ended.
  let finished = () => {};
  const first = new Promise<void>((resolve) => {
    finished = resolve;
  });
  trying = async (said) => {
    const depth = valueAt(said.params, "depth");
    if (depth > 1) await first;
    const metrics = await curves(
      () => 1 - depth / 10,
      async (_, step) => {
        if (depth === 1) return;
        if (step === 3) await new Promise<void>((resolve) => said.signal.addEventListener("abort", () => resolve(), { once: true }));
      },
    )(said);
    finished();
    return metrics;
  };
  await client.sweeps.start({
    id,
    pipeline: "fit",
    goal,
    over: { depth: { kind: "int", from: 1, to: 3 } },
    search: "grid",
    atOnce: 3,
    stop: { kind: "asha", reduction: 3, minSteps: 1 },
  });
  const sweep = await over(id);
  expect(sweep.trials.map(({ state }) => state)).toEqual(["succeeded", "stopped", "stopped"]);
  expect(sweep.trials[2]?.message).toMatch(/^at step \d is|^at step \d it is number \d of \d, and the first one goes on$/);
  expect(sweep).toMatchObject({ state: "succeeded", best: { n: 0 }, progress: { stopped: 2, succeeded: 1 } });
  expect((await pipelines.get(sweep.trials[1]?.runId ?? "")).state).toBe("cancelled");
  expect((await client.sweeps.plots(id)).curves[0]?.points).toHaveLength(9);
});

test("the median rule ends a trial whose best is worse than what others had on average by then, once enough of them are over", async () => {
  trying = async (said) => {
    const bad = valueAt(said.params, "depth") > 3;
    return curves(
      () => (bad ? 0.2 : 0.9),
      async (_, step) => {
        // Never over by itself: it is ended, or the sweep does not end.
        if (bad && step === 4) await new Promise<void>((resolve) => said.signal.addEventListener("abort", () => resolve(), { once: true }));
      },
    )(said);
  };
  const over: SweepStart["over"] = { depth: { kind: "int", from: 1, to: 5 } };
  const sweep = await run({ over, search: "grid", atOnce: 1, stop: { kind: "median", warmUp: 2, trials: 3 } });
  expect(sweep.trials.map(({ state }) => state)).toEqual(["succeeded", "succeeded", "succeeded", "stopped", "stopped"]);
  expect(sweep.trials[3]?.message).toMatch(/^up to step \d its best is [\d.-]+, and the median of 3 others 0\.\d+$/);
});

test("failed trials are counted, tolerated up to a limit, and say why", async () => {
  trying = async ({ params }) => {
    if (valueAt(params, "depth") % 2 === 0) throw new Error("out of luck");
    return { auc: 0.5 };
  };
  const tolerant = await run({ over: { depth: { kind: "int", from: 1, to: 4 } }, search: "grid", maxFailed: 2 });
  expect(tolerant).toMatchObject({ state: "succeeded", progress: { succeeded: 2, failed: 2 } });
  expect(tolerant.trials[1]?.message).toContain("out of luck");
  const strict = await run({ over: { depth: { kind: "int", from: 1, to: 40 } }, search: "grid", maxFailed: 1 });
  expect(strict).toMatchObject({ state: "failed", message: expect.stringContaining("2 trials failed, and 1 may.") });
  expect(strict.trials.length).toBeLessThan(10);
  trying = async () => ({ loss: 1 });
  const nameless = await run({ over: { depth: { kind: "int", from: 1, to: 1 + 1 } }, search: "grid" });
  expect(nameless).toMatchObject({ state: "failed", message: "No trial has told a value." });
  expect(nameless.trials[0]?.message).toContain('says no number "auc"; there is loss');
});

test("a sweep is paused, goes on, and is cancelled with its runs", async () => {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  trying = async () => held.then(() => ({ auc: 1 }));
  const { id } = await client.sweeps.start({ pipeline: "fit", goal, over: { depth: { kind: "int", from: 1, to: 9 } }, search: "grid", atOnce: 1 });
  await expect.poll(async () => (await client.sweeps.get(id)).progress.running).toBe(1);
  await client.sweeps.pause(id);
  release();
  await expect.poll(async () => (await client.sweeps.get(id)).progress).toMatchObject({ running: 0, succeeded: 1 });
  trying = ({ signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("ended")), { once: true }));
  await client.sweeps.resume(id);
  await expect.poll(async () => (await client.sweeps.get(id)).progress.running).toBe(1);
  await client.sweeps.cancel(id);
  const sweep = await over(id);
  expect(sweep).toMatchObject({ state: "cancelled", progress: { succeeded: 1, cancelled: 1, running: 0 } });
  await expect.poll(async () => (await tracking.runInfo(sweep.trackingRunId ?? "")).status).toBe("KILLED");
  await expect(client.sweeps.resume(id)).rejects.toMatchObject({ status: 409, message: `The sweep ${id} can't be resumed: it is cancelled.` });
});

test("what is no sweep is refused with what would be right", async () => {
  const refused = (start: SweepStart) =>
    client.sweeps.start({ pipeline: "fit", goal, search: "random", ...start }).then(
      () => "made",
      (error: Error) => error.message,
    );
  expect(await refused({ over: { dept: { kind: "int", from: 1, to: 2 } } })).toContain('is "depth" meant?');
  expect(await refused({ over: { depth: { kind: "float", from: 1, to: 2 } } })).toContain("take whole ones");
  expect(await refused({ over: { depth: { kind: "int", from: 3, to: 2 } } })).toContain("the second is the larger one");
  expect(await refused({ over: { lr: { kind: "float", from: 0, to: 1, log: true }, depth: { kind: "choice", values: [1] } } })).toContain("begins above 0");
  expect(await refused({ over: { lr: { kind: "float", from: 0, to: 1 }, depth: { kind: "choice", values: [1] } }, search: "grid" })).toContain(
    "say how many `points`",
  );
  expect(await refused({ over: { lr: { kind: "float", from: 0.1, to: 1 } } })).toContain('needs its param "depth"');
  expect(await refused({ over: { kind: { kind: "choice", values: ["forest"] } }, params: { depth: 1 } })).toContain('"forest", not one of tree, linear');
  expect(await refused({ sweep: "tun" })).toBe('There is no sweep "tun".');
});

test("a Bayesian search by Optuna comes close to the best values, in trials that depend on the seed", { timeout: 240_000 }, async () => {
  trying = async ({ params }) => ({ auc: 1 - (Math.log10(valueAt(params, "lr")) + 1.5) ** 2 / 4 - Math.abs(valueAt(params, "depth") - 6) / 20 });
  const { id } = await client.sweeps.start({
    ...{ pipeline: "fit", goal, search: "bayesian", trials: 24, atOnce: 2 },
    over: {
      depth: { kind: "int", from: 2, to: 12 },
      lr: { kind: "float", from: 0.001, to: 0.3, log: true },
      kind: { kind: "choice", values: ["tree", "linear"] },
    },
  });
  await expect.poll(async () => (await client.sweeps.get(id)).state, { timeout: 200_000, interval: 500 }).not.toBe("running");
  const sweep = await client.sweeps.get(id);
  expect(sweep).toMatchObject({ state: "succeeded", message: null, progress: { succeeded: 24 } });
  expect(sweep.best?.value).toBeGreaterThan(0.85);
});

test("what is tracked has one tracked run, also where it is begun again or by two at once", async () => {
  const begin = () => tracking.runTracker.begin({ of: "run/twice", experiment: "twice", runName: "twice", tags: { "millrace.run": "twice" } });
  const begun = [...(await Promise.all([begin(), begin()])), await begin()];
  expect(new Set(begun.map(({ runId }) => runId)).size).toBe(1);
  const { experiment_id } = await tracking.runInfo(begun[0]?.runId ?? "");
  const { items } = await tracking.searchRuns([experiment_id], { filter: "", orderBy: [], view: "ALL", limit: 10, token: undefined });
  expect(items).toHaveLength(1);
});
