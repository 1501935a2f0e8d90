/** Compute: processes of users' code, each in an environment made from locked requirements. */
export { createCompute } from "./service.js";
export type { Compute, ScriptInput, ScriptOutput } from "./types.js";
