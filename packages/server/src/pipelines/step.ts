import type { Artifact, StepProgress } from "@millrace/sdk/api";
import type { NodeKind, NodeSpec, ParamValue } from "@millrace/sdk/spec";
import type { Json } from "./json.js";

export type { Artifact } from "@millrace/sdk/api";

/** What an input is given: one artifact, those of a map in the order of its items, or a value. */
export type Given = { kind: "artifact"; artifact: Artifact } | { kind: "list"; items: Artifact[] } | { kind: "value"; value: Json };

/** An indexed type, so that a step kind of one kind is a step kind. */
type Nodes = { [K in NodeKind]: Extract<NodeSpec, { kind: K }> };
type Node<K extends NodeKind> = Nodes[K];

/** What a step is given. */
export interface StepContext<K extends NodeKind> {
  runId: string;
  project: string;
  projectVersion: number;
  node: Node<K>;
  /** By input name: an artifact of an earlier step, or the value of a param or literal. Lists, and values that are none of these, are in `given` alone. */
  inputs: Record<string, Artifact | string | number | boolean | null>;
  params: Record<string, ParamValue>;
  /** The tracking run of the pipeline run. */
  trackingRunId: string | null;
  /** Empty, this attempt's own, removed afterwards. */
  workDir: string;
  /** Lines of the step's log. `stream` is `stdout` or `stderr` where a process of the step says it. */
  log(text: string, stream?: string): void;
  /** Aborted when the run is cancelled. */
  signal: AbortSignal;
  /** Of steps that are processes. */
  process?: ProcessContext;
}
/** What a step that is a process is given beside. */
export interface ProcessContext {
  /** `fit[3].train` */
  stepId: string;
  attempt: number;
  given: Record<string, Given>;
  /** The values of the secrets that it names. */
  secrets: Record<string, string>;
  progress(progress: StepProgress): void;
  usage(usage: { memoryBytes: number; cpuSeconds: number }): void;
}
export interface StepResult {
  outputs: Record<string, Artifact>;
  /** The step did its work and the answer is no; the run ends as `refused` with this reason. */
  refused?: string;
  /** Shown with the run. */
  metrics?: Record<string, number>;
  /** `name/version` */
  modelVersion?: string;
  process?: ProcessFacts;
}
/** How a process ended, and what it used. */
export interface ProcessFacts {
  host: string;
  exitCode: number | null;
  signal: string | null;
  peakMemoryBytes: number | null;
  cpuSeconds: number | null;
}
/** Why an attempt failed: what retries can be told to heed. `lost` is nobody's fault and is done again. */
export type FailureCause = "error" | "timeout" | "out_of_memory" | "lost";
export class StepFailure extends Error {
  override readonly name = "StepFailure";
  constructor(
    message: string,
    readonly failure: FailureCause,
    readonly process?: ProcessFacts,
  ) {
    super(message);
  }
}

/** What a step's outcome depends on beside its inputs, so that it can be said what changed. */
export interface StepCode {
  files: { path: string; digest: string }[];
  /** Requirements, Python's version: plain JSON. */
  environment: { [key: string]: Json };
}
type Identified<K extends NodeKind> = Pick<StepContext<K>, "node" | "inputs" | "params" | "project" | "projectVersion">;

/** How one kind of node runs. Capabilities offer theirs, the composition hands them to the pipelines. */
export interface StepKind<K extends NodeKind = NodeKind> {
  kind: K;
  /** Part of every cache key: change it when the same inputs would give other outputs. */
  version: string;
  /**
   * What else the outcome depends on, as the version of a dataset or of the champion: plain JSON, part of the cache key. `{once: …}` is an act that is
   * done each time, for the `reason` beside it.
   */
  identity?(context: Identified<K>): Promise<unknown>;
  /** Of users' code: its files and its environment, part of the cache key. */
  code?(context: Identified<K>): Promise<StepCode>;
  run(context: StepContext<K>): Promise<StepResult>;
}
