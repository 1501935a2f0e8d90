import type { ArtifactType, InputRef, MapNode, NodeSpec, WhenSpec } from "../spec.js";
import type { List, Output } from "./artifacts.js";
import type { Definition, Problem } from "./definition.js";
import { nodeOptions, type ProcessFields, type StepOptions } from "./options.js";
import { type ParamRef, plain } from "./params.js";
import { given, here } from "./place.js";

/** What the body of a pipeline has called so far. */
interface Building {
  pipeline: string;
  /** Of the pipelines that are used within it at this moment. */
  prefix: string;
  ids: Set<string>;
  references: Definition[];
  problems: Problem[];
  /** The pipeline's own steps, or those of the map whose body runs, and the conditions that hold for what is called. */
  frame: Frame;
}
interface Frame {
  nodes: NodeSpec[];
  conditions: WhenSpec[];
}
let current: Building | undefined;

/** Within the body of a map: the value that it is run for. */
export interface ItemRef<out T = unknown> {
  readonly itemOf: string;
  readonly pipeline: string;
  /** Only for the types. */
  readonly value?: T;
}
export type Value = string | number | boolean | null | readonly (string | number)[];
export type Input = Output | List | ParamRef | ItemRef | { readonly literal: Value };

/** Runs the body of a pipeline and gives what it called. */
export function build<R>(pipeline: string, body: () => R): { nodes: NodeSpec[]; references: Definition[]; problems: Problem[]; result: R } {
  if (current !== undefined) throw new Error(`The pipeline "${pipeline}" is defined inside the pipeline "${current.pipeline}"; define it beside it.`);
  const building: Building = { pipeline, prefix: "", ids: new Set(), references: [], problems: [], frame: { nodes: [], conditions: [] } };
  current = building;
  try {
    const result = body();
    return { nodes: building.frame.nodes, references: building.references, problems: building.problems, result };
  } finally {
    current = undefined;
  }
}

function building(): Building {
  if (current === undefined) throw new Error("Steps are called in the body of a pipeline: pipeline({ name, params }, (params) => { … }).");
  return current;
}

/** Runs the body of another pipeline as a part of this one: its steps' ids begin with a name of its own. */
export function inline<R>(name: string, body: (pipeline: string) => R): R {
  const outer = building();
  const { prefix } = outer;
  outer.prefix = `${claimId(outer, name)}.`;
  try {
    return body(outer.pipeline);
  } finally {
    outer.prefix = prefix;
  }
}

/** Runs the body of a map and adds the map. `gives` says which of what the body made are its outputs, by name. */
export function mapNode<R>(
  wish: string,
  over: Input,
  body: (item: ItemRef<never>) => R,
  gives: (made: R) => Readonly<Record<string, Output>>,
  options: StepOptions & { atOnce?: number | undefined },
): { made: R; lists: Record<string, List> } {
  const outer = building();
  const id = claimId(outer, wish);
  const { frame } = outer;
  const inner: Frame = { nodes: [], conditions: [] };
  outer.frame = inner;
  let made: R;
  try {
    made = body({ itemOf: id, pipeline: outer.pipeline });
  } finally {
    outer.frame = frame;
  }
  const outputs = Object.entries(gives(made));
  const config: MapNode["config"] = given({
    body: inner.nodes,
    gives: Object.fromEntries(outputs.map(([name, { node, output }]) => [name, { node, output }])),
    atOnce: options.atOnce,
  });
  push(
    outer,
    id,
    { kind: "map", config },
    { over },
    outputs.map(([name, { artifact }]) => [name, artifact] as const),
    options,
  );
  const lists = outputs.map(([name, { artifact }]): [string, List] => [name, { list: true, artifact, pipeline: outer.pipeline, node: id, output: name }]);
  return { made, lists: Object.fromEntries(lists) };
}

/** Runs a branch whose steps are run only where the conditions hold. */
export function under<R>(conditions: readonly WhenSpec[], branch: () => R): R {
  const { frame } = building();
  const before = frame.conditions;
  frame.conditions = [...before, ...conditions];
  try {
    return branch();
  } finally {
    frame.conditions = before;
  }
}

/** A node without what every kind has. */
type Kind = NodeSpec extends infer N ? (N extends NodeSpec ? Pick<N, "kind" | "config"> : never) : never;

/** Adds a step to the pipeline whose body runs. */
export function addNode(
  wish: string,
  kind: Kind,
  inputs: Readonly<Record<string, Input>>,
  outputs: readonly (readonly [string, ArtifactType])[],
  references: readonly Definition[],
  options: StepOptions = {},
  fields: ProcessFields = {},
): { id: string; output<A extends ArtifactType>(name: string, artifact: A): Output<A> } {
  const to = building();
  const id = claimId(to, wish);
  push(to, id, kind, inputs, outputs, options, fields);
  to.references.push(...references);
  return { id, output: (name, artifact) => ({ artifact, pipeline: to.pipeline, node: id, output: name }) };
}

function push(
  to: Building,
  id: string,
  kind: Kind,
  inputs: Readonly<Record<string, Input>>,
  outputs: readonly (readonly [string, ArtifactType])[],
  options: StepOptions,
  fields: ProcessFields = {},
): void {
  const conditions = to.frame.conditions;
  const spec: NodeSpec = given({
    id,
    ...kind,
    inputs: Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, reference(`the input "${name}" of the step "${id}"`, input)])),
    outputs: outputs.map(([name, type]) => ({ name, type })),
    ...nodeOptions(options),
    ...fields,
    when: conditions.length === 0 ? undefined : [...conditions],
    definedAt: here(),
  });
  to.frame.nodes.push(spec);
}

/** An id that no other step of the pipeline has. */
function claimId({ ids, prefix }: Building, wish: string): string {
  const base = `${prefix}${wish.replaceAll(/[^a-zA-Z0-9_-]/g, "_").replace(/^[^a-zA-Z]+/, "") || "step"}`;
  let id = base;
  for (let n = 2; ids.has(id); n++) id = `${base}_${n}`;
  ids.add(id);
  return id;
}

/** What stands in the document for something that a step or a condition takes. */
export function reference(what: string, input: Input): InputRef {
  const to = building();
  if (typeof input !== "object" || input === null) {
    to.problems.push(given({ message: `${what} is ${JSON.stringify(input)}, which no step or param gives`, at: here() }));
    return { literal: null };
  }
  if ("literal" in input) return { literal: typeof input.literal === "object" && input.literal !== null ? [...input.literal] : input.literal };
  const owner = "paramOf" in input ? input.paramOf : input.pipeline;
  if (owner !== to.pipeline) to.problems.push(given({ message: `${what} comes from another pipeline, "${owner}"`, at: here() }));
  if ("paramOf" in input) return input.source ?? { param: input.name };
  return "itemOf" in input ? { item: input.itemOf } : { node: input.node, output: input.output };
}

export function isInput(value: unknown): value is Output | List | ParamRef | ItemRef {
  return typeof value === "object" && value !== null && ("node" in value || "paramOf" in value || "itemOf" in value);
}
/** What was passed for an input: what a step or param gives, or a constant. Undefined where it is neither. */
export function inputOf(value: unknown): Input | undefined {
  if (isInput(value)) return value;
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return { literal: value };
  return isConstants(value) ? { literal: plain(value) ?? [] } : undefined;
}
function isConstants(value: unknown): value is readonly (string | number)[] {
  return Array.isArray(value) && value.every((one) => typeof one === "string" || typeof one === "number");
}

/** Notes something that the types can't say. */
export function problem(message: string): void {
  current?.problems.push(given({ message, at: here() }));
}
