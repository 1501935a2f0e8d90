import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { RunDetail } from "@millrace/sdk/api";
import type { NodeSpec, PipelineSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { createCompute } from "../compute/index.js";
import type { Platform } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { createProjects, type Projects } from "../projects/index.js";
import { applyProject } from "../projects/testing.js";
import { createSecrets, type Secrets } from "../secrets/index.js";
import { jsonArtifact } from "./artifacts.js";
import { createPipelines, type Pipelines, type StepKind } from "./index.js";

type Plain = Extract<NodeSpec, { kind: "read_dataset" }>;
type Read = StepKind<"read_dataset">;
/** What the steps of these tests do, by the name of the dataset that they say they read: a JSON value from what they are given. */
const work = new Map<string, (inputs: Parameters<Read["run"]>[0]["inputs"], context: Parameters<Read["run"]>[0]) => unknown>();
/** Steps that were run, in their order. */
let ran: string[] = [];
let platform: Platform;
let close: () => Promise<void>;
let projects: Projects;
let pipelines: Pipelines;
let secrets: Secrets;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  ({ platform, close } = await openPlatform({ host: "127.0.0.1", port: 0, dataDir: folder, clock: { kind: "system" }, logLevel: "silent" }));
  projects = createProjects(platform);
  secrets = createSecrets(platform);
  const reading: Read = {
    kind: "read_dataset",
    version: "1",
    async run(context) {
      ran.push(context.process?.stepId ?? "");
      const value = (await work.get(context.node.config.dataset)?.(context.inputs, context)) ?? null;
      const output = context.node.outputs[0];
      if (output === undefined) return { outputs: {} };
      const made = await jsonArtifact(platform, output.name, value);
      return { outputs: { [output.name]: { ...made, type: output.type } } };
    },
  };
  const tracking = {
    begin: async () => ({ runId: "tracked" }),
    end: async () => {},
    logParams: async () => {},
    logMetrics: async () => {},
    environment: () => ({}),
  };
  pipelines = createPipelines(platform, { projects, compute: createCompute(platform), tracking, secrets, stepKinds: [reading] });
  await platform.events.start();
  await pipelines.launch();
});
afterAll(async () => {
  await pipelines.stop();
  await close();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  ran = [];
  work.clear();
});

const json = { name: "value", type: "json" as const };
const node = (id: string, rest: Partial<Plain> = {}): Plain => ({ id, kind: "read_dataset", config: { dataset: id }, inputs: {}, outputs: [json], ...rest });
const from = (id: string) => ({ node: id, output: "value" });
const map = (id: string, over: NodeSpec["inputs"][string], body: NodeSpec[], gives: string, atOnce?: number): NodeSpec => ({
  ...{ id, kind: "map" as const, inputs: { over }, outputs: [json] },
  config: { body, gives: { value: from(gives) }, ...(atOnce === undefined ? {} : { atOnce }) },
});
let applied = 0;
async function pipeline(nodes: NodeSpec[], params: PipelineSpec["params"] = []): Promise<string> {
  const name = `p${applied++}`;
  await applyProject(projects, { name, pipelines: [{ name, params, nodes }] });
  return name;
}
async function until(id: string, wish: (run: RunDetail) => boolean): Promise<RunDetail> {
  for (;;) {
    const run = await pipelines.get(id);
    if (wish(run)) return run;
    await delay(10);
  }
}
const isOver = (run: RunDetail) => run.state !== "queued" && run.state !== "running";
async function run(request: Omit<Parameters<Pipelines["start"]>[0], "cause">): Promise<RunDetail> {
  return until((await pipelines.start({ ...request, cause: { kind: "manual" } })).id, isOver);
}
const states = (of: RunDetail) => Object.fromEntries(of.steps.map((step) => [step.id, step.state]));
const reasons = (of: RunDetail) => Object.fromEntries(of.steps.map((step) => [step.id, step.reason]));
const list = { name: "days", type: "list" as const, default: ["mon", "tue", "wed"] };

test("a map runs its body for each item, within maps too, and what follows is given all in their order", async () => {
  work.set("fit", ({ day, size }) => `${day}/${size}`);
  work.set("all", (_inputs, { process }) => {
    const given = process?.given.fits;
    return given?.kind === "list" ? given.items.map((item) => item.meta.value) : [];
  });
  const inner = map("sizes", { literal: [1, 2] }, [node("fit", { inputs: { day: { item: "days" }, size: { item: "sizes" } } })], "fit");
  const name = await pipeline([map("days", { param: "days" }, [inner], "sizes"), node("all", { inputs: { fits: from("days") } })], [list]);
  const first = await run({ pipeline: name });
  expect(first.message).toBeNull();
  expect(first.steps.find((step) => step.id === "all")?.outputs.value?.meta.value).toEqual(["mon/1", "mon/2", "tue/1", "tue/2", "wed/1", "wed/2"]);
  const fit = first.steps.find((step) => step.id === "days[1].sizes[0].fit");
  expect(fit).toMatchObject({ node: "fit", parent: "days[1].sizes", item: 1, state: "succeeded", reason: "it never ran" });
  expect(first.steps.find((step) => step.id === "days")?.items).toEqual({ total: 3, done: 3 });
  expect((await pipelines.steps(first.id, { parent: "days[1].sizes" })).items).toHaveLength(2);

  ran = [];
  const second = await run({ pipeline: name, params: { days: ["tue", "thu"] } });
  expect(second.state).toBe("succeeded");
  // An item that was there before, at whatever place, is not done again.
  expect(ran.sort()).toEqual(["all", "days[1].sizes[0].fit", "days[1].sizes[1].fit"]);
});

test("a map takes an empty list, runs no more items at once than it may, and a list that is none ends the run with what was given", async () => {
  let now = 0;
  let most = 0;
  work.set("part", async () => {
    most = Math.max(most, ++now);
    await delay(5);
    now -= 1;
  });
  work.set("count", (_inputs, { process }) => (process?.given.parts?.kind === "list" ? process.given.parts.items.length : -1));
  const part = node("part", { inputs: { day: { item: "days" } }, cache: false });
  const name = await pipeline([map("days", { param: "days" }, [part], "part", 1), node("count", { inputs: { parts: from("days") } })], [list]);
  expect((await run({ pipeline: name, params: { days: [] } })).steps.find((step) => step.id === "count")?.outputs.value?.meta.value).toBe(0);
  expect((await run({ pipeline: name, params: { days: [1, 2, 3, 4] } })).state).toBe("succeeded");
  expect(most).toBe(1);

  work.set("source", () => "no list");
  const wrong = await pipeline([node("source"), map("days", from("source"), [node("part")], "part")]);
  expect(await run({ pipeline: wrong })).toMatchObject({
    state: "failed",
    message: 'The step "days" failed: The map "days" runs over a list, and is given "no list".',
  });
});

test("a condition chooses a branch; what it leaves out is skipped, with what takes from it alone", async () => {
  work.set("score", () => ({ auc: 0.61 }));
  work.set("good", () => "good");
  work.set("poor", () => "poor");
  work.set("told", ({ which }) => (typeof which === "object" && which !== null ? which.meta.value : null));
  const when = (is: "less" | "greater_or_equal") => [{ of: from("score"), path: "auc", is, value: 0.7 }];
  const name = await pipeline([
    node("score"),
    node("good", { when: when("greater_or_equal") }),
    node("better", { inputs: { good: from("good") } }),
    node("poor", { when: when("less") }),
    { id: "either", kind: "choose", config: {}, inputs: { first: from("good"), second: from("poor") }, outputs: [json] },
    node("told", { inputs: { which: from("either") } }),
  ]);
  const done = await run({ pipeline: name });
  expect(states(done)).toEqual({ score: "succeeded", good: "skipped", better: "skipped", poor: "succeeded", either: "succeeded", told: "succeeded" });
  expect(done).toMatchObject({ state: "succeeded" });
  expect(reasons(done)).toMatchObject({ good: "auc is 0.61, and it runs where that is at least 0.7", better: "good was skipped" });
  expect(done.steps.at(-1)?.outputs.value?.meta.value).toBe("poor");
});

test("a step waits for an answer without taking room: a yes goes on, a no refuses the run, and silence ends it", async () => {
  const ask = (timeout?: string): NodeSpec => ({
    ...{ id: "ask", kind: "approval" as const, inputs: {}, outputs: [{ name: "decision", type: "json" as const }] },
    config: { question: "Shall it go out?" },
    ...(timeout === undefined ? {} : { timeout }),
  });
  const name = await pipeline([ask(), node("after", { inputs: { decision: { node: "ask", output: "decision" } } })]);
  const asking = async () => {
    const { id } = await pipelines.start({ pipeline: name, cause: { kind: "manual" } });
    return (await until(id, (one) => one.steps[0]?.state === "asking")).id;
  };
  const yes = await asking();
  await pipelines.approve(yes, "ask", { approved: true, comment: "fine" }, "ann");
  const went = await until(yes, isOver);
  expect(went.state).toBe("succeeded");
  expect(went.steps[0]?.outputs.decision?.meta.value).toMatchObject({ approved: true, by: "ann", comment: "fine" });
  await expect(pipelines.approve(yes, "ask", { approved: false }, "bob")).rejects.toMatchObject({ status: 409 });
  const no = await asking();
  await pipelines.approve(no, "ask", { approved: false, comment: "too early" }, "bob");
  expect(await until(no, isOver)).toMatchObject({ state: "refused", message: 'bob said no to "ask": too early' });

  const silent = await run({ pipeline: await pipeline([ask("1ms")]) });
  expect(silent.message).toContain("It waited for an answer until");
});

test("a step waits for an event that comes after it began to wait", async () => {
  const tell = (subject: string, n: number) =>
    platform.db.transaction().execute((transaction) => platform.events.append(transaction, "flood.seen", subject, { n }));
  await tell("north", 1);
  const wait: NodeSpec = {
    id: "wait",
    kind: "wait_event",
    inputs: {},
    outputs: [{ name: "event", type: "json" }],
    config: { type: "flood.seen", subject: "north" },
  };
  const { id } = await pipelines.start({ pipeline: await pipeline([wait]), cause: { kind: "manual" } });
  await until(id, (one) => one.steps[0]?.state === "asking");
  await tell("south", 2);
  await tell("north", 3);
  expect((await until(id, isOver)).steps[0]?.outputs.event?.meta.value).toMatchObject({ type: "flood.seen", subject: "north", data: { n: 3 } });
});

test("it is said of each step why it ran or would run, and a wholly cached run of 50 steps is decided at once", async () => {
  const chain = Array.from({ length: 50 }, (_, i) => node(`s${i}`, { inputs: i === 0 ? { depth: { param: "depth" } } : { before: from(`s${i - 1}`) } }));
  for (const { id } of chain) work.set(id, ({ depth }) => ({ id, depth: depth ?? null }));
  const name = await pipeline(chain, [{ name: "depth", type: "int", default: 5 }]);
  const before = await pipelines.explain({ pipeline: name });
  expect(before.steps.slice(0, 2)).toEqual([
    { id: "s0", kind: "read_dataset", does: "run", reason: "it never ran" },
    { id: "s1", kind: "read_dataset", does: "run", reason: "depends on s0" },
  ]);
  const first = await run({ pipeline: name });
  ran = [];
  const again = await run({ pipeline: name });
  expect(ran).toEqual([]);
  expect(new Set(again.steps.map((step) => [step.state, step.reason].join(": ")))).toEqual(new Set([`cached: nothing has changed since the run ${first.id}`]));
  const changed = await run({ pipeline: name, params: { depth: 6 } });
  expect(reasons(changed)).toMatchObject({ s0: "depth was 5 and is 6", s1: "the input before has other contents" });
  const file = first.steps[0]?.outputs.value?.files[0]?.digest ?? "";
  await platform.objects.delete(file as `sha256:${string}`);
  expect((await pipelines.explain({ pipeline: name })).steps[0]?.reason).toBe("the cached output was deleted");
  expect((await pipelines.explain({ pipeline: name, cache: false })).steps[0]?.reason).toBe("the run was asked for without the cache");
});

test("a run goes on with what another one left, and runs again from a step", async () => {
  let broken = true;
  work.set("second", () => {
    if (broken) throw new Error("no luck");
    return 2;
  });
  const name = await pipeline([
    node("first", { cache: false }),
    node("second", { cache: false, inputs: { before: from("first") } }),
    node("third", { cache: false, inputs: { before: from("second") } }),
    node("beside", { cache: false }),
  ]);
  const failed = await run({ pipeline: name });
  expect(failed).toMatchObject({ state: "failed", message: 'The step "second" failed: no luck' });
  broken = false;
  ran = [];
  const resumed = await run({ pipeline: name, resume: failed.id });
  expect(resumed).toMatchObject({ state: "succeeded", cause: { resume: failed.id } });
  expect(reasons(resumed)).toMatchObject({ first: `taken over from the run ${failed.id}`, second: "its cache is off" });
  expect(ran).not.toContain("first");
  ran = [];
  const partly = await run({ pipeline: name, from: "second" });
  expect(states(partly)).toEqual({ first: "cached", second: "succeeded", third: "succeeded", beside: "cached" });
  expect(partly.cause).toMatchObject({ from: "second", of: resumed.id });
  expect(reasons(partly)).toMatchObject({ second: "it was asked to run again", third: "it depends on second, which runs again" });
  await expect(pipelines.start({ pipeline: name, resume: resumed.id, cause: { kind: "manual" } })).rejects.toMatchObject({ status: 409 });
  await expect(pipelines.start({ pipeline: name, from: "nowhere", cause: { kind: "manual" } })).rejects.toMatchObject({ status: 400 });
});

test("a step is tried again on what it says, with its attempts recorded", async () => {
  let tries = 0;
  work.set("flaky", () => {
    tries += 1;
    if (tries < 3) throw new Error(`try ${tries}`);
    return tries;
  });
  const retries = { times: 3, wait: "5ms" };
  const good = await run({ pipeline: await pipeline([node("flaky", { retries })]) });
  expect(good).toMatchObject({ state: "succeeded", steps: [{ attempt: 3 }] });
  const { attempts } = await pipelines.step(good.id, "flaky");
  expect(attempts.map(({ attempt, outcome, message }) => [attempt, outcome, message])).toEqual([
    [1, "error", "try 1"],
    [2, "error", "try 2"],
    [3, "succeeded", null],
  ]);
  tries = -1;
  const began = performance.now();
  const brief = { times: 3, wait: "200ms", factor: 1 };
  expect(await run({ pipeline: await pipeline([node("flaky", { cache: false, retries: brief })]) })).toMatchObject({ steps: [{ attempt: 4 }] });
  const took = performance.now() - began;
  expect(took).toBeGreaterThan(600);
  // A pause ends when it is over, not with the next look for what is ready, of which there is one a second.
  expect(took).toBeLessThan(2_000);
  tries = 0;
  expect(await run({ pipeline: await pipeline([node("flaky", { cache: false, retries: { ...retries, on: ["timeout"] } })]) })).toMatchObject({
    steps: [{ attempt: 1 }],
  });
  work.set("slow", (_inputs, { signal }) => delay(60_000, null, { signal }));
  expect((await run({ pipeline: await pipeline([node("slow", { timeout: "20ms" })]) })).message).toContain("longer than its timeout of 20ms");
});

test("a document that is wired wrongly is refused with each thing that is wrong", async () => {
  const circle = pipelines.start({
    pipeline: await pipeline([node("a", { inputs: { x: from("a") } }), node("b", { inputs: { x: { item: "nowhere" } } })]).catch(() => "refused"),
    cause: { kind: "manual" },
  });
  await expect(circle).rejects.toMatchObject({ status: expect.any(Number) });
});

test("secrets are kept sealed, and told to nobody but the step", async () => {
  await secrets.set("API_TOKEN", "s3cr3t-value", "ann");
  expect(await secrets.read(["API_TOKEN", "OTHER"])).toEqual({ API_TOKEN: "s3cr3t-value" });
  expect(JSON.stringify(await secrets.list())).not.toContain("s3cr3t");
  await secrets.delete("API_TOKEN");
  await expect(secrets.delete("API_TOKEN")).rejects.toMatchObject({ status: 404 });
});
