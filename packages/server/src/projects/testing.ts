/** For tests: a project's definitions without the document around them. */
import type { Plan, ProjectVersion } from "@millrace/sdk/api";
import type { ProjectSpec } from "@millrace/sdk/spec";
import type { Projects } from "./types.js";

/** A whole document from what a test cares for. */
export function projectSpec(part: Partial<ProjectSpec>): ProjectSpec {
  return {
    apiVersion: "millrace/v1",
    name: "test",
    datasets: [],
    schemas: [],
    entities: [],
    featureViews: [],
    featureServices: [],
    pipelines: [],
    endpoints: [],
    monitors: [],
    triggers: [],
    files: [],
    folder: "/nowhere",
    ...part,
  };
}

/** Applies the definitions as the newest version of the project `test`, or of the one that `part` names. */
export function applyProject(projects: Projects, part: Partial<ProjectSpec>): Promise<Plan & ProjectVersion> {
  return projects.apply(projectSpec(part), "test");
}
