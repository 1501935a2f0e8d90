import { type Static, Type } from "@sinclair/typebox";
import { Json, Nullable } from "./common.js";

/** What each feature gave to a prediction: the base and all attributions sum to the explained value. */
export const PredictionExplanation = Type.Object({
  endpoint: Type.String(),
  model: Type.String(),
  version: Type.Integer(),
  /** `exact`: Shapley values of an ensemble of trees, against the background. `sampled`: estimates of them, with standard errors. */
  method: Type.Union([Type.Literal("exact"), Type.Literal("sampled")]),
  /** The number that is explained. `index` where the output has several for a row: of two the second, of more the largest. */
  output: Type.Object({ name: Type.String(), index: Nullable(Type.Integer()) }),
  /**
   * In what attributions add up: `output` as it is answered; `log_odds`, of which the output is the logistic function; `score`, of which with those of the
   * other classes it is the softmax.
   */
  scale: Type.Union([Type.Literal("output"), Type.Literal("log_odds"), Type.Literal("score")]),
  value: Type.Number(),
  /** The mean value of the background rows. */
  base: Type.Number(),
  /** Rows that a feature's absence is played with: of the version's training, or of what its endpoint was asked. */
  background: Type.Object({ from: Type.Union([Type.Literal("training"), Type.Literal("log")]), rows: Type.Integer() }),
  /** The largest first. */
  attributions: Type.Array(
    Type.Object({
      feature: Type.String(),
      value: Json,
      attribution: Type.Number(),
      /** Null where it is exact. */
      standardError: Nullable(Type.Number()),
    }),
  ),
  /** What those give together that were left off. */
  rest: Type.Number(),
});
export type PredictionExplanation = Static<typeof PredictionExplanation>;
