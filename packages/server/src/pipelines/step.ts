import type { Artifact } from "@millrace/sdk/api";
import type { NodeKind, NodeSpec } from "@millrace/sdk/spec";

export type { Artifact } from "@millrace/sdk/api";

/** An indexed type, so that a step kind of one kind is a step kind. */
type Nodes = { [K in NodeKind]: Extract<NodeSpec, { kind: K }> };
type Node<K extends NodeKind> = Nodes[K];

/** What a step is given. */
export interface StepContext<K extends NodeKind> {
  runId: string;
  project: string;
  projectVersion: number;
  node: Node<K>;
  /** By input name: an artifact of an earlier step, or the value of a param or literal. */
  inputs: Record<string, Artifact | string | number | boolean | null>;
  params: Record<string, string | number | boolean>;
  /** The tracking run of the pipeline run. */
  trackingRunId: string | null;
  /** Empty, this attempt's own, removed afterwards. */
  workDir: string;
  /** Lines of the step's log. `stream` is `stdout` or `stderr` where a process of the step says it. */
  log(text: string, stream?: string): void;
  /** Aborted when the run is cancelled. */
  signal: AbortSignal;
}
export interface StepResult {
  outputs: Record<string, Artifact>;
  /** The step did its work and the answer is no; the run ends as `refused` with this reason. */
  refused?: string;
  /** Shown with the run. */
  metrics?: Record<string, number>;
  /** `name/version` */
  modelVersion?: string;
}
/** How one kind of node runs. Capabilities offer theirs, the composition hands them to the pipelines. */
export interface StepKind<K extends NodeKind = NodeKind> {
  kind: K;
  /** Part of every cache key: change it when the same inputs would give other outputs. */
  version: string;
  /** What else the outcome depends on, as the version of a dataset or of the champion: plain JSON, part of the cache key. */
  identity?(context: Pick<StepContext<K>, "node" | "inputs" | "params" | "project" | "projectVersion">): Promise<unknown>;
  run(context: StepContext<K>): Promise<StepResult>;
}
