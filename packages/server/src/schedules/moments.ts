/** The moments of a cron expression, and what is said about them. */
import { createHash } from "node:crypto";
import { durationMs } from "@millrace/sdk";
import { Cron } from "croner";

interface Times {
  cron: string;
  zone: string;
}

/**
 * The next moments after one, at most so many. Of an hour that summer time leaves out, the end counts; one that it repeats counts once, except where
 * the hours are `*`. Empty also where a document that the SDK did not check brings what is no schedule.
 */
export function momentsAfter({ cron, zone }: Times, after: Date, count: number): Date[] {
  try {
    return new Cron(cron, { timezone: zone, paused: true, mode: "5-part" }).nextRuns(count, after);
  } catch {
    return [];
  }
}

/** The last moments in (after, until], at most so many, the oldest first. */
export function momentsWithin({ cron, zone }: Times, after: Date, until: Date, count: number): Date[] {
  try {
    const times = new Cron(cron, { timezone: zone, paused: true, mode: "5-part" });
    // Usually there is none: that is one look ahead.
    const first = times.nextRun(after);
    if (first === null || first > until) return [];
    // From the second after, as moments are whole seconds and `until` itself counts.
    const last = times.previousRuns(count, new Date(until.getTime() + 1_000));
    const found = last.filter((moment) => moment > after && moment <= until).sort((a, b) => a.getTime() - b.getTime());
    return found.length === 0 ? [first] : found;
  } catch {
    return [];
  }
}

/** With the same schedule and moment always the same, so that all servers wait equally long. */
export function dueAt(schedule: string, moment: Date, jitter: string | undefined): Date {
  if (jitter === undefined) return moment;
  const part = createHash("sha256").update(`jitter ${schedule} ${moment.toISOString()}`).digest().readUInt32BE() / 2 ** 32;
  return new Date(moment.getTime() + Math.floor(part * durationMs(jitter)));
}

/** 32 hexadecimal digits. */
export const firingId = (schedule: string, moment: Date): string =>
  createHash("sha256").update(`schedule ${schedule} ${moment.toISOString()}`).digest("hex").slice(0, 32);

/** As the zone's clocks show it, with their distance from UTC. */
export function localTime(moment: Date, zone: string): string {
  const parts = new Intl.DateTimeFormat("en-US", {
    timeZone: zone,
    hourCycle: "h23",
    timeZoneName: "longOffset",
    ...{ year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" },
  }).formatToParts(moment);
  const of = (type: string) => parts.find((part) => part.type === type)?.value ?? "";
  return `${of("year")}-${of("month")}-${of("day")}T${of("hour")}:${of("minute")}:${of("second")}${of("timeZoneName").slice(3) || "+00:00"}`;
}
