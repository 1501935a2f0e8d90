/** Explanation: what each feature gave to a prediction, for reason codes. */
export { explanationRoutes } from "./routes.js";
export { createExplanations } from "./service.js";
