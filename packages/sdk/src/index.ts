export { durationMs } from "./duration.js";
