/** Two workers on one PostgreSQL and one folder of objects, one or the other of them killed again and again. `npm run chaos` kills twenty times. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { RunDetail } from "@millrace/sdk/api";
import type { NodeSpec } from "@millrace/sdk/spec";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createCompute } from "../compute/index.js";
import type { Platform } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { createProjects } from "../projects/index.js";
import { applyProject } from "../projects/testing.js";
import { createPipelines, type Pipelines } from "./index.js";
import { type ServerProcess, startServerProcess } from "./testing.js";

const kills = Number(process.env.MILLRACE_CHAOS_KILLS ?? 5);
const seed = Number(process.env.MILLRACE_CHAOS_SEED ?? 1);
let folder: string;
let platform: Platform;
let close: () => Promise<void>;
let pipelines: Pipelines;
let workers: (ServerProcess | undefined)[] = [];
const startOne = () => startServerProcess(path.join(folder, "data"), { DATABASE_URL: platform.databaseUrl }, "worker");

/** Four chains of five steps. Each takes a while, and adds itself to what the one before it gave. */
const nodes = Array.from({ length: 20 }, (_, i): NodeSpec => {
  const before = i < 4 ? undefined : `s${i - 4}`;
  return {
    ...{ id: `s${i}`, kind: "command", outputs: [{ name: "made", type: "file" }], cache: false },
    inputs: before === undefined ? {} : { before: { node: before, output: "made" } },
    config: {
      command: [
        "sh",
        "-c",
        `sleep 0.2; cat ${before === undefined ? "/dev/null" : '"$1"'} > "$0"; echo s${i} >> "$0"`,
        "{outputs.made}",
        ...(before === undefined ? [] : ["{inputs.before}"]),
      ],
    },
  };
});

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const config = { host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "system" as const }, logLevel: "silent" };
  ({ platform, close } = await openPlatform(config));
  const projects = createProjects(platform);
  await applyProject(projects, { pipelines: [{ name: "chain", params: [], nodes }] });
  const tracking = { begin: async () => ({ runId: "t" }), end: async () => {}, logParams: async () => {}, logMetrics: async () => {}, environment: () => ({}) };
  // It asks for runs and executes none.
  pipelines = createPipelines(platform, { projects, compute: createCompute(platform), tracking, secrets: { read: async () => ({}) }, stepKinds: [] });
  workers = await Promise.all([startOne(), startOne()]);
}, 120_000);
afterAll(async () => {
  await Promise.all(workers.map((worker) => worker?.kill()));
  await close();
  await rm(folder, { recursive: true, force: true });
});

const ask = async () => (await pipelines.start({ pipeline: "chain", cause: { kind: "manual" } })).id;
const isOver = (run: RunDetail) => run.state !== "queued" && run.state !== "running";
async function untilOver(id: string): Promise<RunDetail> {
  for (;;) {
    const run = await pipelines.get(id);
    if (isOver(run)) return run;
    await delay(50);
  }
}
const digests = (run: RunDetail) => Object.fromEntries(run.steps.map((step) => [step.id, step.outputs.made?.digest]));

test(
  "a run on two workers that are killed at random ends as an undisturbed one, with each step done once",
  async () => {
    const undisturbed = await untilOver(await ask());
    expect(undisturbed).toMatchObject({ state: "succeeded", message: null });
    let state = seed;
    const random = () => {
      state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
      return state / 2 ** 31;
    };
    const runs = [await ask()];
    const lost = async () => (await sql`select 1 from pipeline_attempt where outcome = 'lost' limit 1`.execute(platform.db)).rows.length > 0;
    // A slow machine begins workers that are killed before they have anything: until one had.
    for (let killed = 0; killed < kills || (killed < 5 * kills && !(await lost())); killed++) {
      await delay(100 + random() * 700);
      const newest = runs.at(-1) ?? "";
      if (isOver(await pipelines.get(newest))) runs.push(await ask());
      const at = random() < 0.5 ? 0 : 1;
      await workers[at]?.kill();
      workers[at] = await startOne();
    }
    for (const id of runs) {
      const run = await untilOver(id);
      expect(run).toMatchObject({ state: "succeeded", message: null });
      expect(digests(run)).toEqual(digests(undisturbed));
      const { rows: done } = await sql<{ step: string; count: number }>`
        select step, count(*)::int as count from pipeline_attempt where run = ${id} and outcome = 'succeeded' group by step`.execute(platform.db);
      expect(done.map((row) => row.count)).toEqual(Array.from({ length: nodes.length }, () => 1));
      const { rows: told } = await sql<{ count: number }>`
        select count(*)::int as count from event where type = 'step.changed' and data ->> 'run' = ${id} and data ->> 'state' = 'succeeded'`.execute(
        platform.db,
      );
      expect(told[0]?.count).toBe(nodes.length);
    }
    expect(await lost()).toBe(true);
  },
  Math.max(120_000, kills * 20_000),
);
