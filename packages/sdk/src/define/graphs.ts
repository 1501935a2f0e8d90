import type { Datatype, GraphNode, InferenceGraphSpec } from "../spec.js";
import { type Definition, define, isDefinition } from "./definition.js";
import { given, here } from "./place.js";
import type { Endpoint } from "./serving.js";

interface Values {
  BOOL: boolean;
  BYTES: string;
  INT64: number | bigint;
  UINT64: number | bigint;
}
/** The values of a tensor of [n]; of [n, k] and more, lists of them, row by row. */
export type TensorValues<D extends Datatype> = readonly ((D extends keyof Values ? Values[D] : number) | null | readonly unknown[])[];
type Given<T extends Readonly<Record<string, Datatype>>> = { readonly [name in keyof T]: TensorValues<T[name]> };

/** A part of an inference graph. */
export interface GraphPart {
  readonly node: GraphNode;
  readonly endpoints: readonly Endpoint[];
}
export interface Transform<I extends Readonly<Record<string, Datatype>>, O extends Readonly<Record<string, Datatype>>> extends GraphPart {
  readonly name: string;
  readonly run: (tensors: Given<I>) => Given<O> | Promise<Given<O>>;
}
type Part = Endpoint | GraphPart;

const partOf = (part: Part): GraphPart => (isDefinition(part) ? { node: { kind: "endpoint", endpoint: part.name }, endpoints: [part] } : part);

/**
 * A function of tensors, before a model or after it. It runs in processes of its own, from a bundle of its module and all that this imports. In Python, log
 * the function as a model (`mlflow.pyfunc.PythonModel`) and give it an endpoint.
 */
export function transform<const I extends Readonly<Record<string, Datatype>>, const O extends Readonly<Record<string, Datatype>>>(options: {
  name: string;
  in: I;
  out: O;
  run: (tensors: Given<I>) => Given<O> | Promise<Given<O>>;
}): Transform<I, O> {
  const { name, run } = options;
  // Where it stands, until whoever knows the project's folder bundles it.
  return { name, run, endpoints: [], node: { kind: "transform", name, bundle: here() ?? "", in: options.in, out: options.out } };
}

/** The same part, which takes tensors under other names: `{ X: "embedding" }` gives it the graph's `embedding` as its `X`. */
export function renamed(part: Endpoint | Transform<Record<string, Datatype>, Record<string, Datatype>>, inputs: Readonly<Record<string, string>>): GraphPart {
  const { node, endpoints } = partOf(part);
  return node.kind === "endpoint" || node.kind === "transform" ? { node: { ...node, inputs }, endpoints } : { node, endpoints };
}

/** One after the other: each takes what it asks for by name, of the request and of what came before it. The last one's outputs are the answer. */
export function sequence(...parts: readonly Part[]): GraphPart {
  const all = parts.map(partOf);
  return { node: { kind: "sequence", nodes: all.map(({ node }) => node) }, endpoints: all.flatMap(({ endpoints }) => endpoints) };
}

/**
 * All at once, of the same tensors. `mean` gives the weighted mean of each numeric output that all have; `vote` of each output that all have the value with
 * most weight, of equals that of the first member; `each` all outputs, as `<member>.<output>`.
 */
export function ensemble<const M extends Readonly<Record<string, Part>>>(
  members: M,
  options: { combine: "mean" | "vote" | "each"; weights?: Readonly<Partial<Record<keyof M, number>>> },
): GraphPart {
  const all = Object.entries(members).map(([name, part]) => ({ name, weight: Reflect.get(options.weights ?? {}, name) ?? 1, ...partOf(part) }));
  return {
    node: { kind: "ensemble", members: all.map(({ name, node, weight }) => ({ name, node, weight })), combine: options.combine },
    endpoints: all.flatMap(({ endpoints }) => endpoints),
  };
}

export interface InferenceGraph extends Definition<"inferenceGraphs"> {}
/** Several endpoints and functions that answer as one, by the graph's name, where an endpoint does. Each endpoint in it has its own rollouts and its own log. */
export function inferenceGraph(options: { name: string; node: GraphPart }): InferenceGraph {
  const { node, endpoints } = options.node;
  const spec: InferenceGraphSpec = given({ name: options.name, node, definedAt: here() });
  return define("inferenceGraphs", spec, endpoints);
}
