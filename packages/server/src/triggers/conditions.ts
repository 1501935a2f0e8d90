/** Whether what a trigger waits for is the case. */
import type { DatasetVersionDetail, MonitorCheck, RunDetail } from "@millrace/sdk/api";
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

/** null where none comes: also where a document that the SDK did not write brings what is no schedule, so that the trigger's other conditions still count. */
export function nextMoment({ expression, zone }: Extract<ConditionSpec, { kind: "cron" }>, after: Date): Date | null {
  try {
    return new Cron(expression, { timezone: zone, paused: true }).nextRun(after);
  } catch {
    return null;
  }
}

export interface Seen {
  now: Date;
  /** When this was asked last: cron moments since then count. */
  lookedAt: Date | null;
  /** The newest firing that was to start a run: `started`, or `skipped` where that was impossible. */
  attempt: { at: Date; outcome: string } | undefined;
  /** The newest run of the pipeline, whoever started it. */
  lastRun: RunDetail | undefined;
}
interface On {
  datasets: Pick<Datasets, "latest">;
  monitoring: Pick<Monitoring, "latest">;
}

/** What holds at `now`. */
export async function look(condition: ConditionSpec, seen: Seen, on: On): Promise<Found | undefined> {
  const text = describe(condition);
  switch (condition.kind) {
    case "cron": {
      if (seen.lookedAt === null) return undefined;
      const moment = nextMoment(condition, seen.lookedAt);
      return moment !== null && moment <= seen.now ? { kind: "edge", condition: text, reason: `${moment.toISOString()} has come` } : undefined;
    }
    case "new_data": {
      const latest = await on.datasets.latest(condition.dataset);
      if (latest === undefined || !isNew(latest, seen)) return undefined;
      return { kind: "level", condition: text, reason: `${condition.dataset} is at version ${latest.version} (${latest.added.file})` };
    }
    case "below": {
      const check = await on.monitoring.latest(condition.monitor, condition.metric);
      const value = check?.metrics[condition.metric] ?? null;
      if (check === undefined || value === null || value >= condition.bound || isOld(check, seen)) return undefined;
      return {
        kind: "level",
        condition: text,
        reason: `${condition.metric} is ${value.toFixed(4)} on ${check.labelled} labelled predictions, below ${condition.bound}`,
      };
    }
    case "drift": {
      const check = await on.monitoring.latest(condition.monitor);
      if (check === undefined || !check.drifted || isOld(check, seen)) return undefined;
      return { kind: "level", condition: text, reason: check.alert ?? "the inputs drifted" };
    }
  }
}

/** A check counts when its whole window lies after the last attempt, so that what led to one run does not lead to another. */
const isOld = (check: MonitorCheck, { attempt }: Seen): boolean => attempt !== undefined && new Date(check.from) < attempt.at;

/**
 * Whether the newest run has not read this version. A run under way that has read none yet is going to read it; one that ended without
 * reading had its chance at what was there when it was asked for, so that a run that can't read is not asked for at every tick.
 */
function isNew({ dataset, version, createdAt }: DatasetVersionDetail, { attempt, lastRun }: Seen): boolean {
  if (attempt?.outcome === "skipped" && new Date(createdAt) <= attempt.at) return false;
  if (lastRun === undefined) return true;
  const read = versionRead(lastRun, dataset);
  if (read !== undefined) return version > read;
  return isActive(lastRun) ? false : new Date(createdAt) > new Date(lastRun.createdAt);
}
export const isActive = ({ state }: Pick<RunDetail, "state">): boolean => state === "queued" || state === "running";

/** The version of a dataset that a run trained on; where it has no step that reads the dataset, the one that its features came from. */
function versionRead({ spec, steps }: RunDetail, dataset: string): number | undefined {
  const reads = spec.nodes.some((node) => node.kind === "read_dataset" && node.config.dataset === dataset);
  const read = steps.flatMap((step) => {
    const metas = Object.values(step.outputs).map(({ meta }) => meta);
    if (reads) return step.kind === "read_dataset" ? metas : [];
    return step.kind === "historical_features" ? metas.flatMap(({ datasets }): unknown[] => (Array.isArray(datasets) ? datasets : [])) : [];
  });
  const versions = read.flatMap((one) => (isVersion(one) && one.dataset === dataset ? [one.version] : []));
  return versions.length === 0 ? undefined : Math.max(...versions);
}
function isVersion(value: unknown): value is { dataset: string; version: number } {
  return typeof value === "object" && value !== null && "dataset" in value && "version" in value && typeof value.version === "number";
}
