/** Inference: ONNX Runtime in this process. Rows in, predictions out. */
export { createInference } from "./service.js";
export type { Feature, Inference, LoadedModel } from "./types.js";
