/** What pipelines offer to other capabilities. */
import type { Artifact, LogPage, Pipeline, Run, RunDetail, RunState } from "@millrace/sdk/api";
import type { ParamValue } from "./params.js";

export interface RunRequest {
  pipeline: string;
  /** As given by whoever asks; checked against the pipeline's params, a 400 says what is wrong with them. */
  params?: Record<string, ParamValue>;
  cause: Run["cause"];
  /** Who may ask twice chooses the id: the second time nothing is started. */
  id?: string;
}

export interface Pipelines {
  /** Answers the run, which is durable then. */
  start(request: RunRequest): Promise<Run>;
  /** Throws a 404 where there is none. */
  get(id: string): Promise<RunDetail>;
  /** Newest first. */
  list(query: { pipeline?: string; state?: RunState | "active"; after?: string; limit?: number }): Promise<{ items: Run[]; next?: string }>;
  /** The one that was asked for last, in whatever state it is. */
  lastRun(pipeline: string): Promise<RunDetail | undefined>;
  /** Ends its processes. Throws a 409 where the run is over. */
  cancel(id: string): Promise<Run>;
  pipelines(): Promise<Pipeline[]>;
  pipeline(name: string): Promise<Pipeline>;
  log(runId: string, step: string, from: number): Promise<LogPage>;
  artifactFile(runId: string, step: string, output: string, file: string): Promise<Artifact["files"][number]>;
  /** Begins to execute runs, first those that were interrupted. After all capabilities are there. */
  launch(): Promise<void>;
  /** Ends the processes of steps that run; the next launch does those steps again. Before the platform closes. */
  stop(): Promise<void>;
}
