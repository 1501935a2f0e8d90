/** What pipelines offer to other capabilities. */
import type {
  Approval,
  Artifact,
  ArtifactRows,
  Explanation,
  LogPage,
  Pipeline,
  Run,
  RunDetail,
  RunningStep,
  RunState,
  RunTimeline,
  Step,
  StepAverage,
  StepDebug,
  StepDetail,
  StepState,
  Worker,
} from "@millrace/sdk/api";
import type { ParamValue } from "@millrace/sdk/spec";
import type { Asks } from "./rows.js";

/** What is run again, and from where. */
export interface RunBase {
  /** A run that failed or was cancelled, which this one goes on with. */
  resume?: string;
  /** It and what depends on it run again; what the others gave in the run `of` is taken over. */
  from?: string;
  of?: string;
  cache?: boolean;
}
export interface RunRequest extends RunBase {
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
  /** What a run would do now, step by step, and why. */
  explain(request: Omit<RunRequest, "cause" | "id">): Promise<Explanation>;
  /** Throws a 404 where there is none. */
  get(id: string): Promise<RunDetail>;
  /** In the order in which they became steps. */
  steps(run: string, query: { parent?: string; state?: StepState; after?: string; limit?: number }): Promise<{ items: Step[]; next?: string }>;
  step(run: string, step: string): Promise<StepDetail>;
  debug(run: string, step: string): Promise<StepDebug>;
  /** What of the project's files was not committed when the run was asked for. */
  diff(run: string): Promise<string>;
  /** Newest first. */
  list(query: { pipeline?: string; state?: RunState | "active"; after?: string; limit?: number }): Promise<{ items: Run[]; next?: string }>;
  /** The one that was asked for last, in whatever state it is. */
  lastRun(pipeline: string): Promise<RunDetail | undefined>;
  /** Ends its processes. Throws a 409 where the run is over. */
  cancel(id: string): Promise<Run>;
  /** What a step asks, and who may answer. Throws a 409 where it asks nothing. */
  asked(run: string, step: string): Promise<Extract<Asks, { kind: "approval" }>>;
  approve(run: string, step: string, approval: Approval, by: string): Promise<Step>;
  pipelines(): Promise<Pipeline[]>;
  pipeline(name: string): Promise<Pipeline>;
  log(runId: string, step: string, from: number): Promise<LogPage>;
  artifactFile(runId: string, step: string, output: string, file: string): Promise<Artifact["files"][number]>;
  /** The first rows of a Parquet file of an output. Throws a 400 where it is none. */
  rows(runId: string, step: string, output: string, file: string): Promise<ArtifactRows>;
  workers(): Promise<Worker[]>;
  /** What workers run now. */
  running(): Promise<RunningStep[]>;
  timeline(run: string): Promise<RunTimeline>;
  /** How long the pipeline's steps take. */
  averages(pipeline: string): Promise<StepAverage[]>;
  /** Begins to execute runs, first those that were interrupted. After all capabilities are there. */
  launch(): Promise<void>;
  /** Ends the processes of steps that run; another worker, or the next launch, does those steps again. Before the platform closes. */
  stop(): Promise<void>;
}
