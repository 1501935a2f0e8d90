/** Features: one definition, read offline as of a moment and online now. */
export { featuresRoutes } from "./routes.js";
export { createFeatures } from "./service.js";
export type { Features, LoggedPredictions } from "./types.js";
