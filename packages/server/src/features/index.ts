/** Features: one definition, read offline as of a moment and online now. */
export { feastRoutes } from "./feast-routes.js";
export { openOnlineStore } from "./open-online.js";
export { featuresRoutes } from "./routes.js";
export { createFeatures } from "./service.js";
export type { Features, LoggedPredictions, ServiceModel } from "./types.js";
