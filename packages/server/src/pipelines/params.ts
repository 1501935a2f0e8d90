import type { InputRef, NodeSpec, ParamSpec, ParamValue, PipelineSpec } from "@millrace/sdk/spec";
import { invalid } from "../platform/index.js";

const month = /^[0-9]{4}-(0[1-9]|1[0-2])$/;

/** The value of every param of the pipeline: as given, else its default. Throws a 400 that names each param that is wrong. */
export function checkParams(spec: PipelineSpec, given: Record<string, ParamValue>): Record<string, ParamValue> {
  const problems: string[] = [];
  const values: Record<string, ParamValue> = {};
  for (const param of spec.params) {
    const value = given[param.name] ?? param.default;
    if (value === undefined) {
      problems.push(`"${param.name}" is missing: give ${expected(param)}.`);
      continue;
    }
    const parsed = parse(param, value);
    if (parsed === undefined) problems.push(`"${param.name}" is ${JSON.stringify(value)}: give ${expected(param)}.`);
    else values[param.name] = parsed;
  }
  const known = spec.params.map((p) => p.name);
  for (const name of Object.keys(given)) {
    if (!known.includes(name)) problems.push(`"${name}" is no param of it: ${known.length === 0 ? "it takes none" : `it takes ${known.join(", ")}`}.`);
  }
  if (problems.length > 0) throw invalid(`The params of the pipeline "${spec.name}" are wrong. ${problems.join(" ")}`, { problems });
  return values;
}

/** What the form of a pipeline does not say, and a document written by hand may get wrong: every input comes from somewhere. Throws a 400. */
export function checkWiring(spec: PipelineSpec): void {
  const problems: string[] = [];
  const ids = new Set<string>();
  const params = new Set(spec.params.map((param) => param.name));
  /** `before` are the outputs of the steps that stand before, here or around; `maps` are those around. */
  const check = (nodes: NodeSpec[], around: Map<string, string[]>, maps: string[]): void => {
    const before = new Map(around);
    for (const node of nodes) {
      if (ids.has(node.id)) problems.push(`Two steps are called "${node.id}".`);
      ids.add(node.id);
      for (const id of node.after ?? [])
        if (!before.has(id)) problems.push(`The step "${node.id}" comes after the step "${id}", which does not stand before it.`);
      const refs: [string, InputRef][] = [
        ...Object.entries(node.inputs).map(([name, ref]): [string, InputRef] => [`The input "${name}"`, ref]),
        ...(node.when ?? []).map((when): [string, InputRef] => ["A condition", when.of]),
      ];
      for (const [what, ref] of refs) {
        const of = `${what} of the step "${node.id}"`;
        if ("param" in ref && !params.has(ref.param)) problems.push(`${of} takes the param "${ref.param}", which the pipeline does not have.`);
        if ("item" in ref && !maps.includes(ref.item)) problems.push(`${of} takes the item of the map "${ref.item}", in which it does not stand.`);
        if (!("node" in ref)) continue;
        const outputs = before.get(ref.node);
        if (outputs === undefined) problems.push(`${of} takes from the step "${ref.node}", which does not stand before it.`);
        else if (!outputs.includes(ref.output))
          problems.push(`${of} takes the output "${ref.output}" of the step "${ref.node}", which gives ${outputs.join(", ") || "none"}.`);
      }
      if (node.kind === "map") {
        check(node.config.body, before, [...maps, node.id]);
        for (const [name, { node: from, output }] of Object.entries(node.config.gives)) {
          const found = node.config.body.find((inner) => inner.id === from);
          if (!found?.outputs.some((one) => one.name === output))
            problems.push(`The map "${node.id}" gives as "${name}" the output "${output}" of the step "${from}", which its body does not have.`);
        }
      }
      before.set(
        node.id,
        node.outputs.map((output) => output.name),
      );
    }
  };
  check(spec.nodes, new Map(), []);
  if (problems.length > 0) throw invalid(`The pipeline "${spec.name}" can't run. ${problems.join(" ")}`, { problems });
}

function parse(param: ParamSpec, value: ParamValue): ParamValue | undefined {
  switch (param.type) {
    case "string":
      return typeof value === "string" && value.length <= 10_000 ? value : undefined;
    case "int":
      return typeof value === "number" && Number.isSafeInteger(value) && isWithin(param, value) ? value : undefined;
    case "float":
      return typeof value === "number" && Number.isFinite(value) && isWithin(param, value) ? value : undefined;
    case "boolean":
      return typeof value === "boolean" ? value : undefined;
    case "month":
      return typeof value === "string" && (value === "latest" || month.test(value)) ? value : undefined;
    case "enum":
      return typeof value === "string" && (param.values ?? []).includes(value) ? value : undefined;
    case "list":
      return Array.isArray(value) && value.length <= 10_000 && value.every(isItem) ? value : undefined;
  }
}
const isItem = (value: string | number): boolean => (typeof value === "number" ? Number.isFinite(value) : value.length <= 10_000);
const isWithin = ({ min = -Infinity, max = Infinity }: ParamSpec, value: number): boolean => value >= min && value <= max;
function bounds({ min, max }: ParamSpec): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
  return min !== undefined ? ` of at least ${min}` : max !== undefined ? ` of at most ${max}` : "";
}

function expected(param: ParamSpec): string {
  switch (param.type) {
    case "string":
      return "a text of at most 10,000 characters";
    case "int":
      return `a whole number${bounds(param)}`;
    case "float":
      return `a number${bounds(param)}`;
    case "boolean":
      return "true or false";
    case "month":
      return "a month as 2013-03, or latest";
    case "enum":
      return `one of ${(param.values ?? []).join(", ")}`;
    case "list":
      return "a list of at most 10,000 texts or numbers";
  }
}
