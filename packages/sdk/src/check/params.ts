import type { ParamSpec, ParamValue, PipelineSpec } from "../spec.js";
import type { Report } from "./report.js";

export function checkParams(pipeline: PipelineSpec, report: Report): void {
  const seen = new Set<string>();
  for (const param of pipeline.params) {
    const of = `the param "${param.name}" of the pipeline "${pipeline.name}"`;
    if (seen.has(param.name)) report(pipeline, `${of} is there twice`);
    seen.add(param.name);
    const number = param.type === "int" || param.type === "float";
    if (!number && (param.min !== undefined || param.max !== undefined)) report(pipeline, `${of} is of type ${param.type}: min and max are for numbers`);
    if (param.min !== undefined && param.max !== undefined && param.min > param.max)
      report(pipeline, `${of} has a min of ${param.min} above its max of ${param.max}`);
    if (param.type === "enum" && (param.values ?? []).length === 0) report(pipeline, `${of} is one of some values, and names none`);
    if (param.type !== "enum" && param.values !== undefined) report(pipeline, `${of} is of type ${param.type}: values are for enum`);
    if (param.default === undefined) continue;
    const wrong = wrongValue(param, param.default);
    if (wrong !== undefined) report(pipeline, `the default of ${of} is ${wrong}`);
  }
}

/** What is wrong with a value of a param, or undefined. */
export function wrongValue(param: Omit<ParamSpec, "name">, value: ParamValue): string | undefined {
  const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = param;
  const right = {
    string: () => typeof value === "string" && value.length <= 10_000,
    int: () => typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max,
    float: () => typeof value === "number" && Number.isFinite(value) && value >= min && value <= max,
    boolean: () => typeof value === "boolean",
    month: () => typeof value === "string" && (value === "latest" || /^[0-9]{4}-(0[1-9]|1[0-2])$/.test(value)),
    enum: () => typeof value === "string" && (param.values ?? []).includes(value),
    list: () => Array.isArray(value) && value.length <= 10_000,
  }[param.type]();
  return right ? undefined : `${JSON.stringify(value).slice(0, 200)}, not ${expected(param)}`;
}

/** What a param takes, in words. */
export function expected(param: Omit<ParamSpec, "name">): string {
  const { min, max } = param;
  const bounds = min === undefined ? (max === undefined ? "" : ` of at most ${max}`) : max === undefined ? ` of at least ${min}` : ` from ${min} to ${max}`;
  return {
    string: "a text of at most 10,000 characters",
    int: `a whole number${bounds}`,
    float: `a number${bounds}`,
    boolean: "true or false",
    month: "a month as 2013-03, or latest",
    enum: `one of ${(param.values ?? []).join(", ")}`,
    list: "a list of at most 10,000 texts or numbers",
  }[param.type];
}
