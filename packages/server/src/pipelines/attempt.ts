/** One attempt of one step: from what it is given to how it ended. */
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { durationMs } from "@millrace/sdk";
import type { StepProgress } from "@millrace/sdk/api";
import type { NodeSpec } from "@millrace/sdk/spec";
import type { Platform } from "../platform/index.js";
import { identified, stepKey } from "./decide.js";
import { openStepLog } from "./logs.js";
import type { Model, ModelStep } from "./model.js";
import { type AttemptEnd, type Claimed, pauseOf } from "./queue.js";
import { type FailureCause, type ProcessFacts, type StepContext, StepFailure, type StepKind } from "./step.js";
import { givenTo } from "./values.js";

export interface SecretReader {
  /** The values of those that are set. */
  read(names: string[]): Promise<Record<string, string>>;
}
export interface AttemptParts {
  platform: Platform;
  kinds: Map<string, StepKind>;
  secrets: SecretReader;
  /** Of this worker alone. */
  workFolder: string;
}
/** What is shown of an attempt while it runs. */
export interface Live {
  progress: StepProgress | undefined;
  usage: { memoryBytes: number; cpuSeconds: number } | undefined;
  changed: boolean;
}

let folders = 0;

/** Undefined where the attempt counts no more: cancelled, taken over by another, or the worker stops. */
export async function runAttempt(
  { platform, kinds, secrets, workFolder }: AttemptParts,
  { model, step, claimed, signal, live }: { model: Model; step: ModelStep; claimed: Claimed; signal: AbortSignal; live: Live },
): Promise<AttemptEnd | undefined> {
  const { node } = step;
  const { run } = model;
  const kind = kinds.get(node.kind);
  const isProcess = claimed.place === "process" || claimed.place === "remote";
  const workDir = path.join(workFolder, String(folders++));
  const log = openStepLog(platform, run.id, step.id, claimed.attempt);
  const say = (text: string) => log.write("millrace", text);
  let facts: ProcessFacts | null = null;
  try {
    if (kind === undefined) throw new Error(`This server runs no steps of the kind "${node.kind}".`);
    const given = givenTo(model, step);
    // Why its key could not be told is what its author must know.
    if (node.cache !== false && step.cacheKey === null) await stepKey({ kinds }, model, step);
    const names = "secrets" in node ? (node.secrets ?? []) : [];
    const values = names.length === 0 ? {} : await secrets.read(names);
    for (const name of names) {
      if (values[name] === undefined) throw new Error(`The secret ${name}, which the step asks for, is not set. Set it with: millrace secret set ${name}`);
    }
    log.mask(Object.values(values));
    if (!isProcess) await mkdir(workDir, { recursive: true });
    // A process has its timeout from its backend, which ends all that it started.
    const timeout = isProcess || node.timeout === undefined ? undefined : AbortSignal.timeout(durationMs(node.timeout));
    const context: StepContext<NodeSpec["kind"]> = {
      ...identified(model, node, given),
      runId: run.id,
      trackingRunId: run.tracking_run_id,
      workDir,
      log: (text, stream = "millrace") => log.write(stream, text),
      signal: timeout === undefined ? signal : AbortSignal.any([signal, timeout]),
      process: {
        stepId: step.id,
        attempt: claimed.attempt,
        given,
        secrets: values,
        progress(progress) {
          live.progress = progress;
          live.changed = true;
        },
        usage(usage) {
          live.usage = usage;
          live.changed = true;
        },
      },
    };
    const result = await kind.run(context).catch((error: unknown) => {
      if (timeout?.aborted === true && !signal.aborted) throw new StepFailure(`The step ran for longer than its timeout of ${node.timeout}.`, "timeout");
      throw error;
    });
    if (signal.aborted) return undefined;
    facts = result.process ?? null;
    if (node.kind !== "read_model") {
      for (const { name, type } of node.outputs) {
        const output = result.outputs[name];
        if (result.refused !== undefined) continue;
        if (output === undefined) throw new Error(`The step gave no output "${name}".`);
        if (output.type !== type) throw new Error(`The step gave a ${output.type} as its output "${name}", which is to be a ${type}.`);
      }
    }
    if (result.refused !== undefined) say(result.refused);
    // The last lines are there before the step is over.
    await log.close();
    const refused = result.refused !== undefined;
    return {
      ...{ id: step.id, attempt: claimed.attempt, state: refused ? "refused" : "succeeded", outcome: refused ? "refused" : "succeeded" },
      ...{ outputs: result.outputs, error: result.refused === undefined ? null : shown(result.refused), metrics: result.metrics ?? {} },
      ...{ modelVersion: result.modelVersion ?? null, pauseMs: 0, process: facts },
    };
  } catch (error) {
    if (signal.aborted) return undefined;
    const message = shown(error instanceof Error ? error.message : String(error));
    const failure = error instanceof StepFailure ? error : undefined;
    // The lines that follow are in the log already, where a process said them.
    say(message.split("\n")[0] ?? "");
    const cause: FailureCause = failure?.failure ?? "error";
    const again = retries(node, claimed, cause);
    if (again > 0 && cause !== "lost") say(`It is tried again; ${again} ${again === 1 ? "attempt is" : "attempts are"} left.`);
    await log.close();
    return {
      ...{ id: step.id, attempt: claimed.attempt, state: again > 0 ? "ready" : "failed", outcome: cause, outputs: {}, error: message, metrics: {} },
      ...{ modelVersion: null, pauseMs: cause === "lost" ? 0 : pauseOf(node, claimed.failures), process: failure?.process ?? facts },
    };
  } finally {
    await log.close();
    if (!isProcess) await rm(workDir, { recursive: true, force: true }).catch(() => {});
  }
}

/** So often a step is begun again whose machine was lost under it. */
const mostAttempts = 100;
function retries(node: NodeSpec, claimed: Claimed, cause: FailureCause): number {
  if (cause === "lost") return claimed.attempt < mostAttempts ? 1 : 0;
  const { times, on } = node.retries ?? { times: 0 };
  if (on !== undefined && !on.some((one) => one === cause)) return 0;
  return Math.max(0, times - claimed.failures);
}

const longestMessage = 20_000;
/** PostgreSQL keeps no zero characters, and no halves of characters. */
const shown = (text: string): string =>
  text
    .replaceAll("\0", "")
    .slice(0, longestMessage)
    .replace(/\p{Surrogate}/gu, "\ufffd");
