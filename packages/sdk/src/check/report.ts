import type { Problem } from "../define/definition.js";
import { durationMs } from "../duration.js";

/** Notes a problem of a definition. */
export type Report = (of: { definedAt?: string | undefined }, message: string) => void;

export function reporter(): { report: Report; problems: Problem[] } {
  const problems: Problem[] = [];
  return { problems, report: ({ definedAt }, message) => void problems.push(definedAt === undefined ? { message } : { message, at: definedAt }) };
}

/** Milliseconds, or undefined where the text is none and that was reported. */
export function checkDuration(what: string, text: string | undefined, of: { definedAt?: string | undefined }, report: Report): number | undefined {
  if (text === undefined) return undefined;
  try {
    const ms = durationMs(text);
    if (ms > 0) return ms;
    report(of, `${what} is "${text}": it must be longer than nothing`);
  } catch {
    report(of, `${what} is "${text}": write a whole number and one of ms, s, m, h, d, w, as in "3h"`);
  }
  return undefined;
}

/** `"a"`, or what there is instead. */
export function unknown(what: string, name: string, known: readonly string[]): string {
  const close = known.find((one) => one.toLowerCase() === name.toLowerCase() || distanceOne(one, name));
  if (close !== undefined) return `there is no ${what} "${name}"; is "${close}" meant?`;
  return `there is no ${what} "${name}"${known.length > 0 && known.length <= 20 ? `; there is ${known.join(", ")}` : ""}`;
}

/** One character more, less or other. */
function distanceOne(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 1 || a === b) return false;
  let i = 0;
  while (i < a.length && a[i] === b[i]) i++;
  return a.slice(i + 1) === b.slice(i + 1) || a.slice(i) === b.slice(i + 1) || a.slice(i + 1) === b.slice(i);
}
