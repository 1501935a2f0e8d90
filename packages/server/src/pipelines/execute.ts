/** One execution of one run: from where the last one was interrupted to the end. */
import { mkdir, rm, rmdir } from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { StepState } from "@millrace/sdk/api";
import type { NodeSpec } from "@millrace/sdk/spec";
import type { Limit, Platform } from "../platform/index.js";
import { cacheKey, isArtifact, reusable } from "./cache.js";
import type { DurableStep } from "./engine.js";

import { openStepLog } from "./logs.js";
import type { ParamValue } from "./params.js";
import type { StepContext, StepKind } from "./step.js";
import { type PipelineStore, type RunRow, type StepEnd, type StepRow, Superseded } from "./store.js";
import type { RunTracker } from "./tracker.js";

/** An execution that this process has in hand. */
export interface ActiveRun {
  epoch: number;
  /** Aborted when the execution counts no more: the run was cancelled, or another process has it. */
  abort: AbortController;
}

export interface ExecutionParts {
  platform: Platform;
  store: PipelineStore;
  kinds: Map<string, StepKind>;
  tracking: RunTracker;
  executor: string;
  runsAtOnce: Limit;
  stepsAtOnce: Limit;
  /** Aborted when the server stops: what is executed then goes on at the next start. */
  stopping: AbortSignal;
  active: Map<string, ActiveRun>;
  /** Attempts of steps that run now. */
  attempts: Set<Promise<unknown>>;
}

/** Resolves when the run is over; never, when the server stops before. Throws nothing that has to do with the run itself. */
export async function executeRun(parts: ExecutionParts, runId: string, step: DurableStep): Promise<void> {
  const { store, stopping } = parts;
  const run = await store.claim(runId, parts.executor);
  if (run !== undefined) {
    const active: ActiveRun = { epoch: run.epoch, abort: new AbortController() };
    parts.active.set(runId, active);
    try {
      await parts.runsAtOnce(async () => {
        if (stopping.aborted) return;
        await runSteps(parts, run, step, active.abort.signal);
      });
    } catch (error) {
      if (!stopping.aborted && !(error instanceof Superseded)) await giveUp(parts, run, error);
    } finally {
      if (parts.active.get(runId) === active) parts.active.delete(runId);
    }
    if (stopping.aborted) return forever();
    await untilOver(parts, runId);
  }
  await endTracking(parts, runId);
}

async function runSteps(parts: ExecutionParts, run: RunRow, step: DurableStep, aborted: AbortSignal): Promise<void> {
  const { store, tracking } = parts;
  await store.started(run);
  run.tracking_run_id = await step("tracking", async () => {
    const tags = { "millrace.run": run.id, "millrace.pipeline": run.pipeline, "millrace.project": `${run.project}/${run.project_version}` };
    const { runId } = await tracking.begin({ experiment: run.pipeline, runName: `${run.pipeline}-${run.id.slice(-8)}`, tags });
    await tracking.logParams(runId, Object.fromEntries(Object.entries(run.params).map(([name, value]) => [name, String(value)])));
    return runId;
  });
  await store.tracked(run, run.tracking_run_id);

  // All steps are started at once, in the order of the definition, which is the same after a crash; each waits for those it takes from.
  const failed = new AbortController();
  const states = new Map<string, Promise<StepState>>();
  for (const node of run.spec.nodes) {
    const needs = [...new Set(Object.values(node.inputs).flatMap((input) => ("node" in input ? [input.node] : [])))];
    const before = needs.map((id) => states.get(id));
    states.set(
      node.id,
      step(node.id, () => runStep(parts, run, node, before, failed, aborted)),
    );
  }
  await Promise.all(states.values());

  const steps = await store.steps(run.id);
  const wrong = steps.find((s) => s.state === "failed");
  const refused = steps.find((s) => s.state === "refused");
  if (wrong !== undefined) await store.finish(run, "failed", `The step "${wrong.id}" failed: ${wrong.error ?? ""}`);
  else if (refused !== undefined) await store.finish(run, "refused", refused.error ?? `The step "${refused.id}" refused.`);
  else await store.finish(run, "succeeded", null);
}

/** Done again where a crash came between the end of the run and this. */
async function endTracking({ platform, store, tracking }: ExecutionParts, runId: string): Promise<void> {
  const run = await store.run(runId);
  if (run === undefined || run.tracking_run_id === null) return;
  try {
    if (Object.keys(run.metrics).length > 0) await tracking.logMetrics(run.tracking_run_id, run.metrics);
    await tracking.end(run.tracking_run_id, run.state === "failed" ? "FAILED" : run.state === "cancelled" ? "KILLED" : "FINISHED");
  } catch (error) {
    platform.log.error({ error, run: runId }, "the end of a run could not be tracked");
  }
}

/** Never throws for what the step did: how it ended is in its row, and is what it answers. */
async function runStep(
  parts: ExecutionParts,
  run: RunRow,
  node: NodeSpec,
  before: (Promise<StepState> | undefined)[],
  failed: AbortController,
  aborted: AbortSignal,
): Promise<StepState> {
  const { store, stopping } = parts;
  try {
    const earlier = await store.step(run.id, node.id);
    // It ended right before a crash: the engine does not know yet.
    if (earlier !== undefined && earlier.state !== "waiting" && earlier.state !== "running") return earlier.state;
    const needed = await Promise.all(before);
    if (needed.some((state) => state !== "succeeded" && state !== "cached")) return await skip(store, run, node);
    return await parts.stepsAtOnce(async () => {
      stopping.throwIfAborted();
      if (failed.signal.aborted) return skip(store, run, node);
      const working = attempts(parts, run, node, AbortSignal.any([aborted, stopping]));
      parts.attempts.add(working);
      const state = await working.finally(() => parts.attempts.delete(working));
      if (state === "failed") failed.abort();
      return state;
    });
  } catch (error) {
    if (stopping.aborted) return forever();
    if (!(error instanceof Superseded)) throw error;
    // Another execution has the run, or it was cancelled. Answering before the run is over would mix up the engine's records of both.
    await untilOver(parts, run.id);
    return (await store.step(run.id, node.id))?.state ?? "cancelled";
  }
}

async function attempts(parts: ExecutionParts, run: RunRow, node: NodeSpec, signal: AbortSignal): Promise<StepState> {
  const retries = node.kind === "python" ? (node.config.retries ?? 0) : 0;
  for (let failures = 0; ; failures++) {
    const state = await attempt(parts, run, node, signal, retries - failures);
    if (state !== "again") return state;
    await delay(Math.min(1_000 * 2 ** failures, longestPause), undefined, { signal }).catch(() => {});
    if (signal.aborted) throw new Superseded("The run was cancelled while it paused between attempts.");
  }
}

/** Answers `again` where the attempt failed and another one is wanted. */
async function attempt(parts: ExecutionParts, run: RunRow, node: NodeSpec, signal: AbortSignal, retries: number): Promise<StepState | "again"> {
  const { platform, store } = parts;
  const kind = parts.kinds.get(node.kind);
  const number = await store.begin(run, node.id);
  const log = await openStepLog(platform, run.id, node.id, number);
  const workDir = path.join(workFolder(platform), run.id, `${node.id}-${number}`);
  const say = (text: string) => log.write("millrace", text);
  /** The last lines are there before the step is over. */
  const end = async (ended: StepEnd): Promise<StepState> => {
    await log.close();
    await store.end(run, node.id, number, ended);
    return ended.state;
  };
  try {
    if (kind === undefined) throw new Error(`This server runs no steps of the kind "${node.kind}".`);
    const context: StepContext<NodeSpec["kind"]> = {
      runId: run.id,
      project: run.project,
      projectVersion: run.project_version,
      node,
      ...valuesOf(run, node, await store.steps(run.id)),
      trackingRunId: run.tracking_run_id,
      workDir,
      log: (text, stream = "millrace") => log.write(stream, text),
      signal,
    };
    const key = node.cache === false ? undefined : await cacheKey(kind, context);
    const known = key === undefined ? undefined : await reusable(platform, store, key);
    if (key !== undefined && known !== undefined) {
      say(`Nothing has changed since the run ${known.run}: its outputs are used.`);
      return await end({
        state: "cached",
        outputs: known.outputs,
        cacheKey: key,
        cachedFrom: known.run,
        metrics: known.metrics,
        ...(known.model_version === null ? {} : { modelVersion: known.model_version }),
      });
    }
    await rm(workDir, { recursive: true, force: true });
    await mkdir(workDir, { recursive: true });
    const result = await kind.run(context);
    for (const { name } of node.outputs) {
      if (result.outputs[name] === undefined && result.refused === undefined) throw new Error(`The step gave no output "${name}".`);
    }
    signal.throwIfAborted();
    if (result.refused !== undefined) say(result.refused);
    return await end({
      state: result.refused === undefined ? "succeeded" : "refused",
      outputs: result.outputs,
      ...(result.refused === undefined ? {} : { error: shown(result.refused) }),
      ...(key === undefined ? {} : { cacheKey: key }),
      ...(result.metrics === undefined ? {} : { metrics: result.metrics }),
      ...(result.modelVersion === undefined ? {} : { modelVersion: result.modelVersion }),
    });
  } catch (error) {
    if (error instanceof Superseded) throw error;
    if (signal.aborted) throw new Superseded("The run was cancelled, or the server stops.");
    const message = messageOf(error);
    // The lines that follow are in the log already, where a process said them.
    say(message.split("\n")[0] ?? "");
    if (retries > 0) {
      say(`It is tried again; ${retries} ${retries === 1 ? "attempt is" : "attempts are"} left.`);
      return "again";
    }
    return await end({ state: "failed", error: message });
  } finally {
    await log.close();
    await rm(workDir, { recursive: true, force: true }).catch(() => {});
    // The run's folder goes with the last of its steps.
    await rmdir(path.dirname(workDir)).catch(() => {});
  }
}

/** Where steps work; empty when no step runs. */
export const workFolder = (platform: Platform): string => path.join(platform.config.dataDir, "work");

function valuesOf(run: RunRow, node: NodeSpec, steps: StepRow[]): Pick<StepContext<NodeSpec["kind"]>, "inputs" | "params"> {
  const inputs: StepContext<NodeSpec["kind"]>["inputs"] = {};
  const params: Record<string, ParamValue> = {};
  for (const [name, input] of Object.entries(node.inputs)) {
    if ("node" in input) {
      const artifact = steps.find((s) => s.id === input.node)?.outputs[input.output];
      if (!isArtifact(artifact)) throw new Error(`The step "${input.node}" has no output "${input.output}", which the input "${name}" takes.`);
      inputs[name] = artifact;
    } else if ("param" in input) {
      const value = run.params[input.param];
      if (value === undefined) throw new Error(`The pipeline has no param "${input.param}", which the input "${name}" takes.`);
      inputs[name] = value;
      params[input.param] = value;
    } else {
      inputs[name] = input.literal;
    }
  }
  return { inputs, params };
}

async function skip(store: PipelineStore, run: RunRow, node: NodeSpec): Promise<StepState> {
  await store.skip(run, node.id);
  return "skipped";
}

/** Something of ours failed beside the steps, as the database: what can still be recorded is. */
async function giveUp({ platform, store }: ExecutionParts, run: RunRow, error: unknown): Promise<void> {
  platform.log.error({ error, run: run.id }, "a run failed outside of its steps");
  try {
    await store.finish(run, "failed", `The run failed outside of its steps: ${messageOf(error)}`);
  } catch (again) {
    if (!(again instanceof Superseded)) throw again;
  }
}

async function untilOver({ store, stopping }: ExecutionParts, runId: string): Promise<void> {
  while (!(await store.over(runId))) {
    await delay(500);
    if (stopping.aborted) return forever();
  }
}

/** What a stopped server leaves open, so that nothing is recorded for it. */
const forever = (): Promise<never> => new Promise(() => {});

const longestPause = 30_000;
const longestMessage = 20_000;
/** PostgreSQL keeps no zero characters. */
const shown = (text: string): string => text.replaceAll("\0", "").slice(0, longestMessage);
const messageOf = (error: unknown): string => shown(error instanceof Error ? error.message : String(error));
