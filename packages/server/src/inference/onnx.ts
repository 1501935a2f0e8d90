/** ONNX Runtime in this process. */
import { open, stat } from "node:fs/promises";
import { InferenceSession, Tensor as OnnxTensor } from "onnxruntime-node";
import { ApiError, invalid } from "../platform/index.js";
import type { Datatype, ServedModel, Tensor, TensorSpec } from "./types.js";

/** ONNX itself ends at 2 GiB in one file. */
const largestModel = 2 * 1024 ** 3;

/** Names of tensor types, as the runtime gives them. */
const datatypes: Partial<Record<string, Datatype>> = {
  ...{ bool: "BOOL", string: "BYTES", float16: "FP16", float32: "FP32", float64: "FP64" },
  ...{ int8: "INT8", int16: "INT16", int32: "INT32", int64: "INT64", uint8: "UINT8", uint16: "UINT16", uint32: "UINT32", uint64: "UINT64" },
};

export const unfit = (message: string) => new ApiError(422, "MODEL_UNFIT", message);

export async function openOnnx(file: string): Promise<ServedModel> {
  const { size } = await stat(file);
  if (size > largestModel) throw unfit(`The model has ${size} bytes; at most ${largestModel} are taken.`);
  let session: InferenceSession;
  try {
    // One thread a run: many requests share the cores better than one request does.
    session = await InferenceSession.create(file, { intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: "sequential", logSeverityLevel: 4 });
  } catch (error) {
    if (!(await looksLikeOnnx(file))) throw unfit("The file is not ONNX. Export the model with skl2onnx, onnxmltools or the exporter of its framework.");
    throw unfit(`The model can't be loaded: ${reason(error)}`);
  }
  try {
    return served(session, size);
  } catch (error) {
    await session.release();
    throw error;
  }
}

function served(session: InferenceSession, size: number): ServedModel {
  const inputs = session.inputMetadata.map((input) => {
    const spec = specOf(input);
    if (spec === undefined)
      throw unfit(`The model's input "${input.name}" is ${input.isTensor ? `of type ${input.type}, which is not supported` : "no tensor"}.`);
    return spec;
  });
  // Maps and sequences, as scikit-learn's ZipMap makes them, have no form in the protocol.
  const outputs = session.outputMetadata.flatMap((output) => specOf(output) ?? []);
  const names = outputs.map(({ name }) => name);
  if (names.length === 0) throw unfit("The model has no output that is a tensor.");
  let running: Promise<unknown> = Promise.resolve();
  return {
    platform: "onnxruntime_onnx",
    inputs,
    outputs,
    batches: [...inputs, ...outputs].every(({ shape }) => shape[0] === -1),
    // The graph as it was read, and the weights as the runtime packs them.
    bytes: 2 * size,
    async run(given, options) {
      const feeds: Record<string, OnnxTensor> = {};
      for (const tensor of given) feeds[tensor.name] = toOnnx(tensor);
      const run = session.run(feeds, options?.outputs ?? names);
      running = Promise.allSettled([running, run]);
      let found: Awaited<typeof run>;
      try {
        found = await run;
      } catch (error) {
        throw new Error(`the model failed: ${reason(error)}`);
      }
      return Object.entries(found).map(([name, tensor]) => fromOnnx(name, tensor));
    },
    async close() {
      await running;
      await session.release();
    },
  };
}

function specOf(metadata: InferenceSession.ValueMetadata): TensorSpec | undefined {
  if (!metadata.isTensor) return undefined;
  const datatype = datatypes[metadata.type];
  // A dimension that has a name is any number.
  return datatype === undefined
    ? undefined
    : { name: metadata.name, datatype, shape: metadata.shape.map((size) => (typeof size === "number" && size >= 0 ? size : -1)) };
}

function toOnnx({ name, datatype, shape, data }: Tensor): OnnxTensor {
  const dims = [...shape];
  if (datatype === "BYTES") {
    const texts: string[] = [];
    for (let at = 0; at < data.length; at++) texts.push(textOf(name, data[at]));
    return new OnnxTensor("string", texts, dims);
  }
  if (datatype === "BOOL" && data instanceof Uint8Array) return new OnnxTensor("bool", data, dims);
  if (datatype === "FP16" && data instanceof Uint16Array) return new OnnxTensor("float16", data, dims);
  if (data instanceof Float32Array) return new OnnxTensor("float32", data, dims);
  if (data instanceof Float64Array) return new OnnxTensor("float64", data, dims);
  if (data instanceof BigInt64Array) return new OnnxTensor("int64", data, dims);
  if (data instanceof BigUint64Array) return new OnnxTensor("uint64", data, dims);
  if (data instanceof Int32Array) return new OnnxTensor("int32", data, dims);
  if (data instanceof Uint32Array) return new OnnxTensor("uint32", data, dims);
  if (data instanceof Int16Array) return new OnnxTensor("int16", data, dims);
  if (data instanceof Uint16Array) return new OnnxTensor("uint16", data, dims);
  if (data instanceof Int8Array) return new OnnxTensor("int8", data, dims);
  if (data instanceof Uint8Array) return new OnnxTensor("uint8", data, dims);
  throw new TypeError(`The tensor "${name}" of ${datatype} holds values of another datatype.`);
}
const decoder = new TextDecoder("utf-8", { fatal: true });
function textOf(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  if (!(value instanceof Uint8Array)) return "";
  try {
    return decoder.decode(value);
  } catch {
    throw invalid(`The input "${name}" of BYTES holds what is no UTF-8; the model takes text.`);
  }
}

function fromOnnx(name: string, { type, dims, data }: OnnxTensor): Tensor {
  const datatype = datatypes[type];
  if (datatype === undefined || data instanceof Uint8ClampedArray) throw new Error(`the model's output "${name}" is of type ${type}, which is not supported`);
  // The runtime knows half floats as their bits, or as an array of their own where the engine has one.
  if (Array.isArray(data)) return { name, datatype, shape: dims, data };
  if (datatype === "FP16") return { name, datatype, shape: dims, data: new Uint16Array(data.buffer, data.byteOffset, data.length) };
  return { name, datatype, shape: dims, data };
}

/** A model in protocol buffers' form begins with its first field, the version of its format. */
async function looksLikeOnnx(path: string): Promise<boolean> {
  const file = await open(path, "r");
  try {
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, 0);
    return buffer[0] === 0x08;
  } finally {
    await file.close();
  }
}

/** The runtime's message without the place in its own source. */
const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error)).split("\n")[0]?.slice(0, 500) ?? "unknown";
