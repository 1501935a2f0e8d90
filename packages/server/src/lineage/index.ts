/** Lineage: from anything back to what it was made from. */
export { lineageRoutes } from "./routes.js";
export { createLineage } from "./service.js";
