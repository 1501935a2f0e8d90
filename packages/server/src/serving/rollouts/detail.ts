import { durationMs } from "@millrace/sdk";
import type { RolloutDetail } from "@millrace/sdk/api";
import type { Database } from "../../platform/index.js";
import { neededUnits } from "./experiments.js";
import { quantile } from "./sketch.js";
import { findRollout, stepsOf, tallies, toRollout } from "./store.js";

/** A rollout with its plan, and what is known of each of its versions by now. */
export async function rolloutDetail(db: Database, endpoint: string, id: string): Promise<RolloutDetail | undefined> {
  const row = await findRollout(db, endpoint, id);
  if (row === undefined) return undefined;
  const { plan } = row;
  const planSteps = stepsOf(plan);
  const step = row.state === "running" ? planSteps[row.step] : undefined;
  const counted = [...(await tallies(db, id))].sort(([a], [b]) => a - b);
  return {
    ...toRollout(row),
    ...{ plan, planSteps },
    dueAt: step === undefined ? null : new Date(row.step_started_at.getTime() + durationMs(step.each)).toISOString(),
    needed: plan.kind === "experiment" ? neededUnits(plan, new Set(row.slots.map((slot) => slot.version)).size) : null,
    versions: counted.map(([version, { requests, errors, rows, latency, compared, agreed, difference, dropped }]) => ({
      ...{ version, requests, errors, rows, p50Ms: quantile(latency, 0.5), p99Ms: quantile(latency, 0.99) },
      ...{ compared, agreed, meanDifference: compared === 0 ? null : difference / compared, dropped },
    })),
  };
}
