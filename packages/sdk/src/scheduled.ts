/** The scheduled moment in params: `{scheduled:month}`, `{scheduled:date-1}`. */

export const scheduledUnits = ["year", "month", "week", "date", "hour", "time"] as const;
export type ScheduledUnit = (typeof scheduledUnits)[number];
const token = /\{scheduled:([a-z]+)(?:([+-])([0-9]{1,4}))?\}/g;

/** Names of units in a text that are none. */
export function wrongUnits(text: string): string[] {
  return [...text.matchAll(token)].flatMap(([, unit = ""]) => (isUnit(unit) ? [] : [unit]));
}
/** The unit of a text that is one token and nothing else. */
export function unitOf(text: string): ScheduledUnit | undefined {
  const [found] = text.matchAll(token);
  return found?.[0] === text && found[1] !== undefined && isUnit(found[1]) ? found[1] : undefined;
}
export const hasToken = (text: string): boolean => text.search(token) >= 0;

/** The text with each token as the moment has it in the zone. `week` is of ISO 8601, as `2024-W05`; `time` is in UTC. */
export function expandScheduled(text: string, moment: Date, zone: string): string {
  return text.replaceAll(token, (whole, unit: string, sign: string | undefined, count: string | undefined) =>
    isUnit(unit) ? written(unit, Number(count ?? 0) * (sign === "-" ? -1 : 1), moment, zone) : whole,
  );
}

const isUnit = (unit: string): unit is ScheduledUnit => scheduledUnits.some((one) => one === unit);

function written(unit: ScheduledUnit, by: number, moment: Date, zone: string): string {
  const second = 1_000;
  const day = 86_400 * second;
  if (unit === "time") return new Date(moment.getTime() + by * second).toISOString();
  // The zone's wall clock, kept as if it were UTC: months and days are counted on it, whatever its hours do.
  const wall = wallClock(unit === "hour" ? new Date(moment.getTime() + by * 3_600 * second) : moment, zone);
  const [year, month] = [wall.getUTCFullYear(), wall.getUTCMonth()];
  switch (unit) {
    case "year":
      return String(year + by).padStart(4, "0");
    case "month":
      return new Date(Date.UTC(year, month + by, 1)).toISOString().slice(0, 7);
    case "date":
      return new Date(wall.getTime() + by * day).toISOString().slice(0, 10);
    case "hour":
      return wall.toISOString().slice(0, 13);
    case "week": {
      // The week's year is that of its Thursday.
      const at = new Date(wall.getTime() + by * 7 * day);
      const thursday = new Date(at.getTime() + (4 - (at.getUTCDay() || 7)) * day);
      const first = Date.UTC(thursday.getUTCFullYear(), 0, 1);
      return `${thursday.getUTCFullYear()}-W${String(Math.floor((thursday.getTime() - first) / (7 * day)) + 1).padStart(2, "0")}`;
    }
  }
}

function wallClock(moment: Date, zone: string): Date {
  const parts = new Intl.DateTimeFormat("en-US", {
    timeZone: zone,
    hourCycle: "h23",
    ...{ year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" },
  }).formatToParts(moment);
  const of = (type: string) => Number(parts.find((part) => part.type === type)?.value);
  return new Date(Date.UTC(of("year"), of("month") - 1, of("day"), of("hour"), of("minute"), of("second")));
}
