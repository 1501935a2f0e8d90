import type { ArtifactType, NodeSpec, ParamSpec, PipelineSpec, ProjectSpec } from "../spec.js";
import { checkDuration, type Report, unknown } from "./report.js";

/** What the kinds of steps take. */
const takes: Record<Exclude<NodeSpec["kind"], "python">, Record<string, ArtifactType | "month">> = {
  read_dataset: { until: "month" },
  validate: { rows: "table" },
  historical_features: { rows: "table" },
  split_by_time: { rows: "table" },
  evaluate: { model: "model", rows: "table" },
  register: { model: "model", report: "report" },
};

export function checkPipelines(spec: ProjectSpec, report: Report): void {
  for (const pipeline of spec.pipelines) {
    for (const param of pipeline.params) {
      if (param.default !== undefined) {
        const wrong = wrongValue(param, param.default);
        if (wrong !== undefined) report(pipeline, `the default of the param "${param.name}" of the pipeline "${pipeline.name}" is ${wrong}`);
      }
    }
    if (pipeline.nodes.length === 0) report(pipeline, `the pipeline "${pipeline.name}" has no steps`);
    pipeline.nodes.forEach((node, index) => {
      checkInputs(pipeline, node, index, report);
      checkConfig(spec, node, report);
    });
    checkCycles(pipeline, report);
  }
}

function checkInputs(pipeline: PipelineSpec, node: NodeSpec, index: number, report: Report): void {
  const of = `the step "${node.id}" of the pipeline "${pipeline.name}"`;
  if (pipeline.nodes.findIndex((one) => one.id === node.id) !== index) report(node, `${of} is there twice`);
  const needed = node.kind === "python" ? {} : takes[node.kind];
  for (const name of Object.keys(needed)) if (node.inputs[name] === undefined) report(node, `${of} is not given its input "${name}"`);
  for (const [name, input] of Object.entries(node.inputs)) {
    const wanted = needed[name];
    if (node.kind !== "python" && wanted === undefined) report(node, `${of} takes no input "${name}"`);
    let got: string | undefined;
    if ("node" in input) {
      const from = pipeline.nodes.find((one) => one.id === input.node);
      const output = from?.outputs.find((one) => one.name === input.output);
      if (from === undefined) report(node, `${of} takes "${name}" from a step that is not there: "${input.node}"`);
      else if (output === undefined) report(node, `${of}: ${unknown(`output of "${from.id}"`, input.output, names(from.outputs))}`);
      got = output?.type;
    } else if ("param" in input) {
      const param = pipeline.params.find((one) => one.name === input.param);
      if (param === undefined) report(node, `${of}: ${unknown("param", input.param, names(pipeline.params))}`);
      got = param?.type;
    } else if (wanted === "month") {
      const wrong = input.literal === null ? "missing" : wrongValue({ name, type: "month" }, input.literal);
      if (wrong !== undefined) report(node, `${of} has for "${name}" what is ${wrong}`);
      continue;
    } else got = "value";
    if (wanted !== undefined && got !== undefined && got !== wanted) report(node, `${of} takes a ${wanted} as "${name}" and is given a ${got}`);
  }
}

function checkConfig(spec: ProjectSpec, node: NodeSpec, report: Report): void {
  const named = (what: string, name: string, list: readonly { name: string }[]) => {
    if (!list.some((one) => one.name === name)) report(node, `the step "${node.id}": ${unknown(what, name, names(list))}`);
  };
  if (node.kind === "read_dataset") named("dataset", node.config.dataset, spec.datasets);
  else if (node.kind === "validate") named("schema", node.config.schema, spec.schemas);
  else if (node.kind === "split_by_time") {
    checkDuration(`"test" of the step "${node.id}"`, node.config.test, node, report);
    checkDuration(`"train" of the step "${node.id}"`, node.config.train, node, report);
  } else if (node.kind === "python") {
    checkDuration(`the timeout of the step "${node.id}"`, node.config.timeout, node, report);
    // A document without files is one that is looked at before the project's folder was.
    if (spec.files.length === 0) return;
    for (const path of [node.config.script, ...(node.config.requirements === undefined ? [] : [node.config.requirements])]) {
      if (!spec.files.some((file) => file.path === path)) report(node, `the step "${node.id}" names "${path}", which is no file of the project`);
    }
  } else {
    named("feature service", node.config.service, spec.featureServices);
    if (node.kind === "register" && node.config.gates.length === 0) report(node, `the step "${node.id}" registers without a gate: name at least one`);
  }
}

/** Also a step that takes from a later one: the order of the list is an order in which they can run. */
function checkCycles(pipeline: PipelineSpec, report: Report): void {
  const before = new Set<string>();
  for (const node of pipeline.nodes) {
    for (const input of Object.values(node.inputs)) {
      if ("node" in input && !before.has(input.node) && pipeline.nodes.some((one) => one.id === input.node)) {
        report(
          node,
          `the step "${node.id}" of the pipeline "${pipeline.name}" takes from "${input.node}", which stands after it or is it: steps go in a cycle`,
        );
      }
    }
    before.add(node.id);
  }
}

/** What is wrong with a value of a param, or undefined. */
export function wrongValue(param: ParamSpec, value: string | number | boolean): string | undefined {
  const right = {
    string: () => typeof value === "string",
    int: () => typeof value === "number" && Number.isSafeInteger(value),
    float: () => typeof value === "number" && Number.isFinite(value),
    boolean: () => typeof value === "boolean",
    month: () => typeof value === "string" && (value === "latest" || /^[0-9]{4}-(0[1-9]|1[0-2])$/.test(value)),
    enum: () => typeof value === "string" && (param.values ?? []).includes(value),
  }[param.type]();
  const expected = {
    string: "a text",
    int: "a whole number",
    float: "a number",
    boolean: "true or false",
    month: "a month as 2013-03, or latest",
    enum: `one of ${(param.values ?? []).join(", ")}`,
  }[param.type];
  return right ? undefined : `${JSON.stringify(value)}, not ${expected}`;
}

const names = (list: readonly { name: string }[]): string[] => list.map((one) => one.name);
