/** Tracking: experiments and runs, over MLflow's REST API. */
export { trackingRoutes } from "./routes.js";
export { createTracking } from "./service.js";
export type { Experiment, KeyValue, Metric, Search, TrackedRun, Tracking, View } from "./types.js";
