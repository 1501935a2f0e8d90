/** What pipelines need of the tracking: each run of a pipeline is a tracked run, which its Python steps log to. */
export interface RunTracker {
  /** `of` names what is tracked, as `run/…`: it has one tracked run, also where it is begun again after a crash. */
  begin(run: { of: string; experiment: string; runName: string; tags: Record<string, string> }): Promise<{ runId: string }>;
  /** Bears repetition, as the rest does: what follows a crash is done again. */
  end(runId: string, status: "FINISHED" | "FAILED" | "KILLED"): Promise<void>;
  logParams(runId: string, params: Record<string, string>): Promise<void>;
  logMetrics(runId: string, metrics: Record<string, number>): Promise<void>;
  /** Environment variables by which a Python step logs to the run: MLFLOW_TRACKING_URI, MLFLOW_RUN_ID and what else the client reads. */
  environment(runId: string): Record<string, string>;
}
