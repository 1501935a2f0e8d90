import { expect, test } from "vitest";
import { binaryMetrics, calibrationBins } from "./index.js";

test("metrics equal those of scikit-learn on its own documented example", () => {
  // roc_auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) = 0.75, from the documentation of sklearn.metrics.roc_auc_score;
  // log loss = −(ln 0.9 + ln 0.6 + ln 0.35 + ln 0.8) / 4; Brier = (0.01 + 0.16 + 0.4225 + 0.04) / 4, both by hand.
  const metrics = binaryMetrics(Float64Array.of(0.1, 0.4, 0.35, 0.8), Uint8Array.of(0, 0, 1, 1));
  expect(metrics.auc).toBe(0.75);
  expect(metrics.log_loss).toBeCloseTo(0.47228795, 8);
  expect(metrics.brier).toBeCloseTo(0.158125, 12);
  expect(metrics.mean_prediction).toBeCloseTo(0.4125, 12);
});

test("the Brier score equals scikit-learn's documented example", () => {
  // brier_score_loss([0, 1, 1, 0], [0.1, 0.9, 0.8, 0.3]) = 0.0375, from the documentation of sklearn.metrics.brier_score_loss.
  expect(binaryMetrics(Float64Array.of(0.1, 0.9, 0.8, 0.3), Uint8Array.of(0, 1, 1, 0)).brier).toBeCloseTo(0.0375, 12);
});

test("ties count half in the AUC", () => {
  // Pairs (positive, negative): (0.5, 0.5) half, (0.5, 0.2) one, (0.2, 0.5) none, (0.2, 0.2) half: 2 of 4.
  expect(binaryMetrics(Float64Array.of(0.5, 0.5, 0.2, 0.2), Uint8Array.of(1, 0, 1, 0)).auc).toBe(0.5);
});

test("the calibration error weighs each bin's gap by its rows", () => {
  // Bin [0.1, 0.2): two rows, mean 0.15, observed 0.5, gap 0.35. Bin [0.9, 1]: two rows, mean 0.95, observed 1, gap 0.05.
  const predictions = Float64Array.of(0.1, 0.2 - 1e-12, 0.9, 1);
  const labels = Uint8Array.of(0, 1, 1, 1);
  expect(calibrationBins(predictions, labels).map((b) => b.rows)).toEqual([2, 2]);
  expect(binaryMetrics(predictions, labels).calibration_error).toBeCloseTo(0.2, 9);
});

test("a certain mistake has a large log loss that is finite", () => {
  // −ln(1e-15) = 34.538776
  expect(binaryMetrics(Float64Array.of(1), Uint8Array.of(0)).log_loss).toBeCloseTo(34.538776, 5);
});

test("what can't be measured is null, and what is no probability is refused", () => {
  expect(binaryMetrics(new Float64Array(0), new Uint8Array(0))).toMatchObject({ rows: 0, auc: null, log_loss: null });
  expect(binaryMetrics(Float64Array.of(0.3, 0.4), Uint8Array.of(1, 1))).toMatchObject({ positives: 2, auc: null });
  expect(() => binaryMetrics(Float64Array.of(Number.NaN), Uint8Array.of(1))).toThrow("no probability");
});
