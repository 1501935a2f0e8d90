/** The simulated world is the same for equal seeds, and what is said of it holds. */
import { expect, test } from "vitest";
import { day, openWorld } from "./world.js";

const from = new Date("2026-01-01T00:00:00Z");
const tenth = new Date(from.getTime() + 9 * day);

test("equal seeds make equal payments, and others make others", () => {
  const payments = (seed: number) => openWorld({ seed, users: 50, from }).payments(tenth);
  expect(payments(1)).toEqual(payments(1));
  expect(payments(2)).not.toEqual(payments(1));
});

test("the payments of a day are asked for within it", () => {
  for (const { at } of openWorld({ seed: 1, users: 50, from }).payments(tenth)) {
    expect(Date.parse(at)).toBeGreaterThanOrEqual(tenth.getTime());
    expect(Date.parse(at)).toBeLessThan(tenth.getTime() + day);
  }
});
