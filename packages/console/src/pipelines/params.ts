/** Params of a run as a form has them: texts, and what they mean. */
import type { ParamSpec, ParamValue } from "@millrace/sdk/spec";

export type Texts = Record<string, string>;

export function textOf(value: ParamValue | undefined): string {
  if (value === undefined) return "";
  return Array.isArray(value) ? value.map((one) => String(one)).join("\n") : String(value);
}

/** The values that the texts mean, and by param what is wrong with them. What is left empty is the default. */
export function parsed(params: readonly ParamSpec[], texts: Texts): { values: Record<string, ParamValue>; problems: Record<string, string> } {
  const values: Record<string, ParamValue> = {};
  const problems: Record<string, string> = {};
  for (const param of params) {
    const text = texts[param.name] ?? "";
    if (text.trim() === "" && param.type !== "string" && param.type !== "list") {
      if (param.default === undefined) problems[param.name] = "It needs a value.";
      continue;
    }
    const value = meant(param, text);
    if (typeof value === "object" && !Array.isArray(value)) problems[param.name] = value.problem;
    else values[param.name] = value;
  }
  return { values, problems };
}

function meant(param: ParamSpec, text: string): ParamValue | { problem: string } {
  switch (param.type) {
    case "string":
      return text;
    case "int":
    case "float": {
      const value = Number(text);
      if (!Number.isFinite(value)) return { problem: "This is no number." };
      if (param.type === "int" && !Number.isSafeInteger(value)) return { problem: "This is no whole number." };
      if (param.min !== undefined && value < param.min) return { problem: `The least is ${param.min}.` };
      if (param.max !== undefined && value > param.max) return { problem: `The most is ${param.max}.` };
      return value;
    }
    case "boolean":
      return text === "true";
    case "month":
      return text === "latest" || /^\d{4}-(0[1-9]|1[0-2])$/.test(text) ? text : { problem: "Give a month as 2013-03, or latest." };
    case "enum":
      return (param.values ?? []).includes(text) ? text : { problem: `Choose one of ${(param.values ?? []).join(", ")}.` };
    case "list": {
      const lines = text.split("\n").map((line) => line.trim());
      const items = lines.filter((line) => line !== "");
      if (items.length > 10_000) return { problem: "A list has 10,000 items at most." };
      return areNumbers(param, items) ? items.map(Number) : items;
    }
  }
}
/** As its default has it; without one, where every line is a number. */
export function areNumbers({ default: like }: ParamSpec, items: readonly string[]): boolean {
  const numeric = items.every((item) => item !== "" && Number.isFinite(Number(item)));
  if (Array.isArray(like) && like.length > 0) return like.every((one) => typeof one === "number") && numeric;
  return items.length > 0 && numeric;
}
