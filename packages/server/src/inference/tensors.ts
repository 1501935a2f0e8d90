import type { Columns } from "@millrace/sdk/api";
import { Tensor } from "onnxruntime-node";
import { invalid } from "../platform/index.js";
import type { Feature } from "./types.js";

type Value = string | number | boolean | null;
/** Names of tensor types, as the runtime gives them. */
export type TensorType = "float32" | "float64" | "int64" | "int32" | "bool" | "string";
export const supported: readonly string[] = ["float32", "float64", "int64", "int32", "bool", "string"] satisfies TensorType[];
export const isSupported = (type: string): type is TensorType => supported.includes(type);

const number = (value: Value | undefined): number => (value === null || value === undefined || value === "" ? Number.NaN : Number(value));

function whole(value: Value | undefined, column: string): number {
  const told = number(value);
  if (!Number.isSafeInteger(told)) throw invalid(`"${column}" takes whole numbers; ${JSON.stringify(value ?? null)} is none.`);
  return told;
}

/** A column as the model declares it. */
export function columnTensor(name: string, type: TensorType, values: readonly Value[], dims: number[]): Tensor {
  switch (type) {
    case "float32":
      return new Tensor("float32", Float32Array.from(values, number), dims);
    case "float64":
      return new Tensor("float64", Float64Array.from(values, number), dims);
    case "int64":
      return new Tensor(
        "int64",
        BigInt64Array.from(values, (value) => BigInt(whole(value, name))),
        dims,
      );
    case "int32":
      return new Tensor(
        "int32",
        Int32Array.from(values, (value) => whole(value, name)),
        dims,
      );
    case "bool":
      return new Tensor(
        "bool",
        Uint8Array.from(values, (value) => (value === true || value === 1 ? 1 : 0)),
        dims,
      );
    case "string":
      return new Tensor(
        "string",
        values.map((value) => (value === null ? "" : String(value))),
        dims,
      );
  }
}

/** All features in one float matrix, row by row. */
export function matrixTensor(type: "float32" | "float64", features: readonly Feature[], columns: Columns, rows: number): Tensor {
  const width = features.length;
  const data = type === "float32" ? new Float32Array(rows * width) : new Float64Array(rows * width);
  for (const [at, { name }] of features.entries()) {
    const values = columns[name] ?? [];
    for (let row = 0; row < rows; row++) data[row * width + at] = number(typeof values[row] === "boolean" ? Number(values[row]) : values[row]);
  }
  return data instanceof Float32Array ? new Tensor("float32", data, [rows, width]) : new Tensor("float64", data, [rows, width]);
}

/** The probability of each row, from an output of [n], [n, 1] or [n, 2]. */
export function probabilities(output: Tensor, rows: number): Float64Array {
  const { data, dims } = output;
  if (!(data instanceof Float32Array || data instanceof Float64Array)) throw new Error(`the model's output is of type ${output.type}, not of floats`);
  const width = dims.length > 1 ? Number(dims.at(-1)) : 1;
  if (Number(dims[0]) !== rows || data.length !== rows * width || width > 2) {
    throw new Error(`the model's output has the shape [${dims.join(", ")}] for ${rows} rows; it should be [${rows}], [${rows}, 1] or [${rows}, 2]`);
  }
  const found = new Float64Array(rows);
  for (let row = 0; row < rows; row++) found[row] = data[row * width + width - 1] ?? Number.NaN;
  return found;
}
