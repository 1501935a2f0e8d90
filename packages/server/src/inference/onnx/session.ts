/** A session of ONNX Runtime, in whatever thread it is. Knows nothing of requests: its errors say what the runtime says. */
import { InferenceSession, Tensor as OnnxTensor } from "onnxruntime-node";
import type { Datatype, Tensor, TensorSpec } from "../types.js";

/** Names of tensor types, as the runtime gives them. */
const datatypes: Partial<Record<string, Datatype>> = {
  ...{ bool: "BOOL", string: "BYTES", float16: "FP16", float32: "FP32", float64: "FP64" },
  ...{ int8: "INT8", int16: "INT16", int32: "INT32", int64: "INT64", uint8: "UINT8", uint16: "UINT16", uint32: "UINT32", uint64: "UINT64" },
};

export interface Session {
  inputs: TensorSpec[];
  outputs: TensorSpec[];
  /** Texts are strings. It blocks its thread for `ms`, whatever the promise says. */
  run(inputs: readonly Tensor[], outputs: readonly string[]): Promise<{ outputs: Tensor[]; ms: number }>;
  release(): Promise<void>;
}

/** Names of execution providers, the first choice first. */
export type Providers = readonly string[];

export async function openSession(file: string, providers: Providers): Promise<Session> {
  // One thread a run: many requests share the cores better than one request does.
  const session = await InferenceSession.create(file, {
    executionProviders: [...providers],
    ...{ intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: "sequential", logSeverityLevel: 4 },
  });
  try {
    const inputs = session.inputMetadata.map((input) => {
      const spec = specOf(input);
      if (spec === undefined)
        throw new Error(`its input "${input.name}" is ${input.isTensor ? `of type ${input.type}, which is not supported` : "no tensor"}.`);
      return spec;
    });
    // Maps and sequences, as scikit-learn's ZipMap makes them, have no form in the protocol.
    const outputs = session.outputMetadata.flatMap((output) => specOf(output) ?? []);
    if (outputs.length === 0) throw new Error("it has no output that is a tensor.");
    return {
      inputs,
      outputs,
      async run(given, names) {
        const feeds: Record<string, OnnxTensor> = {};
        for (const tensor of given) feeds[tensor.name] = toOnnx(tensor);
        let began = 0;
        // The runtime runs in the next turn of the event loop, right after this.
        setImmediate(() => {
          began = performance.now();
        });
        const found = await session.run(feeds, names);
        const ms = performance.now() - began;
        return { outputs: Object.entries(found).map(([name, tensor]) => fromOnnx(name, tensor)), ms };
      },
      release: () => session.release(),
    };
  } catch (error) {
    await session.release();
    throw error;
  }
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
    for (let at = 0; at < data.length; at++) texts.push(String(data[at]));
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

function fromOnnx(name: string, { type, dims, data }: OnnxTensor): Tensor {
  const datatype = datatypes[type];
  if (datatype === undefined || data instanceof Uint8ClampedArray) throw new Error(`the model's output "${name}" is of type ${type}, which is not supported`);
  // The runtime knows half floats as their bits, or as an array of their own where the engine has one.
  if (Array.isArray(data)) return { name, datatype, shape: dims, data };
  if (datatype === "FP16") return { name, datatype, shape: dims, data: new Uint16Array(data.buffer, data.byteOffset, data.length) };
  return { name, datatype, shape: dims, data };
}
