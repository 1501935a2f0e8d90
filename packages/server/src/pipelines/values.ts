/** What a step is given: from params, literals, items of maps and what earlier steps gave. */
import { readFile } from "node:fs/promises";
import type { Artifact } from "@millrace/sdk/api";
import type { InputRef, WhenSpec } from "@millrace/sdk/spec";
import type { Platform } from "../platform/index.js";
import { asDigest } from "./artifacts.js";
import { type Json, unkept } from "./json.js";
import { isGood, isOver, itemOf, type Model, type ModelStep, stepOf } from "./model.js";
import type { Item } from "./rows.js";
import type { Given } from "./step.js";

const mostItems = 10_000;
const largestItem = 64 * 1024;

/** The definition asks for what can't be: the step fails with this. */
export class WiringError extends Error {
  override readonly name = "WiringError";
}

/** Undefined where the step that it would come from was not run. */
export function resolve(model: Model, step: ModelStep, ref: InputRef): Given | undefined {
  if ("param" in ref) {
    const value = model.run.params[ref.param];
    if (value === undefined) throw new WiringError(`The pipeline has no param "${ref.param}", which the step "${step.id}" takes.`);
    return { kind: "value", value };
  }
  if ("literal" in ref) return { kind: "value", value: ref.literal };
  if ("item" in ref) {
    const item = itemOf(step, ref.item);
    if (item === undefined) throw new WiringError(`The step "${step.id}" takes the item of the map "${ref.item}", in which it does not stand.`);
    return "artifact" in item ? { kind: "artifact", artifact: item.artifact } : { kind: "value", value: item.value };
  }
  const from = stepOf(model, step, ref.node);
  if (from === undefined) throw new WiringError(`The step "${step.id}" takes from the step "${ref.node}", which is not there.`);
  return outputOf(model, from, ref.output, step.id);
}

function outputOf(model: Model, from: ModelStep, output: string, taker: string): Given | undefined {
  if (!isOver(from.state) || !isGood(from.state)) return undefined;
  if (from.node.kind === "choose") return chosen(model, from);
  if (from.node.kind === "map") return { kind: "list", items: listOf(model, from, output) };
  const artifact = from.outputs[output];
  if (artifact !== undefined) return { kind: "artifact", artifact };
  if (from.node.kind === "read_model") return { kind: "value", value: null };
  throw new WiringError(`The step "${from.id}" has no output "${output}", which the step "${taker}" takes.`);
}

/** The first of a choice that is there. */
export function chosen(model: Model, step: ModelStep): Given | undefined {
  for (const ref of Object.values(step.node.inputs)) {
    const value = resolve(model, step, ref);
    if (value !== undefined && !(value.kind === "value" && value.value === null)) return value;
  }
  return undefined;
}

/** One for each item, in the order of the items; those of maps within come one after the other. What a condition left out is not among them. */
function listOf(model: Model, map: ModelStep, output: string): Artifact[] {
  if (map.node.kind !== "map") return [];
  const gives = map.node.config.gives[output];
  if (gives === undefined) throw new WiringError(`The map "${map.id}" gives no output "${output}".`);
  const list: Artifact[] = [];
  for (let index = 0; index < (map.items?.list.length ?? 0); index++) {
    const child = model.steps.get(`${map.id}[${index}].${gives.node}`);
    const value = child === undefined ? undefined : outputOf(model, child, gives.output, map.id);
    if (value?.kind === "artifact") list.push(value.artifact);
    else if (value?.kind === "list") list.push(...value.items);
  }
  return list;
}

/** All that the step takes, by input. */
export function givenTo(model: Model, step: ModelStep): Record<string, Given> {
  return Object.fromEntries(Object.entries(step.node.inputs).map(([name, ref]) => [name, resolve(model, step, ref) ?? { kind: "value", value: null }]));
}

/** What a JSON, metrics or report artifact holds. */
export async function jsonOf(platform: Pick<Platform, "objects">, artifact: Artifact): Promise<Json> {
  if (artifact.type === "model_version") return artifact.meta as Json;
  if ("value" in artifact.meta) return artifact.meta.value as Json;
  const file = artifact.files[0];
  if (file === undefined || (artifact.type !== "json" && artifact.type !== "metrics" && artifact.type !== "report"))
    throw new WiringError(`A ${artifact.type} has no value that could be looked at.`);
  return JSON.parse(await readFile(await platform.objects.localPath(asDigest(file.digest)), "utf8")) as Json;
}

/** What is not so, or undefined where all conditions hold. */
export async function unmet(platform: Pick<Platform, "objects">, model: Model, step: ModelStep): Promise<string | undefined> {
  for (const when of step.node.when ?? []) {
    const given = resolve(model, step, when.of);
    if (given === undefined || given.kind === "list") throw new WiringError(`A condition of the step "${step.id}" looks at what is no single value.`);
    const whole = given.kind === "artifact" ? await jsonOf(platform, given.artifact) : given.value;
    const value = at(whole, when.path);
    if (value === undefined) throw new WiringError(`A condition of the step "${step.id}" looks at "${when.path}", which ${sourceOf(when.of)} does not have.`);
    if (!holds(value, when)) return `${when.path ?? sourceOf(when.of)} is ${shown(value)}, and it runs where that is ${words[when.is]} ${shown(when.value)}`;
  }
  return undefined;
}
const words: Record<WhenSpec["is"], string> = {
  equal: "equal to",
  not_equal: "not",
  less: "less than",
  less_or_equal: "at most",
  greater: "greater than",
  greater_or_equal: "at least",
};
const shown = (value: Json): string => {
  const text = JSON.stringify(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
};
function sourceOf(ref: InputRef): string {
  if ("param" in ref) return `the param ${ref.param}`;
  if ("node" in ref) return `${ref.output} of ${ref.node}`;
  return "item" in ref ? "the item" : "the value";
}
function at(value: Json, path: string | undefined): Json | undefined {
  let found: Json | undefined = value;
  for (const part of path === undefined || path === "" ? [] : path.split(".")) {
    if (found === null || typeof found !== "object" || !Object.hasOwn(found, part)) return undefined;
    found = Array.isArray(found) ? found[Number(part)] : found[part];
  }
  return found;
}
function holds(value: Json, when: WhenSpec): boolean {
  if (when.is === "equal") return value === when.value;
  if (when.is === "not_equal") return value !== when.value;
  if (typeof value !== typeof when.value || (typeof value !== "number" && typeof value !== "string"))
    throw new WiringError(`${shown(value)} and ${shown(when.value)} can't be compared: give two numbers or two texts.`);
  switch (when.is) {
    case "less":
      return value < when.value;
    case "less_or_equal":
      return value <= when.value;
    case "greater":
      return value > when.value;
    case "greater_or_equal":
      return value >= when.value;
  }
}

/** What a map runs its body for. */
export async function itemsOf(platform: Pick<Platform, "objects">, model: Model, step: ModelStep): Promise<Item[]> {
  const ref = step.node.inputs.over;
  if (ref === undefined) throw new WiringError(`The map "${step.id}" has no input "over": the list that it runs its body for.`);
  const given = resolve(model, step, ref);
  if (given?.kind === "list")
    return within(
      step,
      given.items.map((artifact) => ({ artifact })),
    );
  const list = given?.kind === "artifact" ? await jsonOf(platform, given.artifact) : given?.value;
  if (!Array.isArray(list)) throw new WiringError(`The map "${step.id}" runs over a list, and is given ${shown(list ?? null)}.`);
  const large = list.findIndex((value) => JSON.stringify(value).length > largestItem);
  if (large >= 0) throw new WiringError(`Item ${large} of the map "${step.id}" is larger than ${largestItem / 1024} KB: give a reference to it instead.`);
  const strange = list.findIndex((value) => unkept.test(JSON.stringify(value)));
  if (strange >= 0) throw new WiringError(`Item ${strange} of the map "${step.id}" holds a zero character or half of one, which can't be kept.`);
  return within(
    step,
    list.map((value) => ({ value })),
  );
}
function within(step: ModelStep, items: Item[]): Item[] {
  if (items.length > mostItems) throw new WiringError(`The map "${step.id}" is given ${items.length} items: it takes ${mostItems} at most.`);
  return items;
}
