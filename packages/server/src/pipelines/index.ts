/** Pipelines: durable, cached runs of typed steps. */
export { createPipelineLineage, type PipelineLineage } from "./lineage.js";
export { pipelineReferences } from "./references.js";
export { pipelinesRoutes } from "./routes.js";
export { createPipelines } from "./service.js";
export type { StepKind } from "./step.js";
export type { RunTracker } from "./tracker.js";
export { trainingTable } from "./training.js";
export type { Pipelines } from "./types.js";
