/** What a project's files import: definitions as plain values, checked by the compiler. */
export { formProblem } from "./check/form.js";
export { checkProject } from "./check/index.js";
export { rolloutProblems } from "./check/rollouts.js";
export { paramProblems, scheduleProblems } from "./check/schedules.js";
export { sweepProblems } from "./check/sweeps.js";
export { type CompileOptions, checksOf, compile, ProjectError } from "./compile.js";
export * from "./define/index.js";
export { durationMs } from "./duration.js";
export { expandScheduled, hasToken } from "./scheduled.js";
export { gridSize, gridValues } from "./search.js";
