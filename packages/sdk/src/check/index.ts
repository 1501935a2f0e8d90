/** What is wrong in a project's document beyond its form: names that lead nowhere, cycles, lengths of time, cron expressions. */
import type { CheckSpec } from "../define/check.js";
import type { Problem } from "../define/definition.js";
import type { ProjectSpec } from "../spec.js";
import { checkChecks } from "./checks.js";
import { checkDatasets, checkSchemas } from "./data.js";
import { checkEnvironments } from "./environments.js";
import { checkServices, checkViews } from "./features.js";
import { formProblem } from "./form.js";
import { checkInferenceGraphs } from "./graphs.js";
import { checkPipelines } from "./pipelines.js";
import { type Report, reporter } from "./report.js";
import { checkSchedules } from "./schedules.js";
import { checkEndpoints, checkMonitors, checkTriggers } from "./serving.js";
import { checkSweeps } from "./sweeps.js";

/** In the order of the document; empty where the project can be applied. */
export function checkProject(spec: ProjectSpec): Problem[] {
  const { report, problems } = reporter();
  checkNames(spec, report);
  checkSchemas(spec, report);
  checkDatasets(spec, report);
  checkViews(spec, report);
  checkServices(spec, report);
  checkPipelines(spec, report);
  checkEndpoints(spec, report);
  checkInferenceGraphs(spec, report);
  checkMonitors(spec, report);
  checkTriggers(spec, report);
  checkSchedules(spec, report);
  checkSweeps(spec, report);
  checkEnvironments(spec, report);
  if (problems.length === 0) checkForm(spec, report);
  return problems;
}

/** The same of what `millrace check` is to run, which is not in the document. */
export function problemsOfChecks(checks: readonly CheckSpec[], spec: ProjectSpec): Problem[] {
  const { report, problems } = reporter();
  checkChecks(checks, spec, report);
  return problems;
}

interface Named {
  name: string;
  definedAt?: string;
}
const name = /^[a-zA-Z][a-zA-Z0-9_-]{0,99}$/;
function checkNames(spec: ProjectSpec, report: Report): void {
  const lists: readonly (readonly [string, readonly Named[]])[] = [
    ["dataset", spec.datasets],
    ["schema", spec.schemas],
    ["entity", spec.entities],
    ["feature view", spec.featureViews],
    ["feature service", spec.featureServices],
    ["pipeline", spec.pipelines],
    ["endpoint", spec.endpoints],
    ["inference graph", spec.inferenceGraphs ?? []],
    ["monitor", spec.monitors],
    ["trigger", spec.triggers],
    ["schedule", spec.schedules ?? []],
    ["sweep", spec.sweeps ?? []],
    ["model card", spec.modelCards ?? []],
    ["environment", spec.environments ?? []],
  ];
  checkName("project", { name: spec.name }, report);
  for (const [kind, definitions] of lists) {
    const seen = new Set<string>();
    for (const definition of definitions) {
      checkName(kind, definition, report);
      if (seen.has(definition.name)) report(definition, `the ${kind} "${definition.name}" is defined twice`);
      seen.add(definition.name);
    }
  }
}
function checkName(kind: string, definition: Named, report: Report): void {
  if (!name.test(definition.name)) {
    report(definition, `"${definition.name}" can't name a ${kind}: names begin with a letter and have letters, digits, "_" and "-", at most 100 of them`);
  }
}

/** What no other check found, in the words of the form. */
function checkForm(spec: ProjectSpec, report: Report): void {
  const problem = formProblem(spec);
  if (problem !== undefined) report({}, `the document is not well formed: ${problem}`);
}
