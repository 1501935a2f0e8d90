/**
 * Local time in a zone without asking Intl for each value: an offset is looked up once for each quarter of an hour of a zone that is
 * asked for, the finest step at which zones have changed since local mean times were given up.
 */
const quarter = 900_000;
const mostKept = 200_000;

export type LocalTime = (ms: number) => Date;
const zones = new Map<string, LocalTime>();

/** A function that gives the local time at a moment, as a Date whose UTC parts are the local ones. Throws a RangeError for a zone that does not exist. */
export function localTime(zone: string): LocalTime {
  let known = zones.get(zone);
  if (known === undefined) {
    known = open(zone);
    zones.set(zone, known);
  }
  return known;
}

function open(zone: string): LocalTime {
  const format = new Intl.DateTimeFormat("en-US", {
    ...{ timeZone: zone, calendar: "gregory", numberingSystem: "latn", hourCycle: "h23", era: "short", year: "numeric" },
    ...{ month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" },
  });
  function offset(ms: number): number {
    const parts = new Map(format.formatToParts(ms).map((part) => [part.type, part.value]));
    const part = (type: Intl.DateTimeFormatPartTypes) => Number(parts.get(type));
    const year = parts.get("era") === "BC" ? 1 - part("year") : part("year");
    const local = new Date(0);
    local.setUTCFullYear(year, part("month") - 1, part("day"));
    local.setUTCHours(part("hour"), part("minute"), part("second"));
    return local.getTime() - Math.floor(ms / 1_000) * 1_000;
  }
  // NaN where the offset changes inside.
  const offsets = new Map<number, number>();
  return (ms) => {
    const bucket = Math.floor(ms / quarter);
    let found = offsets.get(bucket);
    if (found === undefined) {
      const first = offset(bucket * quarter);
      found = first === offset((bucket + 1) * quarter - 1) ? first : Number.NaN;
      if (offsets.size >= mostKept) offsets.clear();
      offsets.set(bucket, found);
    }
    return new Date(ms + (Number.isNaN(found) ? offset(ms) : found));
  };
}
