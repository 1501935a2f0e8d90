/** Moving in and out: everything of tracking and of the registry, with its ids, in batches and pages. */
export { transferRoutes } from "./routes.js";
