/** What a project's files import: definitions as plain values, checked by the compiler. */
export { checkProject } from "./check/index.js";
export { type CompileOptions, compile, ProjectError } from "./compile.js";
export * from "./define/index.js";
export { durationMs } from "./duration.js";
