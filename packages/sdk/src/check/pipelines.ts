/** What is wrong in pipelines: steps that are not there, cycles, types that don't fit, what stands outside of its scope. */
import type { ArtifactType, InputRef, MapNode, NodeSpec, ParamType, PipelineSpec, ProjectSpec, WhenSpec } from "../spec.js";
import { everyNode, isProcess, needsOf } from "../spec.js";
import { checkParams, wrongValue } from "./params.js";
import { type Report, unknown } from "./report.js";
import { checkConfig, checkOptions, checkOutputs, fits, names, takenBy } from "./steps.js";

const mostNodes = 2_000;
const deepestMaps = 3;

/** What can be named at a place: the steps that stand before it, and the maps that it is in. */
interface Scope {
  spec: ProjectSpec;
  pipeline: PipelineSpec;
  before: ReadonlyMap<string, NodeSpec>;
  /** All ids of the pipeline: to say why one that is there can't be named. */
  everywhere: ReadonlySet<string>;
  maps: readonly string[];
  report: Report;
}
/** The type of what a ref stands for; `value` where only the run knows. */
interface Given {
  type: ArtifactType | ParamType | "value";
  many: boolean;
}

export function checkPipelines(spec: ProjectSpec, report: Report): void {
  for (const pipeline of spec.pipelines) {
    checkParams(pipeline, report);
    if (pipeline.nodes.length === 0) report(pipeline, `the pipeline "${pipeline.name}" has no steps`);
    const all = everyNode(pipeline.nodes);
    if (all.length > mostNodes) report(pipeline, `the pipeline "${pipeline.name}" has ${all.length} steps: at most ${mostNodes} can be`);
    const seen = new Set<string>();
    for (const node of all) {
      if (seen.has(node.id)) report(node, `the step "${node.id}" of the pipeline "${pipeline.name}" is there twice`);
      seen.add(node.id);
    }
    checkNodes(pipeline.nodes, { spec, pipeline, before: new Map(), everywhere: seen, maps: [], report });
  }
  checkGroups(spec, report);
}

function checkNodes(nodes: readonly NodeSpec[], scope: Scope): ReadonlyMap<string, NodeSpec> {
  const before = new Map(scope.before);
  for (const node of nodes) {
    const here = { ...scope, before };
    const of = `the step "${node.id}" of the pipeline "${scope.pipeline.name}"`;
    checkInputs(node, of, here);
    for (const id of node.after ?? []) nodeAt(id, `${of} stands after`, node, here);
    for (const condition of node.when ?? []) checkCondition(condition, node, of, here);
    checkOutputs(node, of, scope.report);
    checkOptions(node, of, scope.report);
    checkConfig(scope.spec, node, of, scope.report);
    if (node.kind === "map") checkMap(node, of, here);
    before.set(node.id, node);
  }
  return before;
}

function checkInputs(node: NodeSpec, of: string, scope: Scope): void {
  const { report } = scope;
  const takes = takenBy(node);
  for (const [name, { optional }] of Object.entries(takes ?? {})) {
    if (node.inputs[name] === undefined && optional !== true) report(node, `${of} is not given its input "${name}"`);
  }
  if (node.kind === "choose" && Object.keys(node.inputs).length === 0) report(node, `${of} has nothing to choose from`);
  for (const [name, ref] of Object.entries(node.inputs)) {
    const wanted = takes?.[name];
    if (takes !== undefined && wanted === undefined) {
      report(node, `${of} takes no input "${name}"${Object.keys(takes).length === 0 ? "" : `: it takes ${Object.keys(takes).join(", ")}`}`);
    }
    const given = typeOf(ref, `${of} takes "${name}" from`, node, scope);
    if (given === undefined) continue;
    if (node.kind === "choose") {
      const type = node.outputs[0]?.type;
      if (type !== undefined && (given.type !== type || given.many)) report(node, `${of} gives a ${type} and has ${words(given)} as "${name}"`);
      continue;
    }
    if (wanted === undefined) continue;
    if ("literal" in ref && isParamType(wanted.type)) {
      // Null stands for a value that was left out.
      const wrong =
        ref.literal === null ? undefined : wrongValue({ type: wanted.type, ...(wanted.type === "enum" ? { values: [String(ref.literal)] } : {}) }, ref.literal);
      if (wrong !== undefined) report(node, `${of} has for "${name}" what is ${wrong}`);
    } else if (node.kind === "map") {
      if (given.type !== "list" && given.type !== "json" && given.type !== "value")
        report(node, `${of} goes over ${words(given)}: it takes a list or a JSON array`);
    } else if (!matches(given, wanted)) report(node, `${of} takes ${words({ many: false, ...wanted })} as "${name}" and is given ${words(given)}`);
  }
}

function matches(given: Given, wanted: { type: ArtifactType | ParamType; many?: boolean }): boolean {
  if (given.many !== (wanted.many ?? false)) return false;
  // What an item of a list is, and what a JSON file holds, is known when the step runs.
  if (given.type === "value" || (given.type === "json" && isParamType(wanted.type))) return isParamType(wanted.type) || wanted.type === "json";
  return fits(given.type, wanted.type);
}
const words = ({ type, many }: Given): string =>
  many ? `a list of ${type}s, as a map gives it,` : type === "value" ? "a value" : /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;

const paramTypes: readonly string[] = ["string", "int", "float", "boolean", "month", "enum", "list"] satisfies ParamType[];
const isParamType = (type: string): type is ParamType => paramTypes.includes(type);

/** The type that a ref has, or undefined where it leads nowhere and that was reported. */
function typeOf(ref: InputRef, where: string, node: NodeSpec, scope: Scope): Given | undefined {
  if ("literal" in ref) return { type: Array.isArray(ref.literal) ? "list" : "value", many: false };
  if ("param" in ref) {
    const param = scope.pipeline.params.find((one) => one.name === ref.param);
    if (param === undefined) scope.report(node, `${where} a param that is not there: ${unknown("param", ref.param, names(scope.pipeline.params))}`);
    return param === undefined ? undefined : { type: param.type, many: false };
  }
  if ("item" in ref) {
    if (scope.maps.includes(ref.item)) return { type: "value", many: false };
    scope.report(node, `${where} the item of the map "${ref.item}", whose body it is not in`);
    return undefined;
  }
  const from = nodeAt(ref.node, where, node, scope);
  if (from === undefined) return undefined;
  const output = from.outputs.find((one) => one.name === ref.output);
  if (output === undefined) {
    scope.report(node, `${where} the step "${from.id}": ${unknown("output", ref.output, names(from.outputs))}`);
    return undefined;
  }
  return { type: output.type, many: from.kind === "map" };
}

function nodeAt(id: string, where: string, node: NodeSpec, scope: Scope): NodeSpec | undefined {
  const found = scope.before.get(id);
  if (found !== undefined) return found;
  const local = [...scope.before.keys()];
  if (!scope.everywhere.has(id)) scope.report(node, `${where} a step that is not there: ${unknown("step", id, local)}`);
  else if (within(id, scope.pipeline.nodes)) scope.report(node, `${where} "${id}", which is in the body of a map: take it from what the map gives`);
  else {
    const cycle = cycleOf(node.id, id, scope.pipeline);
    if (id === node.id) scope.report(node, `${where} "${id}", which is itself: a step takes from those before it`);
    else if (cycle !== undefined) scope.report(node, `${where} "${id}": steps go in a cycle, ${cycle.map((one) => `"${one}"`).join(" needs ")}`);
    else scope.report(node, `${where} "${id}", which stands after it: list the steps in the order in which they run, "${id}" before "${node.id}"`);
  }
  return undefined;
}
/** The way back from what a step needs to that step, both ends included, where there is one. */
function cycleOf(node: string, needed: string, pipeline: PipelineSpec): string[] | undefined {
  const needs = new Map(everyNode(pipeline.nodes).map((one) => [one.id, needsOf(one)]));
  const cameFrom = new Map<string, string>([[needed, node]]);
  for (const id of cameFrom.keys()) {
    for (const next of needs.get(id) ?? []) {
      if (next === node) {
        const way = [node];
        for (let at = id; at !== node; at = cameFrom.get(at) ?? node) way.unshift(at);
        return [node, ...way];
      }
      if (!cameFrom.has(next)) cameFrom.set(next, id);
    }
  }
  return undefined;
}
const within = (id: string, nodes: readonly NodeSpec[]): boolean => !nodes.some((node) => node.id === id);

function checkCondition(condition: WhenSpec, node: NodeSpec, of: string, scope: Scope): void {
  const given = typeOf(condition.of, `a condition of ${of} looks at`, node, scope);
  if (given === undefined) return;
  const json = given.type === "json" || given.type === "metrics" || given.type === "report" || given.type === "value";
  if ("literal" in condition.of) scope.report(node, `a condition of ${of} looks at a constant: it holds always or never`);
  else if (given.many) scope.report(node, `a condition of ${of} looks at ${words(given)} where one value is needed`);
  else if (!json && !isParamType(given.type))
    scope.report(node, `a condition of ${of} looks at ${words(given)}: it can look at params, items, JSON, metrics and reports`);
  else if (!json && condition.path !== undefined) scope.report(node, `a condition of ${of} looks into a param at "${condition.path}": a param has no parts`);
  if (typeof condition.value === "boolean" && condition.is !== "equal" && condition.is !== "not_equal")
    scope.report(node, `a condition of ${of} asks whether something is ${condition.is} than ${condition.value}: true and false have no order`);
}

function checkMap(node: MapNode, of: string, scope: Scope): void {
  if (scope.maps.length >= deepestMaps) scope.report(node, `${of} is a map within ${scope.maps.length} others: at most ${deepestMaps} go into each other`);
  const inside = checkNodes(node.config.body, { ...scope, maps: [...scope.maps, node.id] });
  const body = new Map(node.config.body.map((one) => [one.id, one]));
  for (const { name, type } of node.outputs) {
    const from = node.config.gives[name];
    if (from === undefined) {
      scope.report(node, `${of} has the output "${name}" and does not say which step of its body gives it`);
      continue;
    }
    const giver = body.get(from.node);
    const output = giver?.outputs.find((one) => one.name === from.output);
    if (giver === undefined)
      scope.report(node, `${of} gives "${name}" from "${from.node}", which is no step of its body${inside.has(from.node) ? ", but stands outside" : ""}`);
    else if (output === undefined) scope.report(node, `${of} gives "${name}": ${unknown(`output of "${giver.id}"`, from.output, names(giver.outputs))}`);
    else if (giver.kind === "map")
      scope.report(node, `${of} gives "${name}" from a map in its body, which would be lists in a list: join them in a step of the body`);
    else if (output.type !== type) scope.report(node, `${of} gives "${name}" as a ${type}; "${giver.id}" makes a ${output.type}`);
  }
  for (const name of Object.keys(node.config.gives)) {
    if (!node.outputs.some((one) => one.name === name)) scope.report(node, `${of} gives "${name}", which is not among its outputs`);
  }
}

/** A group is one of the whole server: two limits would each be wrong half of the time. */
function checkGroups(spec: ProjectSpec, report: Report): void {
  const limits = new Map<string, number>();
  for (const node of spec.pipelines.flatMap((pipeline) => everyNode(pipeline.nodes))) {
    if (!isProcess(node) || node.group === undefined) continue;
    const { name, limit } = node.group;
    const other = limits.get(name);
    if (other !== undefined && other !== limit)
      report(node, `the step "${node.id}" lets ${limit} of the group "${name}" run at a time, another step ${other}: a group has one limit`);
    limits.set(name, limit);
  }
}
