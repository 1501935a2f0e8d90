/**
 * The JSON form of a project's definitions: what `millrace apply` sends, what the server checks, stores, shows and runs.
 * Definitions in TypeScript compile to it; another language may write it by hand.
 */
export * from "./spec/cards.js";
export * from "./spec/common.js";
export * from "./spec/data.js";
export * from "./spec/datasets.js";
export * from "./spec/delivery.js";
export * from "./spec/features.js";
export * from "./spec/graphs.js";
export * from "./spec/nodes.js";
export * from "./spec/pipelines.js";
export * from "./spec/project.js";
export * from "./spec/rollouts.js";
export * from "./spec/schedules.js";
export { projectSchema } from "./spec/schema.js";
export * from "./spec/serving.js";
export * from "./spec/sweeps.js";
