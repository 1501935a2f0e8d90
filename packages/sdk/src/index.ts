/** What a project's files import: definitions as plain values, checked by the compiler. */
export * from "./define/index.js";
export { durationMs } from "./duration.js";
