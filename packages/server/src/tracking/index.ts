/** Tracking: experiments and runs, over MLflow's REST API. */
export { trackingRoutes } from "./routes.js";
export { createTracking } from "./service.js";
