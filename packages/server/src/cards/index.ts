/** Cards: what is known of a model version, in one page for people. */
export { createCards } from "./gather.js";
export { cardRoutes } from "./routes.js";
