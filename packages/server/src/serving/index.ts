/** Serving: endpoints that answer over the Open Inference Protocol, how new versions take over, and the log of what was predicted. */
export { openInferenceProtocolRoutes } from "./protocol/routes.js";
export { servingReferences } from "./references.js";
export { servingRoutes } from "./routes.js";
export { createServing } from "./service.js";
export type { Serving } from "./types.js";
