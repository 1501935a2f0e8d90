/** Whether what a trigger waits for is the case. */
import type { RunDetail } from "@millrace/sdk/api";
import type { ConditionSpec } from "@millrace/sdk/spec";
import { Cron } from "croner";
import type { Datasets } from "../datasets/index.js";
import type { Monitoring } from "../monitoring/index.js";

export interface Found {
  /** An edge is a moment that passes; a level holds until something changes it. */
  kind: "edge" | "level";
  condition: string;
  reason: string;
}

export function describe(condition: ConditionSpec): string {
  switch (condition.kind) {
    case "new_data":
      return `new data of ${condition.dataset}`;
    case "cron":
      return `cron ${condition.expression} (${condition.zone})`;
    case "below":
      return `${condition.metric} of ${condition.monitor} below ${condition.bound}`;
    case "drift":
      return `drift of ${condition.monitor}`;
  }
}

export function nextMoment({ expression, zone }: Extract<ConditionSpec, { kind: "cron" }>, after: Date): Date | null {
  return new Cron(expression, { timezone: zone, paused: true }).nextRun(after);
}

/**
 * What holds at `now`. `lookedAt` is when this was asked last: cron moments since then count. `lastStart` is when the trigger last started a
 * run: a monitor's check counts when its whole window lies after that, so that what led to the last run does not lead to another one.
 */
export async function look(
  condition: ConditionSpec,
  at: { now: Date; lookedAt: Date | null; lastStart: Date | undefined; lastRun: RunDetail | undefined },
  on: { datasets: Pick<Datasets, "latest">; monitoring: Pick<Monitoring, "latest"> },
): Promise<Found | undefined> {
  const text = describe(condition);
  switch (condition.kind) {
    case "cron": {
      if (at.lookedAt === null) return undefined;
      const moment = nextMoment(condition, at.lookedAt);
      return moment !== null && moment <= at.now ? { kind: "edge", condition: text, reason: `${moment.toISOString()} has come` } : undefined;
    }
    case "new_data": {
      const latest = await on.datasets.latest(condition.dataset);
      if (latest === undefined) return undefined;
      const read = at.lastRun === undefined ? 0 : versionRead(at.lastRun, condition.dataset);
      if (latest.version <= read) return undefined;
      return { kind: "level", condition: text, reason: `${condition.dataset} is at version ${latest.version} (${latest.added.file})` };
    }
    case "below": {
      const check = await on.monitoring.latest(condition.monitor);
      const value = check?.metrics[condition.metric] ?? null;
      if (check === undefined || value === null || value >= condition.bound || (at.lastStart !== undefined && new Date(check.from) < at.lastStart))
        return undefined;
      return {
        kind: "level",
        condition: text,
        reason: `${condition.metric} is ${value.toFixed(4)} on ${check.labelled} labelled predictions, below ${condition.bound}`,
      };
    }
    case "drift": {
      const check = await on.monitoring.latest(condition.monitor);
      if (check === undefined || !check.drifted || (at.lastStart !== undefined && new Date(check.from) < at.lastStart)) return undefined;
      return { kind: "level", condition: text, reason: check.alert ?? "the inputs drifted" };
    }
  }
}

/** The version of a dataset that a run read; 0 where it read none. */
function versionRead({ steps }: RunDetail, dataset: string): number {
  const versions = steps.flatMap((step) =>
    Object.values(step.outputs).flatMap(({ meta }) => (step.kind === "read_dataset" && meta.dataset === dataset ? [Number(meta.version)] : [])),
  );
  return Math.max(0, ...versions);
}
