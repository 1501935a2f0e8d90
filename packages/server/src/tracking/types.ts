import type { RunTracker } from "../pipelines/index.js";

export interface Metric {
  key: string;
  value: number;
  /** Milliseconds since 1970. */
  timestamp: number;
  step: number;
}
export interface KeyValue {
  key: string;
  value: string;
}
export interface Experiment {
  id: string;
  name: string;
  lifecycle_stage: string;
  artifact_location: string;
  creation_time: number;
  last_update_time: number;
  tags: Record<string, string>;
}
export interface TrackedRun {
  id: string;
  experiment_id: string;
  name: string;
  user_id: string;
  status: string;
  start_time: number;
  end_time: number | null;
  lifecycle_stage: string;
  metrics: Metric[];
  params: KeyValue[];
  tags: KeyValue[];
}
export type View = "ACTIVE_ONLY" | "DELETED_ONLY" | "ALL";
export interface Search {
  filter: string;
  orderBy: string[];
  view: View;
  limit: number;
  offset: number;
}

export interface Tracking {
  /** What pipelines log their runs with. */
  runTracker: RunTracker;
  createExperiment(name: string, options: { artifactLocation?: string | undefined; tags?: KeyValue[] }): Promise<string>;
  experiment(by: { id: string } | { name: string }): Promise<Experiment>;
  searchExperiments(search: Search): Promise<Experiment[]>;
  updateExperiment(id: string, change: { name?: string; stage?: "active" | "deleted"; tag?: KeyValue; removeTag?: string }): Promise<void>;
  createRun(run: {
    experimentId: string;
    name?: string | undefined;
    userId?: string | undefined;
    startTime?: number | undefined;
    tags: KeyValue[];
  }): Promise<TrackedRun>;
  run(id: string): Promise<TrackedRun>;
  searchRuns(experiments: string[], search: Search): Promise<TrackedRun[]>;
  updateRun(id: string, change: { status?: string; endTime?: number; name?: string; stage?: "active" | "deleted" }): Promise<TrackedRun>;
  /** All of it in one transaction. A param keeps its value for good: another one is refused. */
  log(runId: string, what: { metrics?: Metric[]; params?: KeyValue[]; tags?: KeyValue[] }): Promise<void>;
  deleteTag(runId: string, key: string): Promise<void>;
  history(runId: string, key: string, page: { limit: number; offset: number }): Promise<Metric[]>;
}
