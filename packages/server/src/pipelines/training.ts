/** What a run trained a model on. */
import type { Artifact, RunDetail } from "@millrace/sdk/api";
import type { InputRef, NodeSpec } from "@millrace/sdk/spec";

/** The table that went into the step whose output the run registered as this model. */
export function trainingTable(run: RunDetail, model: string): Artifact | undefined {
  const register = run.spec.nodes.find((node) => node.kind === "register" && node.config.model === model);
  const trained = register?.inputs.model === undefined ? undefined : madeBy(run, register.inputs.model);
  for (const input of Object.values(trained?.inputs ?? {})) {
    if (!("node" in input)) continue;
    const artifact = run.steps.find((step) => step.id === input.node)?.outputs[input.output];
    if (artifact?.type === "table") return artifact;
  }
  return undefined;
}

/** The step that an output comes from: of the branches that `choose` joins, the one that was run. */
function madeBy(run: RunDetail, from: InputRef): NodeSpec | undefined {
  if (!("node" in from)) return undefined;
  const node = run.spec.nodes.find((one) => one.id === from.node);
  if (node?.kind !== "choose") return node;
  const ran = (input: InputRef) => "node" in input && Object.keys(run.steps.find((step) => step.id === input.node)?.outputs ?? {}).length > 0;
  const chosen = Object.values(node.inputs).find(ran);
  return chosen === undefined ? undefined : madeBy(run, chosen);
}
