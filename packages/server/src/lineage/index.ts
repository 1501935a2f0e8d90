/** Lineage: from anything back to what it was made from, and on to what was made of it. */
export { lineageRoutes } from "./routes.js";
export { createLineage } from "./service.js";
export type { LineageService } from "./types.js";
