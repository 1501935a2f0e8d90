/** The values that a sweep tries, where they are known beforehand: a grid's. */
import type { PlainValue, SearchRange } from "./spec.js";

/** A grid's values of one param, in order. */
export function gridValues(range: SearchRange): PlainValue[] {
  if (range.kind === "choice") return range.values;
  const { from, to, step, log } = range;
  const whole = range.kind === "int";
  const points = range.kind === "float" ? range.points : undefined;
  if (step === undefined && points !== undefined) {
    const at = (i: number) => (log === true ? from * (to / from) ** (i / (points - 1)) : from + ((to - from) * i) / (points - 1));
    return Array.from({ length: points }, (_, i) => (i === points - 1 ? to : Number(at(i).toPrecision(12))));
  }
  // By order of magnitude whole numbers double; evenly they go one by one.
  if (whole && log === true) {
    const values: number[] = [];
    for (let value = from; value < to; value *= 2) values.push(value);
    return [...values, to];
  }
  const by = step ?? 1;
  return Array.from({ length: Math.floor((to - from) / by + 1e-9) + 1 }, (_, i) => (whole ? from + i * by : Number((from + i * by).toPrecision(12))));
}

const countOf = (range: SearchRange): number =>
  range.kind !== "choice" && range.step === undefined && range.log !== true && range.kind === "int"
    ? range.to - range.from + 1
    : range.kind !== "choice" && range.step !== undefined
      ? Math.floor((range.to - range.from) / range.step + 1e-9) + 1
      : gridValues(range).length;
export const gridSize = (over: Readonly<Record<string, SearchRange>>): number => Object.values(over).reduce((size, range) => size * countOf(range), 1);
