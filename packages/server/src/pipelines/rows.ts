/** Rows of runs and steps, and what the API shows of them. */
import type { Artifact, Run, RunCause, RunState, Step, StepAttempt, StepProgress, StepState } from "@millrace/sdk/api";
import type { ParamValue, PipelineSpec } from "@millrace/sdk/spec";
import type { Json } from "./json.js";
import type { KeyParts } from "./key.js";

/** What a map runs its body for. */
export type Item = { value: Json } | { artifact: Artifact };
/** What was asked for beside params. */
export interface RunOptions {
  /** The run whose outputs are taken over. */
  base?: string;
  /** The step from which on all runs again. */
  from?: string;
  cache?: boolean;
}
export interface RunRow {
  id: string;
  n: string;
  pipeline: string;
  project: string;
  project_version: number;
  commit: string | null;
  spec: PipelineSpec;
  params: Record<string, ParamValue>;
  options: RunOptions;
  cause: RunCause;
  state: RunState;
  message: string | null;
  tracking_run_id: string | null;
  metrics: Record<string, number>;
  model_version: string | null;
  version: string;
  created_at: Date;
  started_at: Date | null;
  finished_at: Date | null;
  real_started_at: Date | null;
  real_finished_at: Date | null;
}
export interface StepRow {
  run: string;
  id: string;
  n: string;
  node: string;
  parent: string | null;
  item_index: number | null;
  item: Item | null;
  kind: string;
  state: StepState;
  attempt: number;
  failures: number;
  worker: string | null;
  backend: string | null;
  host: string | null;
  started_at: Date | null;
  finished_at: Date | null;
  real_started_at: Date | null;
  real_finished_at: Date | null;
  cache_key: string | null;
  key_parts: KeyParts | null;
  cached_from: string | null;
  reason: string | null;
  error: string | null;
  inputs: Record<string, Json> | null;
  outputs: Record<string, Artifact>;
  progress: StepProgress | null;
  usage: { memoryBytes: number | null; cpuSeconds: number | null } | null;
  /** Of a map; read only where it is asked for. */
  items?: Item[] | null;
  items_total: number | null;
  items_begun: number | null;
  items_done: number | null;
  asks: Asks | null;
  asks_until: Date | null;
  metrics: Record<string, number> | null;
  model_version: string | null;
}
/** What a step waits to be told. */
export type Asks = { kind: "approval"; question: string; role: "editor" | "admin" } | { kind: "event"; type: string; subject?: string; after: string };
export interface CacheRow {
  key: string;
  run: string;
  step: string;
  outputs: Record<string, Artifact>;
  metrics: Record<string, number>;
  model_version: string | null;
  created_at: Date;
}
/** How a step was made last. */
export interface MadeRow {
  step: string;
  run: string;
  project: string;
  project_version: number;
  parts: KeyParts;
}
export interface AttemptRow {
  attempt: number;
  worker: string;
  host: string;
  backend: string | null;
  started_at: Date;
  finished_at: Date | null;
  real_started_at: Date;
  real_finished_at: Date | null;
  outcome: string | null;
  exit_code: number | null;
  signal: string | null;
  message: string | null;
  peak_memory: number | null;
  cpu_seconds: number | null;
}

const time = (date: Date | null): string | null => date?.toISOString() ?? null;
const between = (from: Date | null, to: Date | null): number | null => (from === null || to === null ? null : Math.max(0, to.getTime() - from.getTime()));

export function toRun(row: RunRow): Run {
  return {
    id: row.id,
    pipeline: row.pipeline,
    project: row.project,
    projectVersion: row.project_version,
    commit: row.commit,
    state: row.state,
    params: row.params,
    cause: row.cause,
    message: row.message,
    trackingRunId: row.tracking_run_id,
    createdAt: row.created_at.toISOString(),
    startedAt: time(row.started_at),
    finishedAt: time(row.finished_at),
    durationMs: between(row.real_started_at, row.real_finished_at),
    metrics: row.metrics,
    modelVersion: row.model_version,
  };
}

export function toStep(row: StepRow): Step {
  return {
    id: row.id,
    node: row.node,
    parent: row.parent,
    item: row.item === null ? null : "artifact" in row.item ? row.item.artifact : row.item.value,
    kind: row.kind,
    state: row.state,
    attempt: row.attempt,
    startedAt: time(row.started_at),
    finishedAt: time(row.finished_at),
    durationMs: between(row.real_started_at, row.real_finished_at),
    cacheKey: row.cache_key,
    cachedFrom: row.cached_from,
    reason: row.reason,
    error: row.error,
    backend: row.backend,
    host: row.host,
    progress: row.progress,
    usage: row.usage,
    items: row.items_total === null ? null : { total: row.items_total, done: row.items_done ?? 0 },
    outputs: row.outputs,
  };
}

export function toAttempt(row: AttemptRow): StepAttempt {
  return {
    attempt: row.attempt,
    worker: row.worker,
    host: row.host,
    backend: row.backend,
    startedAt: row.started_at.toISOString(),
    finishedAt: time(row.finished_at),
    durationMs: between(row.real_started_at, row.real_finished_at),
    outcome: row.outcome,
    exitCode: row.exit_code,
    signal: row.signal,
    message: row.message,
    peakMemoryBytes: row.peak_memory,
    cpuSeconds: row.cpu_seconds,
  };
}
