/** What each kind of step takes, gives and names. */
import type { ArtifactType, NodeSpec, ParamType, ProcessNode, ProjectSpec } from "../spec.js";
import { isProcess } from "../spec.js";
import { checkDuration, type Report, unknown } from "./report.js";

export interface Takes {
  type: ArtifactType | ParamType;
  many?: boolean;
  optional?: boolean;
}
/** Inputs of the kinds that have names of their own for them. */
const takes: { [K in NodeSpec["kind"]]?: Readonly<Record<string, Takes>> } = {
  read_dataset: { until: { type: "month", optional: true }, partition: { type: "string", optional: true } },
  write_dataset: { rows: { type: "table" } },
  split_by_group: { rows: { type: "table" } },
  split_by_hash: { rows: { type: "table" } },
  validate: { rows: { type: "table" } },
  historical_features: { rows: { type: "table" } },
  split_by_time: { rows: { type: "table" } },
  read_model: {},
  partitions: {},
  map: { over: { type: "list" } },
  approval: {},
  wait_event: {},
  evaluate: { model: { type: "model" }, rows: { type: "table" } },
  predict: { model: { type: "model" }, rows: { type: "table" } },
  register: { model: { type: "model" }, report: { type: "report" } },
};
/** Undefined where the step may be given anything. */
export const takenBy = (node: NodeSpec): Readonly<Record<string, Takes>> | undefined => (isProcess(node) ? node.takes : takes[node.kind]);

const gives: { [K in NodeSpec["kind"]]?: Readonly<Record<string, ArtifactType>> } = {
  read_dataset: { rows: "table" },
  write_dataset: { rows: "table", version: "json" },
  validate: { rows: "table", report: "report" },
  historical_features: { rows: "table" },
  split_by_time: { train: "table", test: "table" },
  read_model: { model: "model" },
  partitions: { keys: "json" },
  approval: { decision: "json" },
  wait_event: { event: "json" },
  evaluate: { report: "report" },
  predict: { rows: "table" },
  register: { version: "model_version" },
};

export function checkOutputs(node: NodeSpec, of: string, report: Report): void {
  const names = node.outputs.map((one) => one.name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) report(node, `${of} has the output "${twice}" twice`);
  const known = gives[node.kind];
  for (const { name, type } of known === undefined ? [] : node.outputs) {
    const right = known?.[name];
    if (right === undefined) report(node, `${of}: ${unknown("output", name, Object.keys(known ?? {}))}`);
    else if (right !== type) report(node, `${of} gives a ${right} as "${name}", not a ${type}`);
  }
  if (node.kind === "choose" && (names.length !== 1 || names[0] !== "value")) report(node, `${of} has one output, "value"`);
}

/** Whether what is given can be taken. A whole number is a number, and what is a JSON file can be read as one. */
export function fits(given: ArtifactType | ParamType, wanted: ArtifactType | ParamType): boolean {
  if (given === wanted) return true;
  if (wanted === "json") return given === "metrics" || given === "report" || given === "model_version" || given === "list";
  return (given === "int" && wanted === "float") || (given === "enum" && wanted === "string") || (given === "month" && wanted === "string");
}

export function checkOptions(node: NodeSpec, of: string, report: Report): void {
  checkDuration(`the timeout of ${of}`, node.timeout, node, report);
  checkDuration(`the first pause between attempts of ${of}`, node.retries?.wait, node, report);
  checkDuration(`the longest pause between attempts of ${of}`, node.retries?.longest, node, report);
  if (typeof node.cache === "object") checkDuration(`the time for which the outputs of ${of} are used again`, node.cache.for, node, report);
  if (isProcess(node) && node.resources?.memory !== undefined && !/^[1-9][0-9]{0,8}(MiB|GiB)$/.test(node.resources.memory))
    report(node, `the memory of ${of} is "${node.resources.memory}": write a whole number above 0 and MiB or GiB, as in "4GiB"`);
}

export function checkConfig(spec: ProjectSpec, node: NodeSpec, of: string, report: Report): void {
  const named = (what: string, name: string, list: readonly { name: string }[]) => {
    if (!list.some((one) => one.name === name)) report(node, `${of}: ${unknown(what, name, names(list))}`);
  };
  switch (node.kind) {
    case "read_dataset":
      if (node.inputs.until === undefined && node.inputs.partition === undefined) report(node, `${of} is given neither "until" nor "partition"`);
      if (node.inputs.until !== undefined && node.inputs.partition !== undefined) report(node, `${of} is given both "until" and "partition"`);
      named("dataset", node.config.dataset, spec.datasets);
      break;
    case "partitions":
    case "write_dataset":
      named("dataset", node.config.dataset, spec.datasets);
      break;
    case "validate":
      named("schema", node.config.schema, spec.schemas);
      break;
    case "split_by_group":
    case "split_by_hash":
      checkShares(node.config.shares, node, of, report);
      break;
    case "split_by_time":
      checkDuration(`"test" of ${of}`, node.config.test, node, report);
      checkDuration(`"train" of ${of}`, node.config.train, node, report);
      break;
    case "predict":
      if (node.config.service !== undefined) named("feature service", node.config.service, spec.featureServices);
      break;
    case "historical_features":
    case "evaluate":
      named("feature service", node.config.service, spec.featureServices);
      break;
    case "register":
      named("feature service", node.config.service, spec.featureServices);
      if (node.config.gates.length === 0) report(node, `${of} registers without a gate: name at least one`);
      break;
    case "approval":
      if (node.config.question.trim() === "") report(node, `${of} asks nothing: write the question that a person is to answer`);
      break;
    case "wait_event":
      if (!/^[a-z_]+\.[a-z_]+$/.test(node.config.type)) report(node, `${of} waits for "${node.config.type}": events have names as dataset.version_accepted`);
      break;
    case "python":
    case "command":
    case "typescript":
      checkProcess(spec, node, of, report);
      break;
    default:
  }
}

function checkShares(shares: readonly { name: string; share: number }[], node: NodeSpec, of: string, report: Report): void {
  const sum = shares.reduce((all, { share }) => all + share, 0);
  if (Math.abs(sum - 1) > 1e-9) report(node, `the shares of ${of} add up to ${sum}: they must add up to 1`);
  const known = names(shares);
  const missing = names(node.outputs).find((name) => !known.includes(name));
  if (missing !== undefined) report(node, `${of}: ${unknown("share", missing, known)}`);
}

const placeholder = /\{(inputs|outputs|params)\.([^{}]*)\}/g;
function checkProcess(spec: ProjectSpec, node: ProcessNode, of: string, report: Report): void {
  const { config } = node;
  const files: string[] = [];
  if ("requirements" in config && config.requirements !== undefined) files.push(config.requirements);
  if (node.kind === "typescript") files.push(node.config.bundle);
  if (node.kind === "command") {
    for (const [whole, what, name = ""] of node.config.command.flatMap((argument) => [...argument.matchAll(placeholder)])) {
      const there = what === "outputs" ? names(node.outputs) : Object.keys(node.inputs);
      if (!there.includes(name)) report(node, `${of} has ${whole} in its command: ${unknown(what === "outputs" ? "output" : "input", name, there)}`);
    }
    if (node.config.command[0] === "") report(node, `${of} names no program`);
  }
  const script = node.kind === "python" ? node.config.script : undefined;
  const module = script === undefined ? null : /^([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)$/.exec(script);
  if (script !== undefined && module === null) {
    if (script.includes(":")) report(node, `${of} names "${script}": write a script of the project, as train.py, or a function, as package.module:function`);
    else files.push(script);
  }
  for (const path of [...files, ...(node.code ?? [])]) {
    if (path.startsWith("/") || path.includes("\\") || path.split("/").includes(".."))
      report(node, `${of} names "${path}": write a path within the project's folder, with "/"`);
  }
  // A document without files is one that is looked at before the project's folder was.
  if (spec.files.length === 0) return;
  const there = new Set(spec.files.map((file) => file.path));
  for (const path of new Set([...files, ...(node.code ?? [])])) if (!there.has(path)) report(node, `${of} names "${path}", which is no file of the project`);
  if (module !== null) {
    const base = (module[1] ?? "").replaceAll(".", "/");
    if (!there.has(`${base}.py`) && !there.has(`${base}/__init__.py`)) report(node, `${of} names the module "${module[1]}": the project has no ${base}.py`);
  }
}

export const names = (list: readonly { name: string }[]): string[] => list.map((one) => one.name);
