import type { Limit } from "../platform/index.js";
import { fit } from "./fit.js";
import { openOnnx, startFirst } from "./onnx/index.js";
import type { Trials } from "./onnx/trials.js";
import type { PythonModels } from "./python/open.js";
import type { Inference, ModelSource, ServedModel } from "./types.js";

/** Without `python` there is ONNX alone. Without `trials` its files are opened as they are. */
export function createInference({
  python,
  trials,
  providers = ["cpu"],
}: {
  python?: PythonModels;
  trials?: Trials;
  /** Of ONNX Runtime, the first choice first. */
  providers?: readonly string[];
} = {}): Inference {
  async function open(source: ModelSource, inTurn: Limit = (work) => work()): Promise<ServedModel> {
    if ("onnx" in source) {
      return inTurn(async () => {
        await trials?.(source.onnx);
        return openOnnx(source.onnx, providers);
      });
    }
    if (python === undefined) throw new Error("There is nothing here that runs models of Python's.");
    return python.open(source.mlflow, inTurn);
  }
  return {
    open,
    prepare: startFirst,
    stop: () => python?.stop(),
    async openModel(source, features) {
      const model = await open(source);
      try {
        return fit(model, features);
      } catch (error) {
        await model.close();
        throw error;
      }
    },
  };
}
