import { checkProject, problemsOfChecks } from "./check/index.js";
import type { CheckSpec } from "./define/check.js";
import { type Definition, listOf, type Problem, type SpecList, type SpecOf } from "./define/definition.js";
import type { Project } from "./define/project.js";
import type { ProjectSpec } from "./spec.js";

/** What is wrong in a project, all of it: one line each, `file:line: what`. */
export class ProjectError extends Error {
  override readonly name = "ProjectError";
  constructor(readonly problems: readonly Problem[]) {
    super(problems.map(({ at, message }) => (at === undefined ? message : `${at}: ${message}`)).join("\n"));
  }
}

export interface CompileOptions {
  /** The project's folder, absolute. Places in files are told relative to it. */
  folder: string;
  /** The project's code. */
  files?: ProjectSpec["files"];
  source?: ProjectSpec["source"];
}

/** The document of a project's definitions. Throws a ProjectError where something is wrong. */
export function compile(project: Project, { folder, files = [], source }: CompileOptions): ProjectSpec {
  const root = folder.endsWith("/") ? folder : `${folder}/`;
  const spec: ProjectSpec = {
    apiVersion: "millrace/v1",
    name: project.name,
    datasets: of(project, "datasets"),
    schemas: of(project, "schemas"),
    entities: of(project, "entities"),
    featureViews: of(project, "featureViews"),
    featureServices: of(project, "featureServices"),
    pipelines: of(project, "pipelines"),
    endpoints: of(project, "endpoints"),
    inferenceGraphs: of(project, "inferenceGraphs"),
    monitors: of(project, "monitors"),
    triggers: of(project, "triggers"),
    schedules: of(project, "schedules"),
    sweeps: of(project, "sweeps"),
    modelCards: of(project, "modelCards"),
    environments: of(project, "environments"),
    files: [...files],
    ...(source === undefined ? {} : { source }),
    folder,
  };
  const local = relativePlaces(spec, root);
  const problems = [
    ...project.problems.map((problem) => relativePlaces(problem, root)),
    ...checkProject(local),
    ...problemsOfChecks(checksOf(project, { folder }), local),
  ];
  // A definition that leads nowhere is found by its builder and in the document: once is enough.
  const told = new Set<string>();
  const distinct = problems.filter(({ at, message }) => !told.has(`${at} ${message}`) && told.add(`${at} ${message}`));
  if (distinct.length > 0) throw new ProjectError(distinct);
  return local;
}

/** What `millrace check` runs, beside the document. */
export const checksOf = (project: Project, { folder }: Pick<CompileOptions, "folder">): CheckSpec[] =>
  project.checks.map(({ spec }) => relativePlaces(spec, folder.endsWith("/") ? folder : `${folder}/`));

function of<L extends SpecList>(project: Project, list: L): SpecOf<L>[] {
  const ofList = (definition: Definition): definition is Definition<L> => listOf(definition) === list;
  return project.definitions.filter(ofList).map((definition) => definition.spec);
}

/** The value with every place in a file below the root told relative to it. */
function relativePlaces<T>(value: T, root: string): T {
  return JSON.parse(JSON.stringify(value), (key, inner: unknown) =>
    (key === "definedAt" || key === "at" || key === "bundle") && typeof inner === "string" && inner.startsWith(root) ? inner.slice(root.length) : inner,
  ) as T;
}
