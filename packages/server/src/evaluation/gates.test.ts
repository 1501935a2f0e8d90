import type { EvaluationReport, Metrics } from "@millrace/sdk/api";
import { expect, test } from "vitest";
import { judgeGates } from "./index.js";

const metrics = (auc: number, rows = 1_000): Metrics => ({
  rows,
  positives: rows / 2,
  auc,
  log_loss: 0.5,
  brier: 0.2,
  calibration_error: 0.03,
  mean_prediction: 0.5,
});
const report: EvaluationReport = {
  candidate: metrics(0.702),
  champion: metrics(0.7),
  championVersion: "delay/3",
  slices: [
    { column: "carrier", value: "UA", candidate: metrics(0.7), champion: metrics(0.71) },
    { column: "carrier", value: "OO", candidate: metrics(0.5, 20), champion: metrics(0.9, 20) },
  ],
  calibration: [],
  parity: { rows: 100, maxDifference: 2e-6 },
  latency: { p50Ms: 0.1, p99Ms: 0.4 },
};

test("a candidate that is better by exactly the margin passes, with the numbers in the message", () => {
  expect(judgeGates([{ kind: "better", metric: "auc", by: 0.002 }], report)).toEqual([
    {
      gate: "auc better by 0.002",
      severity: "block",
      passed: true,
      message: "The candidate's auc is 0.702, the champion's (delay/3) 0.7: better by 0.002; asked is better by at least 0.002.",
    },
  ]);
});

test("a smaller log loss is better", () => {
  const worse = { ...report, candidate: { ...report.candidate, log_loss: 0.6 } };
  expect(judgeGates([{ kind: "better", metric: "log_loss", by: 0 }], worse)[0]).toMatchObject({ passed: false });
});

test("slices are compared where they have enough rows", () => {
  const [bound, loose] = judgeGates(
    [
      { kind: "no_slice_worse", metric: "auc", by: 0.005, minRows: 100 },
      { kind: "no_slice_worse", metric: "auc", by: 0.02, minRows: 100, severity: "warn" },
    ],
    report,
  );
  expect(bound?.passed).toBe(false);
  expect(bound?.message).toBe("1 of 1 slices are worse by more than 0.005: carrier = UA (1000 rows): auc 0.7 against 0.71, worse by 0.01.");
  expect(loose).toMatchObject({ passed: true, severity: "warn" });
});

test("without a champion only the bounds decide", () => {
  const first = { ...report, champion: null, championVersion: null };
  const judged = judgeGates(
    [
      { kind: "better", metric: "auc", by: 0.1 },
      { kind: "no_slice_worse", metric: "auc", by: 0, minRows: 1 },
      { kind: "at_least", metric: "auc", value: 0.8 },
      { kind: "at_most", metric: "calibration_error", value: 0.05 },
    ],
    first,
  );
  expect(judged.map((g) => g.passed)).toEqual([true, true, false, true]);
});

test("parity, latency and unknown metrics are judged", () => {
  const judged = judgeGates(
    [
      { kind: "same_as_trained", within: 1e-5 },
      { kind: "same_as_trained", within: 1e-6 },
      { kind: "latency", p99Ms: 0.3 },
      { kind: "at_least", metric: "f1", value: 0.5 },
    ],
    report,
  );
  expect(judged.map((g) => g.passed)).toEqual([true, false, false, false]);
  expect(judgeGates([{ kind: "same_as_trained", within: 1 }], { ...report, parity: null })[0]?.message).toContain("parity.parquet");
});
