/** Sweeps: a pipeline tried with many values of its params. */
export { sweepsRoutes } from "./routes.js";
export { createSweeps } from "./service.js";
