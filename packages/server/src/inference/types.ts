import type { Columns } from "@millrace/sdk/api";
import type { ColumnType } from "@millrace/sdk/spec";
import type { Digest, Limit } from "../platform/index.js";

/** Datatypes of the Open Inference Protocol, version 2. */
export type Datatype = "BOOL" | "INT8" | "INT16" | "INT32" | "INT64" | "UINT8" | "UINT16" | "UINT32" | "UINT64" | "FP16" | "FP32" | "FP64" | "BYTES";

/**
 * The values of a tensor, row by row. BOOL is a byte each, 0 or 1; FP16 its 16 bits; BYTES a text, or bytes that are no text. A text that is missing is
 * null; a float that is missing is NaN.
 */
export type TensorData =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array
  | Float32Array
  | Float64Array
  | readonly (string | Uint8Array | null)[];

export interface Tensor {
  name: string;
  datatype: Datatype;
  shape: readonly number[];
  data: TensorData;
}
export interface TensorSpec {
  name: string;
  datatype: Datatype;
  /** -1 is any number. */
  shape: readonly number[];
  /** It may be left out. */
  optional?: boolean;
  /** Each text is a value as JSON, such as a list or an object. */
  json?: boolean;
}

export interface RunOptions {
  /** Names of the outputs that are wanted; all where it is left out. */
  outputs?: readonly string[] | undefined;
  /** By `performance.now()`: whoever is not answered by then no longer waits. */
  deadline?: number | undefined;
  /** Whether the caller went away: an AbortSignal, or what is cheaper to make for each request. */
  signal?: { readonly aborted: boolean } | undefined;
}

/** A model that is ready to answer, whatever runs it. */
export interface ServedModel {
  platform: "onnxruntime_onnx" | "mlflow_pyfunc" | "millrace_transform" | "millrace_graph";
  /** Null where the model does not say what it takes: then any tensors are given to it. */
  inputs: readonly TensorSpec[] | null;
  /** Null where it does not say what it gives. */
  outputs: readonly TensorSpec[] | null;
  /** The first dimension of every input and output counts rows, so that several requests may share a run. */
  batches: boolean;
  /** How many runs may be under way at once; 1 where it is left out. What comes meanwhile waits and shares the next one. */
  runsAtOnce?: number;
  /** Rows of several requests that are best run together; more do not make a row cheaper. */
  readonly rowsTogether?: number | undefined;
  /** About how much memory it takes while it is open. */
  readonly bytes: number;
  /** Tensors that fit `inputs`, by name in any order. Throws an Error that says why the model failed; an ApiError where it is the request's fault. */
  run(inputs: readonly Tensor[], options?: RunOptions): Promise<Tensor[]>;
  /** Waits for what is under way. */
  close(): Promise<void>;
}

export interface Feature {
  name: string;
  type: ColumnType;
}
/** A model that predicts from features. */
export interface LoadedModel {
  /** One probability a row. A null is NaN for numbers, the empty text for texts. Throws what the runtime says where the model can't. */
  predict(columns: Columns, rows: number): Promise<Float64Array>;
  /** Waits for what is under way. */
  close(): Promise<void>;
}
/** An ONNX file on this machine, or the files of a model of MLflow's in the object store. */
export type ModelSource = { onnx: string } | { mlflow: MlflowSource };
export interface MlflowSource {
  files: readonly { path: string; digest: Digest }[];
  /** What the log calls it. */
  called: string;
  /** How many processes answer. Default 1. */
  workers?: number;
  /** How long a call may take before its process is ended. Default 30 s. */
  callMs?: number;
  /** Of a process. Default half of the machine's. */
  memoryBytes?: number;
}
export interface Inference {
  /** `inTurn` holds back what takes memory, but not the making of an environment, for which little but the network is needed. Throws a 422 that says what is wrong with the model. */
  open(source: ModelSource, inTurn?: Limit): Promise<ServedModel>;
  /** Models will be opened soon: what opens most of them is made ready. */
  prepare(): void;
  /** What is being opened is given up. What is open is closed by whoever opened it. */
  stop(): void;
  /** Opens a model for these features, as `fit` does. Throws a 422 that says what does not fit. */
  openModel(source: ModelSource, features: readonly Feature[]): Promise<LoadedModel>;
}
