/** Monitoring: an endpoint's inputs, predictions and performance, beside what its model was trained on. */
export { monitoringRoutes } from "./routes.js";
export { createMonitoring } from "./service.js";
export type { Monitoring } from "./types.js";
