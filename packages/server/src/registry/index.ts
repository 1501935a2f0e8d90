/** Registry: named models, their immutable versions, and the aliases that say what a version is for. */
export { createRegistryLineage, type RegistryLineage, type VersionPlace } from "./lineage.js";
export { createMlflowRegistry } from "./mlflow.js";
export { mlflowRegistryRoutes } from "./mlflow-routes.js";
export type { MlflowRegistry } from "./mlflow-types.js";
export { createReadModelStep } from "./read-model-step.js";
export { registryReferences } from "./references.js";
export { registryRoutes } from "./routes.js";
export { createRegistry } from "./service.js";
export { createRegistryTransfer, type RegistryTransfer } from "./transfer.js";
export type { Registry } from "./types.js";
