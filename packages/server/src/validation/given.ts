import { checkProject, formProblem } from "@millrace/sdk";
import { type ProjectSpec, SchemaSpec } from "@millrace/sdk/spec";
import { Value } from "@sinclair/typebox/value";
import { invalid } from "../platform/index.js";

const none = { entities: [], featureViews: [], featureServices: [], pipelines: [], endpoints: [], monitors: [], triggers: [], files: [] };
const projectOf = (schemas: unknown[], datasets: ProjectSpec["datasets"]) => ({
  ...{ apiVersion: "millrace/v1" as const, name: "given", folder: "/", ...none, schemas, datasets },
});

/** A schema that a request brings along and no project need have, held to what a project's schemas are held to. */
export function givenSchema(value: unknown): SchemaSpec {
  const problem = formProblem(projectOf([value], []));
  if (problem !== undefined || !Value.Check(SchemaSpec, value)) throw invalid(`The schema is none: ${(problem ?? "").replace(/^\/schemas\/0/, "")}`);
  // The code of an expectation is looked up by its digest: a request that may read could have any object run.
  const code = value.expectations?.find((one) => "bundle" in one);
  if (code !== undefined)
    throw invalid(`The expectation "${code.name}" is a function: it runs in a schema that is applied. Apply the project, or leave it out.`);
  // Whether the datasets that it looks into are there is seen when it does.
  const others = new Set(Object.values(value.columns).flatMap(({ foundIn }) => (foundIn === undefined ? [] : [foundIn.dataset])));
  const datasets = [...others].map((name) => ({ name, mode: "append" as const }));
  const problems = checkProject({ ...projectOf([], datasets), schemas: [value] });
  if (problems.length > 0) throw invalid(problems.map(({ at, message }) => (at === undefined ? message : `${at}: ${message}`)).join("\n"));
  return value;
}
