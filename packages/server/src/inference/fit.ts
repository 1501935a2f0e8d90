/** A model that takes tensors, as one that predicts from features. */
import type { Columns } from "@millrace/sdk/api";
import { invalid } from "../platform/index.js";
import { zeros } from "./datatypes.js";
import { unfit } from "./onnx/index.js";
import type { Datatype, Feature, LoadedModel, ServedModel, Tensor, TensorSpec } from "./types.js";

type Value = string | number | boolean | null;

/**
 * The model takes one tensor of [n, 1] or [n] for each feature, by name, or a single float matrix of [n, features] in their order; its last output is the
 * probability: [n], [n, 1], or [n, 2] with the second class' last. A model that does not say what it takes is given all features by name. Throws a 422 that
 * says what does not fit.
 */
export function fit(model: ServedModel, features: readonly Feature[]): LoadedModel {
  const tensors = featureTensors(model.inputs, features);
  const last = model.outputs?.at(-1)?.name;
  const options = last === undefined ? undefined : { outputs: [last] };
  return {
    async predict(columns, rows) {
      if (rows === 0) return new Float64Array(0);
      const found = (await model.run(tensors(columns, rows), options)).at(-1);
      if (found === undefined) throw new Error("the model gave no output");
      return probabilities(found, rows);
    },
    close: () => model.close(),
  };
}

type Plan = (columns: Columns, rows: number) => Tensor[];
const ofFeature = { string: "BYTES", int64: "INT64", float64: "FP64", boolean: "BOOL", timestamp: "BYTES", date: "BYTES" } as const;

export function featureTensors(inputs: readonly TensorSpec[] | null, features: readonly Feature[]): Plan {
  const names = new Set(features.map((feature) => feature.name));
  const declared = inputs ?? features.map(({ name, type }): TensorSpec => ({ name, datatype: ofFeature[type], shape: [-1] }));
  const [only] = declared;
  if (declared.length === 1 && only !== undefined && !names.has(only.name)) {
    const { name, datatype, shape } = only;
    if (datatype !== "FP32" && datatype !== "FP64") throw unfit(`The model's one input "${name}" is of ${datatype}; a matrix of floats is taken.`);
    const width = shape.at(-1);
    if (width !== undefined && width > 0 && width !== features.length)
      throw unfit(`The model's input "${name}" takes ${width} columns; its service has ${features.length} features.`);
    return (columns, rows) => [matrix(name, datatype, features, columns, rows)];
  }
  const missing = declared.filter((input) => !names.has(input.name) && input.optional !== true).map((input) => input.name);
  if (missing.length > 0)
    throw unfit(`The model takes ${missing.map((n) => `"${n}"`).join(", ")}, which its service does not give. It gives ${[...names].join(", ")}.`);
  const given = declared.filter((input) => names.has(input.name));
  return (columns, rows) =>
    given.map(({ name, datatype, shape }) => ({
      ...{ name, datatype, shape: shape.length === 1 ? [rows] : [rows, 1] },
      data: column(name, datatype, columns[name] ?? new Array<null>(rows).fill(null)),
    }));
}

const number = (value: Value | undefined): number => (value === null || value === undefined || value === "" ? Number.NaN : Number(value));
function whole(value: Value | undefined, name: string): number {
  const told = number(value);
  if (!Number.isSafeInteger(told)) throw invalid(`"${name}" takes whole numbers; ${JSON.stringify(value ?? null)} is none.`);
  return told;
}

function column(name: string, datatype: Datatype, values: readonly Value[]): Tensor["data"] {
  if (datatype === "BYTES") return values.map((value) => (value === null ? null : String(value)));
  if (datatype === "FP64") return Float64Array.from(values, number);
  if (datatype === "FP32") return Float32Array.from(values, number);
  if (datatype === "BOOL") return Uint8Array.from(values, (value) => (value === true || value === 1 ? 1 : 0));
  if (datatype === "FP16") throw unfit(`The model's input "${name}" is of FP16, in which no feature is given.`);
  const data = zeros(datatype, values.length);
  for (const [at, value] of values.entries()) {
    const told = whole(value, name);
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[at] = BigInt(told);
    else data[at] = told;
    if (Number(data[at]) !== told) throw invalid(`"${name}" takes ${datatype}; ${told} is none.`);
  }
  return data;
}

/** All features in one float matrix, row by row. */
function matrix(name: string, datatype: "FP32" | "FP64", features: readonly Feature[], columns: Columns, rows: number): Tensor {
  const width = features.length;
  const data = datatype === "FP32" ? new Float32Array(rows * width) : new Float64Array(rows * width);
  for (const [at, feature] of features.entries()) {
    const values = columns[feature.name] ?? [];
    for (let row = 0; row < rows; row++) data[row * width + at] = number(typeof values[row] === "boolean" ? Number(values[row]) : values[row]);
  }
  return { name, datatype, shape: [rows, width], data };
}

/** The probability of each row, from an output of [n], [n, 1] or [n, 2]. */
function probabilities({ datatype, data, shape }: Tensor, rows: number): Float64Array {
  if (!(data instanceof Float32Array || data instanceof Float64Array)) throw new Error(`the model's output is of ${datatype}, not of floats`);
  const width = shape.length > 1 ? Number(shape.at(-1)) : 1;
  if (shape[0] !== rows || data.length !== rows * width || width > 2) {
    throw new Error(`the model's output has the shape [${shape.join(", ")}] for ${rows} rows; it should be [${rows}], [${rows}, 1] or [${rows}, 2]`);
  }
  const found = new Float64Array(rows);
  for (let row = 0; row < rows; row++) found[row] = data[row * width + width - 1] ?? Number.NaN;
  return found;
}
