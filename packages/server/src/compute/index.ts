/** Compute: processes of users' code, each in an environment made from locked requirements. */
export type { Job, JobEnd, JobFile, JobInput } from "./backend.js";
export { placeFiles } from "./files.js";
export { prepareStep } from "./here.js";
export { stepEnvironment } from "./inherited.js";
export { limits, OutputError, pythonCommand } from "./layout.js";
export { computeRoutes } from "./routes.js";
export type { CheckRows } from "./row-checks.js";
export { createCompute } from "./service.js";
export type { Compute, Interpreter } from "./types.js";
