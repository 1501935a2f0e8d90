import type { ArtifactRows } from "@millrace/sdk/api";
import type { KeyValue, Page, View } from "../mlflow/index.js";
import type { RunTracker } from "../pipelines/index.js";
import type { Artifacts } from "./artifacts.js";
import type { Series } from "./series.js";
import type { Overview, RunKeys, RunTable } from "./table-types.js";

export interface Metric {
  key: string;
  value: number;
  /** Milliseconds since 1970. */
  timestamp: number;
  step: number;
  /** The logged model and the dataset that it tells of. */
  modelId?: string;
  dataset?: { name: string; digest: string };
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
/** As MLflow's protocol has it. */
export interface RunInfo {
  run_id: string;
  run_uuid: string;
  run_name: string;
  experiment_id: string;
  user_id: string;
  status: string;
  start_time: number;
  end_time?: number;
  artifact_uri: string;
  lifecycle_stage: string;
}
export interface Search {
  filter: string;
  orderBy: string[];
  view: View;
  limit: number;
  /** Of the page before. */
  token: string | undefined;
}

export interface DatasetInput {
  dataset: { name: string; digest: string; source_type: string; source: string; schema?: string; profile?: string };
  tags: KeyValue[];
}

export interface LoggedModel {
  id: string;
  experiment_id: string;
  name: string;
  artifact_location: string;
  status: string;
  model_type: string | null;
  source_run_id: string | null;
  lifecycle_stage: string;
  creation_time: number;
  last_update_time: number;
  params: Record<string, string>;
  tags: Record<string, string>;
  metrics: { key: string; value: number | string; timestamp: number; step: number; run_id: string; dataset_name?: string; dataset_digest?: string }[];
}
export interface LoggedModelSearch {
  experiments: string[];
  filter: string;
  datasets: { name: string; digest?: string }[];
  orderBy: { field: string; ascending: boolean; dataset?: { name: string; digest?: string } }[];
  limit: number;
  token: string | undefined;
}

export interface Tracking {
  /** What pipelines log their runs with. */
  runTracker: RunTracker;
  stop(): Promise<void>;
  artifacts: Artifacts;
  /** The first rows of a Parquet file among the artifacts. */
  preview(path: string): Promise<ArtifactRows>;
  table: RunTable;
  keys: RunKeys;
  overview: Overview;
  charts: Series;

  createExperiment(name: string, options: { artifactLocation?: string | undefined; tags?: KeyValue[] }): Promise<string>;
  experiment(by: { id: string } | { name: string }): Promise<Experiment>;
  searchExperiments(search: Search): Promise<Page<Experiment>>;
  updateExperiment(id: string, change: { name: string } | { stage: "active" | "deleted" } | { tag: KeyValue } | { removeTag: string }): Promise<void>;

  createRun(run: {
    /** Chosen by who may ask again: the second time nothing is made. */
    id?: string | undefined;
    experimentId: string;
    name?: string | undefined;
    userId?: string | undefined;
    startTime?: number | undefined;
    tags: KeyValue[];
  }): Promise<{ info: RunInfo; tags: KeyValue[] }>;
  runInfo(id: string): Promise<RunInfo>;
  /** The run with what it holds, as the JSON of MLflow's protocol. */
  runJson(id: string): Promise<string>;
  searchRuns(experiments: string[], search: Search): Promise<Page<{ run: string }>>;
  updateRun(id: string, change: { status?: string; endTime?: number; name?: string; stage?: "active" | "deleted" }): Promise<RunInfo>;

  /** All of it or nothing. A param keeps its value for good: another one is refused. */
  log(runId: string, what: { metrics?: Metric[]; params?: KeyValue[]; tags?: KeyValue[] }): Promise<void>;
  deleteTag(runId: string, key: string): Promise<void>;
  logInputs(runId: string, inputs: { datasets: DatasetInput[]; models: string[] }): Promise<void>;
  logOutputs(runId: string, models: { id: string; step: number }[]): Promise<void>;
  /** In the order of time, step and value. */
  /** In order of time; `points` is JSON: the points with commas between them. */
  history(runId: string, key: string, page: { limit: number; token: string | undefined }): Promise<{ points: string; next?: string }>;
  /** Of several runs, whole. */
  histories(runIds: string[], key: string, limit: number): Promise<(Metric & { run_id: string })[]>;
  /** Of several runs at most so many points each: of every stretch the smallest and the largest, so that no spike is lost. */
  sampledHistories(runIds: string[], key: string, options: { points: number; from?: number; to?: number }): Promise<(Metric & { run_id: string })[]>;
  datasets(experiments: string[]): Promise<{ experiment_id: string; name: string; digest: string; context: string | null }[]>;

  createModel(model: {
    experimentId: string;
    name?: string | undefined;
    modelType?: string | undefined;
    sourceRunId?: string | undefined;
    params: KeyValue[];
    tags: KeyValue[];
  }): Promise<LoggedModel>;
  model(id: string, options?: { deletedToo: boolean }): Promise<LoggedModel>;
  searchModels(search: LoggedModelSearch): Promise<Page<LoggedModel>>;
  updateModel(
    id: string,
    change: { status: string } | { stage: "deleted" } | { params: KeyValue[] } | { tags: KeyValue[] } | { removeTag: string },
  ): Promise<LoggedModel>;
}
