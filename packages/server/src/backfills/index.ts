/** Backfills: a run of a pipeline for each of many values of a param. */
export { backfillsRoutes } from "./routes.js";
export { createBackfills } from "./service.js";
