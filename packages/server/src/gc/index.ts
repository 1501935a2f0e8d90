/** Real deletion: what was deleted a while ago, and the objects that nobody refers to any more. */
export { gcRoutes } from "./routes.js";
export { createGc } from "./service.js";
