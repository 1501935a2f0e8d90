/** Evaluation: metrics overall and on slices, and the gates that decide by them. */
export { judgeGates } from "./gates.js";
export { binaryMetrics, calibrationBins } from "./metrics.js";
