import { fit } from "./fit.js";
import { openOnnx } from "./onnx/index.js";
import type { Inference, ModelSource } from "./types.js";

export function createInference(): Inference {
  const open = ({ onnx }: ModelSource) => openOnnx(onnx);
  return {
    open,
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
