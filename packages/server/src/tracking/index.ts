/** Tracking: experiments, runs, logged models and artifacts, over MLflow's REST API. */
export { trackingRoutes } from "./routes/index.js";
export { createTracking } from "./service.js";
