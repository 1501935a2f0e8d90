/** Numbers and times as people read them, with their units. */
const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (value: number | null | undefined): string => (value == null ? "–" : grouped.format(value));
export const share = (value: number | null | undefined, digits = 1): string => (value == null ? "–" : `${(value * 100).toFixed(digits)} %`);
export const counted = (value: number, one: string, many = `${one}s`): string => `${count(value)} ${value === 1 ? one : many}`;

/** A measured number: four significant digits, whole numbers whole. */
export function number(value: number | null | undefined, digits = 4): string {
  if (value == null || Number.isNaN(value)) return "–";
  if (Number.isInteger(value)) return Math.abs(value) >= 10_000 ? count(value) : String(value);
  const size = Math.abs(value);
  if (size >= 10_000) return count(value);
  if (size < 0.0001) return value.toExponential(2);
  return size < 1 ? value.toFixed(digits) : String(Number(value.toPrecision(digits)));
}

export function bytes(value: number | null | undefined): string {
  if (value == null) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = Math.min(units.length - 1, value < 1 ? 0 : Math.floor(Math.log10(value) / 3));
  return `${power === 0 ? value : (value / 1000 ** power).toPrecision(3)} ${units[power]}`;
}

export function duration(ms: number | null | undefined): string {
  if (ms == null) return "–";
  if (ms < 20) return `${Number(ms.toPrecision(2))} ms`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  if (ms < 3_599_500) return parts(Math.round(ms / 1_000), "min", "s");
  return parts(Math.round(ms / 60_000), "h", "min");
}
/** Of sixtieths of a unit, as many wholes and what is left. */
function parts(sixtieths: number, unit: string, smaller: string): string {
  const [whole, left] = [Math.floor(sixtieths / 60), sixtieths % 60];
  return left === 0 ? `${whole} ${unit}` : `${whole} ${unit} ${left} ${smaller}`;
}

export function relative(at: number, now: number): string {
  const seconds = Math.round((now - at) / 1_000);
  const size = Math.abs(seconds);
  if (size < 5) return "now";
  const [value, unit] = size < 60 ? [size, "s"] : size < 3_600 ? [size / 60, "min"] : size < 172_800 ? [size / 3_600, "h"] : [size / 86_400, "d"];
  const told = `${Math.round(value)} ${unit}`;
  return seconds > 0 ? `${told} ago` : `in ${told}`;
}

/** `2013-02-28 17:00:00 UTC` */
export const exact = (at: string | number | Date): string => `${new Date(at).toISOString().slice(0, 19).replace("T", " ")} UTC`;
export const day = (at: string | number | Date): string => new Date(at).toISOString().slice(0, 10);

/** An example of something wrong: a value and how often it came, or a row's columns. */
export function example(of: unknown): string {
  if (typeof of !== "object" || of === null) return value(of);
  const facts: [string, unknown][] = Object.entries(of);
  const one = new Map(facts);
  if (facts.length === 2 && one.has("value") && typeof one.get("count") === "number") return `${value(one.get("value"))} × ${value(one.get("count"))}`;
  return facts.map(([name, fact]) => `${name} ${value(fact)}`).join(", ");
}

/** Any JSON value in one line. */
export function value(of: unknown): string {
  if (of === null || of === undefined) return "–";
  if (typeof of === "number") return number(of);
  if (typeof of === "string") return of;
  return JSON.stringify(of);
}
export const words = (name: string): string => name.replaceAll("_", " ");
