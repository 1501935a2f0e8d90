import type { ParamSpec, PipelineSpec } from "@millrace/sdk/spec";
import { invalid } from "../platform/index.js";

export type ParamValue = string | number | boolean;
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
  const before = new Map<string, Set<string>>();
  const problems: string[] = [];
  for (const node of spec.nodes) {
    if (before.has(node.id)) problems.push(`Two steps are called "${node.id}".`);
    for (const [name, input] of Object.entries(node.inputs)) {
      const of = `The input "${name}" of the step "${node.id}"`;
      if ("param" in input && !spec.params.some((p) => p.name === input.param))
        problems.push(`${of} takes the param "${input.param}", which the pipeline does not have.`);
      if (!("node" in input)) continue;
      const outputs = before.get(input.node);
      if (outputs === undefined) problems.push(`${of} takes from the step "${input.node}", which does not stand before it.`);
      else if (!outputs.has(input.output))
        problems.push(`${of} takes the output "${input.output}" of the step "${input.node}", which gives ${[...outputs].join(", ") || "none"}.`);
    }
    before.set(node.id, new Set(node.outputs.map((o) => o.name)));
  }
  if (problems.length > 0) throw invalid(`The pipeline "${spec.name}" can't run. ${problems.join(" ")}`, { problems });
}

function parse(param: ParamSpec, value: ParamValue): ParamValue | undefined {
  switch (param.type) {
    case "string":
      return typeof value === "string" && value.length <= 10_000 ? value : undefined;
    case "int":
      return typeof value === "number" && Number.isSafeInteger(value) ? value : undefined;
    case "float":
      return typeof value === "number" && Number.isFinite(value) ? value : undefined;
    case "boolean":
      return typeof value === "boolean" ? value : undefined;
    case "month":
      return typeof value === "string" && (value === "latest" || month.test(value)) ? value : undefined;
    case "enum":
      return typeof value === "string" && (param.values ?? []).includes(value) ? value : undefined;
  }
}

function expected(param: ParamSpec): string {
  switch (param.type) {
    case "string":
      return "a text of at most 10,000 characters";
    case "int":
      return "a whole number";
    case "float":
      return "a number";
    case "boolean":
      return "true or false";
    case "month":
      return "a month as 2013-03, or latest";
    case "enum":
      return `one of ${(param.values ?? []).join(", ")}`;
  }
}
