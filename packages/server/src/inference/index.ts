/** Inference: models that are ready to answer. ONNX runs in this process, what MLflow loads in Python processes. */
export {
  accepted,
  bytesOf,
  type Cell,
  dataOf,
  type FixedData,
  type FixedDatatype,
  fromHalf,
  isDatatype,
  isFloat,
  toHalf,
  valueAt,
  valuesOf,
  widened,
  widths,
  zeros,
} from "./datatypes.js";
export { featureTensors, fit } from "./fit.js";
export { checkProviders } from "./onnx/index.js";
export { createTrials } from "./onnx/trials.js";
export { createPythonModels } from "./python/open.js";
export { createInference } from "./service.js";
export { createTransforms } from "./transforms/open.js";
export type { Datatype, Feature, Inference, LoadedModel, ModelSource, RunOptions, ServedModel, Tensor, TensorData, TensorSpec } from "./types.js";
