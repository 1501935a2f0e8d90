import type { RunTableRow } from "@millrace/sdk/api";
import { expect, it } from "vitest";
import { bestOf, factsOf, scaleOf, within } from "./facts";

const run = (id: string, more: Partial<RunTableRow>): RunTableRow => ({
  ...{ id, experimentId: "0", name: id, status: "FINISHED", user: "u", startTime: 0, endTime: 1_000, stage: "active", metrics: {}, params: {}, tags: {} },
  ...more,
});

it("tells where runs differ, and takes what only some have for a difference", () => {
  const facts = factsOf([
    run("a", { params: { depth: "6", lr: "1e-1", kind: "tree" }, metrics: { auc: 0.7 }, tags: { "mlflow.runName": "a" } }),
    run("b", { params: { depth: "6", lr: "0.1", kind: "linear" }, metrics: { auc: "NaN" }, tags: { note: "x", "mlflow.runName": "b" } }),
  ]);
  expect(facts.filter(({ differs }) => differs).map(({ id }) => id)).toEqual(["params.kind", "metrics.auc", "tags.note"]);
  expect(facts.find(({ id }) => id === "params.lr")?.values).toEqual([0.1, 0.1]);
});

it("marks the best values, all of those that are equal, and none where all are", () => {
  expect([...bestOf([0.3, 0.9, undefined, 0.9, "NaN"], false)]).toEqual([1, 3]);
  expect([...bestOf([0.3, 0.9, 0.1], true)]).toEqual([2]);
  expect(bestOf([0.5, 0.5], false).size).toBe(0);
  expect(bestOf([0.5], false).size).toBe(0);
});

it("lays numbers out by size or by magnitude, and other values in their order", () => {
  const linear = scaleOf([0, 5, 10, "NaN", undefined], false);
  expect([0, 5, 10].map(linear.position)).toEqual([0, 0.5, 1]);
  expect([linear.position("NaN"), linear.position(undefined)]).toEqual([undefined, undefined]);
  const log = scaleOf([0.001, 0.1, 10, -1], true);
  expect(log.position(0.1)).toBeCloseTo(0.5);
  expect(log.position(-1)).toBeUndefined();
  expect(scaleOf([4, 4], false).position(4)).toBe(0.5);
  const mixed = scaleOf(["adam", "sgd", 10, 9], false);
  expect(mixed.ticks.map(({ text }) => text)).toEqual(["9", "10", "adam", "sgd"]);
  expect(mixed.position("sgd")).toBe(1);
});

it("leaves the runs that lie within every chosen stretch", () => {
  const [depth, auc] = [
    [1, 2, 3, 4],
    [0.5, 0.6, undefined, 0.9],
  ];
  const chosen = [
    { scale: scaleOf(depth, false), values: depth, from: 0.3, to: 1 },
    { scale: scaleOf(auc, false), values: auc, from: 0, to: 0.5 },
  ];
  expect(within(4, chosen)).toEqual([false, true, false, false]);
  expect(within(2, [])).toEqual([true, true]);
});
