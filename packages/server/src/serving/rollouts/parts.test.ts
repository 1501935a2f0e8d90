/** Parts of rollouts whose cases would take long to bring about through a server. */
import type { ExperimentSpec } from "@millrace/sdk/spec";
import { expect, test } from "vitest";
import { openLog } from "../../platform/index.js";
import type { Asked, Ran } from "../asked.js";
import { neededUnits, resultOf, type Units } from "./experiments.js";
import { lossOf } from "./losses.js";
import { openShadows } from "./shadows.js";
import type { Tallies } from "./tally.js";

const log = openLog("silent");

test("copies that find no room are dropped and counted, and whoever offers one never waits", async () => {
  const counts = { answered: 0, failed: 0, compared: 0, agreed: 0, dropped: 0 };
  const tallies: Tallies = {
    answered: () => void counts.answered++,
    failed: () => void counts.failed++,
    compared(_rollout, _version, { compared, agreed }) {
      counts.compared += compared;
      counts.agreed += agreed;
    },
    dropped: () => void counts.dropped++,
    settle: async () => {},
  };
  const ran = (value: number): Ran => ({ outputs: [], rows: 2, schema: [], asOf: () => new Date(), prediction: () => value, logged: () => ({}) });
  let running = 0;
  let most = 0;
  let kept = 0;
  const asked: Asked = {
    async run() {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      if (counts.answered % 10 === 9 && counts.failed === 0) throw new Error("it failed");
      return ran(0.7);
    },
  };
  const shadows = openShadows({ tallies, log });
  const copy = { endpoint: "shade", rollout: { id: "r", candidate: 2, within: 0.1 }, asked, answered: ran(0.65), bytes: 1_000, keep: async () => void kept++ };
  const began = performance.now();
  for (let n = 0; n < 1_000; n++) shadows.offer(copy);
  expect(performance.now() - began).toBeLessThan(500);
  expect(counts).toMatchObject({ answered: 0, dropped: 744 });
  await expect.poll(() => counts.answered + counts.failed, { timeout: 20_000 }).toBe(256);
  expect(counts.failed).toBeGreaterThan(0);
  expect({ most, kept, compared: counts.compared }).toEqual({ most: 16, kept: counts.answered, compared: 2 * counts.answered });
  expect(counts.agreed).toBe(counts.compared);
  // Large ones find no room before many are there.
  for (let n = 0; n < 10; n++) shadows.offer({ ...copy, bytes: 16 * 1024 * 1024 });
  expect(counts.dropped).toBe(744 + 8);
  shadows.stop();
});

const plan: ExperimentSpec = {
  kind: "experiment",
  arms: [{ alias: "challenger", weight: 0.5 }],
  metric: { kind: "label", goal: "increase", from: 0, to: 1 },
  effect: 0.1,
  alpha: 0.05,
  power: 0.8,
  variance: 0.25,
  test: "fixed",
  promote: false,
};
const rollout = { stable: 1, candidate: 2, slots: [{ version: 2, from: 0, to: 0.5 }] };
const units = (control: number[], arm: number[], keys = [control.length, arm.length]): Units => ({
  values: new Map([
    [1, control],
    [2, arm],
  ]),
  keys: new Map([
    [1, keys[0] ?? 0],
    [2, keys[1] ?? 0],
  ]),
});
/** So many, of which this share is 1, spread evenly. */
const values = (count: number, share: number) => Array.from({ length: count }, (_, i) => (Math.floor((i + 1) * share) > Math.floor(i * share) ? 1 : 0));

test("an experiment of a fixed sample looks at just that sample, and says nothing before it is whole", () => {
  const needed = neededUnits(plan, 1);
  expect(needed).toBe(393);
  expect(resultOf(rollout, plan, units(values(needed - 1, 0.3), values(needed, 0.9)))).toBeUndefined();
  const result = resultOf(rollout, plan, units([...values(needed, 0.3), ...values(500, 1)], values(needed + 500, 0.42)));
  expect(result).toMatchObject({ winner: 2, valid: true, arms: [{ units: needed }, { units: needed }] });
  expect(result?.arms[0]?.mean).toBeCloseTo(0.3, 2);
  expect(result?.arms[1]?.p).toBeLessThan(0.05);
  // Worse is no winner, and neither is a little better.
  expect(resultOf(rollout, plan, units(values(needed, 0.42), values(needed, 0.3)))).toMatchObject({ winner: null, valid: true });
  expect(resultOf(rollout, plan, units(values(needed, 0.3), values(needed, 0.33)))).toMatchObject({ winner: null, valid: true });
});

test("where something else than the declared weights decides who is counted, there is no winner", () => {
  const needed = neededUnits(plan, 1);
  const result = resultOf(rollout, plan, units(values(needed, 0.3), values(needed, 0.6), [2_000, 1_600]));
  expect(result).toMatchObject({
    winner: null,
    valid: false,
    why: expect.stringMatching(/^The arms were answered for 2000, 1600 keys, which the declared weights give by chance with/),
  });
});

test("a sequential experiment ends when an arm is better, or when none can be by as much as matters", () => {
  const looking: ExperimentSpec = { ...plan, test: "sequential" };
  expect(resultOf(rollout, looking, units(values(50, 0.3), values(50, 0.4)))).toBeUndefined();
  expect(resultOf(rollout, looking, units(values(2_000, 0.3), values(2_000, 0.5)))).toMatchObject({ winner: 2, valid: true });
  expect(resultOf(rollout, looking, units(values(8_000, 0.3), values(8_000, 0.3)))).toMatchObject({ winner: null, valid: true });
});

test("losses have the bounds that a sequential test needs", () => {
  expect(lossOf({ kind: "brier" }).of(0.8, 1)).toBeCloseTo(0.04, 12);
  const logLoss = lossOf({ kind: "log_loss" });
  expect(logLoss.of(0, 1)).toBe(logLoss.most);
  expect(logLoss.of(0.5, 0)).toBeCloseTo(Math.LN2, 12);
  expect([0.4, 0.6].map((p) => lossOf({ kind: "zero_one" }).of(p, 1))).toEqual([1, 0]);
  expect(lossOf({ kind: "absolute_error", bound: 10 }).of(100, 3)).toBe(10);
  expect(lossOf({ kind: "squared_error", bound: 10 })).toMatchObject({ most: 100 });
  expect(lossOf({ kind: "squared_error", bound: 10 }).of(5, 3)).toBe(4);
});
