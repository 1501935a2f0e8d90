/** The values of trials by grid and by chance. Both depend on the seed and the trial's number alone, so that a sweep goes on after a crash as it would have. */
import { createHash } from "node:crypto";
import { gridSize, gridValues } from "@millrace/sdk";
import type { PlainValue, SearchRange } from "@millrace/sdk/spec";

export type Params = Record<string, PlainValue>;
type Over = Readonly<Record<string, SearchRange>>;

/** How many trials there are to be. */
export function trialCount(search: string, over: Over, wanted: number | undefined): number {
  return search === "grid" ? Math.min(gridSize(over), wanted ?? Number.POSITIVE_INFINITY) : (wanted ?? 20);
}

/** The nth point of the grid; the last param changes first. */
export function gridPoint(over: Over, n: number): Params {
  const point: Params = {};
  let rest = n;
  for (const [name, range] of Object.entries(over).reverse()) {
    const values = gridValues(range);
    const value = values[rest % values.length];
    rest = Math.floor(rest / values.length);
    if (value !== undefined) point[name] = value;
  }
  return Object.fromEntries(Object.keys(over).flatMap((name) => (point[name] === undefined ? [] : [[name, point[name]]])));
}

/** The nth point by chance. Points that are equal come where there are few values. */
export function randomPoint(over: Over, seed: number, n: number): Params {
  return Object.fromEntries(Object.entries(over).map(([name, range]) => [name, valueAt(range, chance(`${seed} ${n} ${name}`))]));
}

/** From 0 up to 1, evenly. */
function chance(of: string): number {
  const bytes = createHash("sha256").update(`sweep ${of}`).digest();
  return (bytes.readUInt32BE(0) * 2 ** 21 + (bytes.readUInt32BE(4) >>> 11)) / 2 ** 53;
}

function valueAt(range: SearchRange, u: number): PlainValue {
  if (range.kind === "choice") return range.values[Math.floor(u * range.values.length)] ?? "";
  const { from, to, step, log } = range;
  if (range.kind === "int") {
    // By order of magnitude, the bounds reach half a number further, so that both ends come as often as their share is.
    if (log === true)
      return Math.min(to, Math.max(from, Math.round(Math.exp(Math.log(from - 0.5 || 0.5) + u * (Math.log(to + 0.5) - Math.log(from - 0.5 || 0.5))))));
    return from + Math.floor(u * (Math.floor((to - from) / (step ?? 1)) + 1)) * (step ?? 1);
  }
  if (log === true) return from * (to / from) ** u;
  if (step === undefined) return from + u * (to - from);
  return Number((from + Math.floor(u * (Math.floor((to - from) / step + 1e-9) + 1)) * step).toPrecision(12));
}
