/** Secrets: values that steps are given by name, and that nobody is ever answered. */
export { secretsRoutes } from "./routes.js";
export { createSecrets } from "./service.js";
export type { Secrets } from "./types.js";
