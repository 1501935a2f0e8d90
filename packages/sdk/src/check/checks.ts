import type { CheckSpec } from "../define/check.js";
import { everyNode, isProcess, type NodeSpec, type PipelineSpec, type ProjectSpec } from "../spec.js";
import { wrongValue } from "./params.js";
import { type Report, unknown } from "./report.js";

/** What is wrong with what `millrace check` is to run: names that lead nowhere, values that are none. */
export function checkChecks(checks: readonly CheckSpec[], spec: ProjectSpec, report: Report): void {
  for (const one of checks) {
    const tell = (message: string) => report(one, `the check "${one.name}": ${message}`);
    if (!/^[a-zA-Z][a-zA-Z0-9_-]{0,59}$/.test(one.name)) tell('its name begins with a letter and has letters, digits, "_" and "-", at most 60 of them');
    const pipeline = spec.pipelines.find(({ name }) => name === one.pipeline);
    if (pipeline === undefined) {
      tell(unknown("pipeline", one.pipeline, names(spec.pipelines)));
      continue;
    }
    checkValues(one, pipeline, tell);
    const datasets = names(spec.datasets);
    const sizes = typeof one.sample === "object" ? Object.entries(one.sample) : [["", one.sample] as const];
    for (const [name, size] of sizes) {
      if (name !== "" && !datasets.includes(name)) tell(`sample: ${unknown("dataset", name, datasets)}`);
      if (size !== "all" && !(Number.isInteger(size) && size >= 1)) tell(`a sample is of a whole number of rows from 1 on, or "all", not ${size}`);
    }
    for (const name of Object.keys(one.data)) if (!datasets.includes(name)) tell(`data: ${unknown("dataset", name, datasets)}`);
    checkArtifacts(one, pipeline, tell);
    checkOverfit(one, pipeline, tell);
  }
}

type Tell = (message: string) => void;
const names = (of: readonly { name: string }[]): string[] => of.map(({ name }) => name);

function checkValues(one: CheckSpec, pipeline: PipelineSpec, tell: Tell): void {
  for (const [name, value] of [...Object.entries(one.params), ...Object.entries(one.overfits?.params ?? {})]) {
    const param = pipeline.params.find((declared) => declared.name === name);
    const wrong = param === undefined ? undefined : wrongValue(param, value);
    if (param === undefined) tell(unknown(`param of "${pipeline.name}"`, name, names(pipeline.params)));
    if (wrong !== undefined) tell(`the param "${name}" is ${wrong}`);
  }
  for (const { name, default: usual } of pipeline.params) {
    if (usual === undefined && one.params[name] === undefined) tell(`the pipeline "${pipeline.name}" needs its param "${name}", which has no default`);
  }
}

function checkArtifacts(one: CheckSpec, pipeline: PipelineSpec, tell: Tell): void {
  for (const [id, outputs] of Object.entries(one.artifacts)) {
    const node = stepOf(id, everyNode(pipeline.nodes), tell);
    if (node === undefined) continue;
    for (const [name, expected] of Object.entries(outputs)) {
      const output = node.outputs.find((declared) => declared.name === name);
      if (output === undefined) {
        tell(unknown(`output of the step "${id}"`, name, names(node.outputs)));
        continue;
      }
      const asked = (["minRows", "columns", "noNulls", "files", "metrics"] as const).filter((key) => expected[key] !== undefined);
      const known: readonly string[] =
        { table: ["minRows", "columns", "noNulls"], model: ["files"], metrics: ["metrics"], report: ["metrics"] }[output.type as string] ?? [];
      const strange = asked.find((key) => !known.includes(key));
      if (strange !== undefined) tell(`"${strange}" is nothing that a ${output.type} has, as "${id}" gives it by "${name}"`);
    }
  }
}

function checkOverfit({ overfits }: CheckSpec, pipeline: PipelineSpec, tell: Tell): void {
  if (overfits === undefined) return;
  const { step, rows = 10, reaches } = overfits;
  // A step in a map has no one value for the item that it is run for.
  const node = stepOf(step, pipeline.nodes, tell);
  if (node !== undefined && !isProcess(node)) tell(`the step "${step}" is of the kind ${node.kind}: what trains is a step of your own`);
  else if (node?.inputs !== undefined && !takesTable(node, pipeline))
    tell(`the step "${step}" takes no table, so there are no rows that it could learn by heart`);
  if (!(Number.isInteger(rows) && rows >= 1 && rows <= 10_000)) tell(`overfits: the rows are a whole number from 1 to 10,000, not ${rows}`);
  if (Object.keys(reaches).length === 0) tell("overfits: say which metric of the training is to come to what, as reaches: { train_loss: { max: 0.1 } }");
}

const takesTable = (node: NodeSpec, pipeline: PipelineSpec): boolean =>
  Object.values(node.inputs).some(
    (ref) =>
      "node" in ref && pipeline.nodes.some((other) => other.id === ref.node && other.outputs.some(({ name, type }) => name === ref.output && type === "table")),
  );

function stepOf(id: string, nodes: readonly NodeSpec[], tell: Tell): NodeSpec | undefined {
  const node = nodes.find((one) => one.id === id);
  if (node === undefined)
    tell(
      unknown(
        "step",
        id,
        nodes.map((one) => one.id),
      ),
    );
  return node;
}
