/** Projects: what users define, version by version. Every other capability reads its definitions here. */
export { projectReferences } from "./references.js";
export { projectsRoutes } from "./routes.js";
export { createProjects } from "./service.js";
export type { Definition, DefinitionKind, ProjectSource, Projects } from "./types.js";
