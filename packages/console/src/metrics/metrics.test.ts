import type { MetricSeries } from "@millrace/sdk/api";
import { expect, it } from "vitest";
import { align, valuesAt } from "./align";
import { smoothed } from "./smooth";

const series = (more: Partial<MetricSeries>): MetricSeries => ({ run: "r", key: "loss", points: 0, x: [], value: [], ...more });
const window = { from: 0, to: 100, columns: 10, weight: 0, log: false };

it("smooths evenly spaced values as the plain recursion does", () => {
  const value = [5, 1, 4, 4, 9, 0];
  const plain: number[] = [];
  for (let i = 0; i < value.length; i++) {
    const weights = value.slice(0, i + 1).map((_, j) => 0.8 ** (i - j));
    const sum = value.slice(0, i + 1).reduce((total, one, j) => total + one * (weights[j] ?? 0), 0);
    plain.push(sum / weights.reduce((a, b) => a + b, 0));
  }
  const found = smoothed([10, 20, 30, 40, 50, 60], value, 0.8);
  found.forEach((one, i) => {
    expect(one).toBeCloseTo(plain[i] ?? Number.NaN, 12);
  });
});

it("forgets more over a longer gap, and a constant stays what it is", () => {
  const [, near] = smoothed([0, 1, 10], [0, 10, 10], 0.5);
  const [, far] = smoothed([0, 9, 10], [0, 10, 10], 0.5);
  expect(far).toBeGreaterThan(near ?? Number.NaN);
  for (const one of smoothed([0, 0, 5, 90], [7, 7, 7, 7], 0.99)) expect(one).toBeCloseTo(7, 12);
  expect(smoothed([3, 3, 3], [1, 2, 3], 0.5)[2]).toBeCloseTo((0.25 + 1 + 3) / 1.75);
});

it("brings series of other steps to common columns, with all their values in the shadow", () => {
  const few = series({ x: [0, 100], value: [1, 2] });
  const crowded = series({ run: "s", x: [51, 52, 53], value: [3, 9, 4] });
  const thinned = series({ run: "t", x: [5, 95], value: [0, 0], min: [-7, -1], max: [8, 1] });
  const { x, lines } = align([few, crowded, thinned], window);
  expect(x).toEqual([5, 55, 95]);
  expect(lines.map((line) => line.value)).toEqual([
    [1, null, 2],
    [null, 4, null],
    [0, null, 0],
  ]);
  expect([lines[1]?.low, lines[1]?.high]).toEqual([
    [null, 3, null],
    [null, 9, null],
  ]);
  expect([lines[2]?.low, lines[2]?.high]).toEqual([
    [-7, null, -1],
    [8, null, 1],
  ]);
  expect(align([series({ x: [4, 4], value: [1, 2] })], { ...window, from: 4, to: 4 }).x).toEqual([4]);
});

it("counts what a logarithmic axis can't show", () => {
  const { hidden, lines } = align([series({ x: [0, 50, 99], value: [-1, 0, 10] })], { ...window, log: true });
  expect([hidden, lines[0]?.value]).toEqual([2, [null, null, 10]]);
});

it("finds each run's nearest value", () => {
  const found = valuesAt([series({ x: [0, 10, 20], value: [1, 2, 3] }), series({ run: "empty" }), series({ run: "s", x: [7], value: [9] })], 14);
  expect(found).toEqual([
    { run: "r", x: 10, value: 2 },
    { run: "s", x: 7, value: 9 },
  ]);
});
