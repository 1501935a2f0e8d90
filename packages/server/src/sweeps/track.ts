/** A sweep in tracking: a run of its own, under which its trials' runs lie as MLflow's clients show them. */
import type { Tracking } from "../tracking/index.js";
import type { SweepRow, Told } from "./store.js";

const rootTag = "millrace.sweep";
/** Points of a trial's metric that are looked at. */
const curvePoints = 200;
export type Point = readonly [step: number, value: number];
export type SweepTracking = Pick<Tracking, "runTracker" | "runInfo" | "log" | "sampledHistories">;

/** The sweep's tracked run; made once, also where a crash came right after. */
export async function openRoot(tracking: SweepTracking, { id, pipeline, definition, spec }: SweepRow): Promise<{ runId: string; experimentId: string }> {
  const tags = { [rootTag]: id, "millrace.pipeline": pipeline, "millrace.sweep.goal": `${spec.goal.direction} ${spec.goal.metric}` };
  const { runId } = await tracking.runTracker.begin({ of: `sweep/${id}`, experiment: pipeline, runName: `${definition ?? "sweep"}-${id.slice(-8)}`, tags });
  return { runId, experimentId: (await tracking.runInfo(runId)).experiment_id };
}

export async function linkTrial(tracking: SweepTracking, root: string, trackingRunId: string, n: number): Promise<void> {
  const tags = { "mlflow.parentRunId": root, "millrace.sweep.trial": String(n), "mlflow.runName": `trial ${n}` };
  await tracking.log(trackingRunId, { tags: Object.entries(tags).map(([key, value]) => ({ key, value })) });
}

/** What a trial has said by step, thinned. */
export async function curveOf(tracking: SweepTracking, trackingRunId: string, metric: string): Promise<Point[]> {
  const points = await tracking.sampledHistories([trackingRunId], metric, { points: curvePoints });
  return points.map(({ step, value }) => [step, value] as const);
}

/** Bears repetition. */
export async function closeRoot(tracking: SweepTracking, { tracking_run_id: root, state, spec, best }: Told): Promise<void> {
  if (root === null) return;
  if (best !== null && best.value !== null) {
    await tracking.runTracker.logMetrics(root, { [spec.goal.metric]: best.value });
    const tags = { "millrace.sweep.best_trial": String(best.n), "millrace.sweep.best_run": best.tracking_run_id ?? best.run_id };
    await tracking.log(root, { tags: Object.entries(tags).map(([key, value]) => ({ key, value })) });
    await tracking.runTracker.logParams(root, Object.fromEntries(Object.entries(best.params).map(([name, value]) => [`best_${name}`, String(value)])));
  }
  await tracking.runTracker.end(root, state === "succeeded" ? "FINISHED" : state === "failed" ? "FAILED" : "KILLED");
}
