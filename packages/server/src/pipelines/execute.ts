/** One execution of one run: from where the last one was interrupted to the end. */
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import type { RunState, StepState } from "@millrace/sdk/api";
import type { NodeSpec } from "@millrace/sdk/spec";
import type { Platform } from "../platform/index.js";
import { cacheKey, isArtifact, reusable } from "./cache.js";
import type { DurableStep } from "./engine.js";
import type { limit } from "./limit.js";
import { openStepLog } from "./logs.js";
import type { ParamValue } from "./params.js";
import type { StepContext, StepKind } from "./step.js";
import { type PipelineStore, type RunRow, type StepRow, Superseded } from "./store.js";

/** What the pipelines tell the tracking of. Both bear repetition: a run is begun again after a crash. */
export interface RunTracker {
  begin(run: {
    pipeline: string;
    runId: string;
    params: Record<string, ParamValue>;
    tags: Record<string, string>;
  }): Promise<{ experimentId: string; runId: string }>;
  finish(trackingRunId: string, state: RunState, metrics: Record<string, number>): Promise<void>;
}

export interface ExecutionParts {
  platform: Platform;
  store: PipelineStore;
  kinds: Map<string, StepKind>;
  tracking: RunTracker | undefined;
  executor: string;
  runsAtOnce: ReturnType<typeof limit>;
  stepsAtOnce: ReturnType<typeof limit>;
  /** Aborted when the server stops: what is executed then goes on at the next start. */
  stopping: AbortSignal;
  /** The runs that this process executes, to be aborted when they are cancelled. */
  active: Map<string, AbortController>;
}

/** Resolves when the run is over; never, when the server stops before. Throws nothing that has to do with the run itself. */
export async function executeRun(parts: ExecutionParts, runId: string, step: DurableStep): Promise<void> {
  const { store } = parts;
  await parts.runsAtOnce(async () => {
    const run = await store.claim(runId, parts.executor);
    if (run === undefined) return;
    const cancelled = new AbortController();
    parts.active.set(runId, cancelled);
    try {
      await runSteps(parts, run, step, cancelled.signal);
    } catch (error) {
      if (parts.stopping.aborted) return forever();
      if (!(error instanceof Superseded)) await giveUp(parts, run, error);
      await untilOver(parts, runId);
    } finally {
      if (parts.active.get(runId) === cancelled) parts.active.delete(runId);
    }
  });
  const ended = await store.run(runId);
  if (ended?.tracking_run_id != null) await parts.tracking?.finish(ended.tracking_run_id, ended.state, ended.metrics);
}

async function runSteps(parts: ExecutionParts, run: RunRow, step: DurableStep, cancelled: AbortSignal): Promise<void> {
  const { store, tracking } = parts;
  await store.started(run);
  if (tracking !== undefined) {
    const begun = await step("tracking", async () => {
      const tags = { "millrace.run": run.id, "millrace.pipeline": run.pipeline, "millrace.project": `${run.project}/${run.project_version}` };
      return tracking.begin({ pipeline: run.pipeline, runId: run.id, params: run.params, tags });
    });
    await store.tracked(run, begun);
    run.tracking_run_id = begun.runId;
    run.tracking_experiment_id = begun.experimentId;
  }

  // All steps are started at once, in the order of the definition, which is the same after a crash; each waits for those it takes from.
  const failed = new AbortController();
  const states = new Map<string, Promise<StepState>>();
  for (const node of run.spec.nodes) {
    const needs = [...new Set(Object.values(node.inputs).flatMap((input) => ("node" in input ? [input.node] : [])))];
    const before = needs.map((id) => states.get(id));
    states.set(
      node.id,
      step(node.id, () => runStep(parts, run, node, before, failed, cancelled)),
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

/** Never throws for what the step did: how it ended is in its row, and is what it answers. */
async function runStep(
  parts: ExecutionParts,
  run: RunRow,
  node: NodeSpec,
  before: (Promise<StepState> | undefined)[],
  failed: AbortController,
  cancelled: AbortSignal,
): Promise<StepState> {
  const { store } = parts;
  try {
    const earlier = await store.step(run.id, node.id);
    // It ended right before a crash: the engine does not know yet.
    if (earlier !== undefined && earlier.state !== "waiting" && earlier.state !== "running") return earlier.state;
    const needed = await Promise.all(before);
    if (needed.some((state) => state !== "succeeded" && state !== "cached")) return await skip(store, run, node);
    return await parts.stepsAtOnce(async () => {
      if (failed.signal.aborted) return skip(store, run, node);
      const state = await attempt(parts, run, node, cancelled);
      if (state === "failed") failed.abort();
      return state;
    });
  } catch (error) {
    if (parts.stopping.aborted) return forever();
    if (!(error instanceof Superseded)) throw error;
    // Another execution has the run, or it was cancelled. Answering before the run is over would mix up the engine's records of both.
    await untilOver(parts, run.id);
    return (await store.step(run.id, node.id))?.state ?? "cancelled";
  }
}

async function attempt(parts: ExecutionParts, run: RunRow, node: NodeSpec, cancelled: AbortSignal): Promise<StepState> {
  const { platform, store, stopping } = parts;
  const kind = parts.kinds.get(node.kind);
  const number = await store.begin(run, node.id);
  const log = await openStepLog(platform.config.dataDir, run.id, node.id, number);
  const workDir = path.join(platform.config.dataDir, "work", run.id, `${node.id}-${number}`);
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
      signal: AbortSignal.any([cancelled, stopping]),
    };
    const key = node.cache === false ? undefined : await cacheKey(kind, context);
    const known = key === undefined ? undefined : await reusable(platform, store, key);
    if (key !== undefined && known !== undefined) {
      log.write("millrace", `Nothing has changed since the run ${known.run}: its outputs are used.`);
      await store.end(run, node.id, number, {
        state: "cached",
        outputs: known.outputs,
        cacheKey: key,
        cachedFrom: known.run,
        metrics: known.metrics,
        ...(known.model_version === null ? {} : { modelVersion: known.model_version }),
      });
      return "cached";
    }
    await rm(workDir, { recursive: true, force: true });
    await mkdir(workDir, { recursive: true });
    const result = await kind.run(context);
    for (const { name } of node.outputs) {
      if (result.outputs[name] === undefined && result.refused === undefined) throw new Error(`The step gave no output "${name}".`);
    }
    context.signal.throwIfAborted();
    const state = result.refused === undefined ? "succeeded" : "refused";
    await store.end(run, node.id, number, {
      state,
      outputs: result.outputs,
      ...(result.refused === undefined ? {} : { error: result.refused }),
      ...(key === undefined ? {} : { cacheKey: key }),
      ...(result.metrics === undefined ? {} : { metrics: result.metrics }),
      ...(result.modelVersion === undefined ? {} : { modelVersion: result.modelVersion }),
    });
    return state;
  } catch (error) {
    if (error instanceof Superseded || stopping.aborted) throw error;
    if (cancelled.aborted) throw new Superseded("The run was cancelled.");
    const message = messageOf(error);
    log.write("millrace", message);
    await store.end(run, node.id, number, { state: "failed", error: message });
    return "failed";
  } finally {
    await log.close();
    await rm(workDir, { recursive: true, force: true }).catch(() => {});
  }
}

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
  await store.finish(run, "failed", `The run failed outside of its steps: ${messageOf(error)}`);
}

async function untilOver({ store, stopping }: ExecutionParts, runId: string): Promise<void> {
  while ((await store.over([runId])).length === 0) {
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    if (stopping.aborted) return forever();
  }
}

/** What a stopped server leaves open, so that nothing is recorded for it. */
const forever = (): Promise<never> => new Promise(() => {});

const longestMessage = 20_000;
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, longestMessage);
