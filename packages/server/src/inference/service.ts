import { open, stat } from "node:fs/promises";
import { InferenceSession, type Tensor } from "onnxruntime-node";
import { ApiError, type Platform } from "../platform/index.js";
import { columnTensor, isSupported, matrixTensor, probabilities, type TensorType } from "./tensors.js";
import type { Feature, Inference, LoadedModel } from "./types.js";

/** ONNX itself ends at 2 GiB in one file. */
const largestModel = 2 * 1024 ** 3;

export function createInference(_platform: Pick<Platform, "log">): Inference {
  return { openModel };
}

const unfit = (message: string) => new ApiError(422, "MODEL_UNFIT", message);

async function openModel({ onnx }: { onnx: string }, features: Feature[]): Promise<LoadedModel> {
  const { size } = await stat(onnx);
  if (size > largestModel) throw unfit(`The model has ${size} bytes; at most ${largestModel} are taken.`);
  let session: InferenceSession;
  try {
    // One thread a run: many requests share the cores better than one request does.
    session = await InferenceSession.create(onnx, { intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: "sequential", logSeverityLevel: 4 });
  } catch (error) {
    if (!(await looksLikeOnnx(onnx))) throw unfit("The file is not ONNX. Export the model with skl2onnx, onnxmltools or the exporter of its framework.");
    throw unfit(`The model can't be loaded: ${reason(error)}`);
  }
  try {
    return loaded(session, features);
  } catch (error) {
    await session.release();
    throw error;
  }
}

function loaded(session: InferenceSession, features: Feature[]): LoadedModel {
  const inputs = planInputs(session, features);
  const output = session.outputNames.at(-1);
  if (output === undefined) throw unfit("The model has no output.");
  let running: Promise<unknown> = Promise.resolve();
  return {
    async predict(columns, rows) {
      if (rows === 0) return new Float64Array(0);
      const feeds: Record<string, Tensor> = {};
      if (inputs.kind === "matrix") feeds[inputs.name] = matrixTensor(inputs.type, features, columns, rows);
      else
        for (const { name, type, flat } of inputs.columns)
          feeds[name] = columnTensor(name, type, columns[name] ?? new Array(rows).fill(null), flat ? [rows] : [rows, 1]);
      const run = session.run(feeds, [output]);
      const answer = run.then(
        (outputs) => outputs[output],
        (error) => {
          throw new Error(`the model failed: ${reason(error)}`);
        },
      );
      running = Promise.allSettled([running, answer]);
      const found = await answer;
      if (found === undefined) throw new Error("the model gave no output");
      return probabilities(found, rows);
    },
    async close() {
      await running;
      await session.release();
    },
  };
}

type Inputs = { kind: "matrix"; name: string; type: "float32" | "float64" } | { kind: "columns"; columns: { name: string; type: TensorType; flat: boolean }[] };

/** How the features go into what the model declares. */
function planInputs(session: InferenceSession, features: Feature[]): Inputs {
  const names = new Set(features.map((f) => f.name));
  const declared = session.inputMetadata.map((input) => {
    if (!input.isTensor) throw unfit(`The model's input "${input.name}" is no tensor.`);
    return input;
  });
  const [only] = declared;
  if (declared.length === 1 && only !== undefined && !names.has(only.name)) {
    if (only.type !== "float32" && only.type !== "float64")
      throw unfit(`The model's one input "${only.name}" is of type ${only.type}; a matrix of floats is taken.`);
    const width = only.shape.at(-1);
    if (typeof width === "number" && width > 0 && width !== features.length) {
      throw unfit(`The model's input "${only.name}" takes ${width} columns; its service has ${features.length} features.`);
    }
    return { kind: "matrix", name: only.name, type: only.type };
  }
  const missing = declared.filter((input) => !names.has(input.name)).map((input) => input.name);
  if (missing.length > 0)
    throw unfit(`The model takes ${missing.map((n) => `"${n}"`).join(", ")}, which its service does not give. It gives ${[...names].join(", ")}.`);
  return {
    kind: "columns",
    columns: declared.map(({ name, type, shape }) => {
      if (!isSupported(type)) throw unfit(`The model's input "${name}" is of type ${type}, which is not supported.`);
      return { name, type, flat: shape.length === 1 };
    }),
  };
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
