/** Access: who may do what. */
export { createAccess } from "./service.js";
export type { Access, Role } from "./types.js";
