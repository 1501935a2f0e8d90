import type { LossSpec } from "@millrace/sdk/spec";

/** Where log loss cuts probabilities, so that it has a bound: a sequential test needs one. */
const clip = 1e-3;

export interface Loss {
  /** The most that it can be; the least is 0. */
  most: number;
  of(prediction: number, label: number): number;
}
export function lossOf(spec: LossSpec): Loss {
  switch (spec.kind) {
    case "brier":
      return { most: 1, of: (prediction, label) => Math.min(1, (prediction - label) ** 2) };
    case "log_loss":
      return { most: -Math.log(clip), of: (prediction, label) => -Math.log(Math.max(clip, label > 0.5 ? prediction : 1 - prediction)) };
    case "zero_one":
      return { most: 1, of: (prediction, label) => (prediction >= 0.5 === label >= 0.5 ? 0 : 1) };
    case "absolute_error":
      return { most: spec.bound, of: (prediction, label) => Math.min(spec.bound, Math.abs(prediction - label)) };
    case "squared_error":
      return { most: spec.bound ** 2, of: (prediction, label) => Math.min(spec.bound, Math.abs(prediction - label)) ** 2 };
  }
}
