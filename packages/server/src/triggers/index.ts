/** Triggers: what starts a run by itself. */
export { triggersRoutes } from "./routes.js";
export { createTriggers } from "./service.js";
