/** What is needed to run a step again elsewhere, with the same inputs. */
import type { StepDebug } from "@millrace/sdk/api";
import type { Compute } from "../compute/index.js";
import { conflict } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import { isOver, type Model, stepOf } from "./model.js";
import { codeOf, requirementsOf } from "./process-step.js";
import { givenTo } from "./values.js";

export async function debugOf({ projects, compute }: { projects: Projects; compute: Compute }, model: Model, id: string): Promise<StepDebug | undefined> {
  const step = model.steps.get(id);
  if (step === undefined) return undefined;
  const missing = step.place.needs.find((need) => !isOver(stepOf(model, step, need)?.state ?? "waiting"));
  if (missing !== undefined) throw conflict(`The step "${id}" can't be run yet: it takes from ${missing}, which is not over.`);
  const { node } = step;
  const { run } = model;
  const { files } = await projects.version(run.project, run.project_version);
  const isProcess = node.kind === "python" || node.kind === "command" || node.kind === "typescript";
  const given = Object.entries(givenTo(model, step));
  const values = given.flatMap(([name, value]): [string, unknown][] => (value.kind === "value" ? [[name, value.value]] : []));
  return {
    ...{ run: run.id, step: id, kind: node.kind, node, project: run.project, projectVersion: run.project_version, commit: run.commit },
    inputs: Object.fromEntries(
      given.map(([name, value]) => [name, value.kind === "artifact" ? value.artifact : value.kind === "list" ? value.items : value.value]),
    ),
    params: Object.fromEntries(values),
    outputs: node.outputs,
    code: isProcess ? codeOf(node, files) : [],
    requirements: isProcess ? (requirementsOf(node, files) ?? null) : null,
    python: node.kind === "python" ? (await compute.python()).version : null,
    secrets: isProcess ? (node.secrets ?? []) : [],
    trackingRunId: run.tracking_run_id,
  };
}
