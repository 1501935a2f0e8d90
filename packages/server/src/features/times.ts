import { invalid } from "../platform/index.js";

/** Moments are microseconds since 1970, as whole numbers: what DuckDB's timestamps hold, and exact in a JavaScript number until the year 2255. */
export type Micros = number;

export const microsOf = (date: Date): Micros => date.getTime() * 1_000;

const iso = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?(Z|[+-]\d\d(?::?\d\d)?)?$/;

/** Reads ISO 8601; a time without a zone is UTC. What is finer than a microsecond is cut off. */
export function parseTime(text: string): Micros {
  // The form that JSON of this platform has is read at once.
  if (text.length === 24 && text[23] === "Z") {
    const ms = Date.parse(text);
    if (!Number.isNaN(ms)) return ms * 1_000;
  }
  const match = iso.exec(text);
  const zone = match?.[4] ?? "Z";
  const ms = match === null ? Number.NaN : Date.parse(`${match[1]}T${match[2]}${zone.length === 3 ? `${zone}:00` : zone}`);
  if (match === null || Number.isNaN(ms)) throw invalid(`"${text.slice(0, 100)}" is no time: write it as 2013-03-01T12:00:00Z.`);
  return ms * 1_000 + Number((match[3] ?? "").padEnd(6, "0").slice(0, 6));
}

/** As `2013-03-01T12:00:00.000Z`, with six digits where microseconds matter. */
export function formatTime(micros: Micros): string {
  const ms = Math.floor(micros / 1_000);
  const rest = micros - ms * 1_000;
  const text = new Date(ms).toISOString();
  return rest === 0 ? text : `${text.slice(0, -1)}${String(rest).padStart(3, "0")}Z`;
}
