import type { PredictionExplanation } from "@millrace/sdk/api";

export interface Explanations {
  /** Of a prediction that an endpoint just made. Throws a 422 where its model can't be explained, a 409 where there is nothing to compare with yet. */
  explain(of: { endpoint: string; version: number; given: Readonly<Record<string, unknown>> }, top: number | undefined): Promise<PredictionExplanation>;
  /** Of a prediction in the log. */
  logged(id: string, top: number | undefined): Promise<PredictionExplanation>;
  close(): Promise<void>;
}
