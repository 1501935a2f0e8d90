/** Compute: processes of users' code, each in an environment made from locked requirements. */
export type { Backend, Job, JobEnd, JobFile, JobInput, JobOutcome, JsonValue, Watch } from "./backend.js";
export { limits, OutputError, outputPath, pythonCommand } from "./layout.js";
export { computeRoutes } from "./routes.js";
export { createCompute } from "./service.js";
export type { Compute, ScriptInput, ScriptOutput } from "./types.js";
