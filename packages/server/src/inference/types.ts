import type { Columns } from "@millrace/sdk/api";
import type { ColumnType } from "@millrace/sdk/spec";

export interface Feature {
  name: string;
  type: ColumnType;
}
/** A model that is ready to predict. */
export interface LoadedModel {
  /** One probability a row. A null is NaN for numbers, the empty text for texts. Throws what the runtime says where the model can't. */
  predict(columns: Columns, rows: number): Promise<Float64Array>;
  /** Waits for what is under way. */
  close(): Promise<void>;
}
export interface Inference {
  /**
   * Opens an ONNX file for these features. The model takes one tensor of [n, 1] or [n] for each feature, by name, or a single float
   * matrix of [n, features] in their order; its last output is the probability: [n], [n, 1], or [n, 2] with the second class' last.
   * Throws a 422 that says what does not fit.
   */
  openModel(model: { onnx: string }, features: Feature[]): Promise<LoadedModel>;
}
