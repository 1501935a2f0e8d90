/** Which inputs of a model the columns of its inner tensors come from, as far as its operators keep columns apart. */
import { attributeOf, intsOf, type OnnxGraph, type OnnxNode, type OnnxTensor, tensorNumbers } from "./onnx-file.js";

/** Columns side by side that come from one player. */
export interface Segment {
  /** Null of a constant. */
  player: number | null;
  /** Where it is not known from the graph, it is that of the tensor, which has no other columns. */
  width: number | { of: string };
}
/** `one`: all of it comes from one player. `mixed`: of several, in ways that are not followed. */
export type Origin = { kind: "constant"; tensor?: OnnxTensor } | { kind: "one"; player: number } | { kind: "columns"; segments: Segment[] } | { kind: "mixed" };

/** Each value of a row alone, in its place. */
const inPlace = new Set([
  ...["Cast", "Identity", "Scaler", "Imputer", "Binarizer", "LabelEncoder", "Abs", "Neg", "Exp", "Log", "Sqrt", "Sigmoid", "Tanh", "Relu", "Clip", "Floor"],
  ...["Ceil", "Round", "Sign", "Reciprocal", "IsNaN", "IsInf", "Not", "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Where", "Equal", "Less", "Greater"],
  ...["LessOrEqual", "GreaterOrEqual", "And", "Or", "Mod"],
]);
const mixed: Origin = { kind: "mixed" };

/**
 * By tensor. `inputs` are what a row brings: a tensor that is a player, or the players of a matrix' columns; an input that is not named is mixed. `given`
 * overrides what tensors within come from.
 */
export function origins(graph: OnnxGraph, inputs: ReadonlyMap<string, Origin>, given: ReadonlyMap<string, Origin> = new Map()): Map<string, Origin> {
  const found = new Map<string, Origin>();
  for (const tensor of graph.initializer) found.set(tensor.name, { kind: "constant", tensor });
  for (const { name } of graph.input) if (!found.has(name)) found.set(name, inputs.get(name) ?? mixed);
  for (const [name, origin] of given) found.set(name, origin);
  // The nodes of a graph stand in an order in which each has what it takes.
  for (const node of graph.node) {
    const origin = ofNode(node, found);
    for (const name of node.output) if (!given.has(name)) found.set(name, origin);
  }
  return found;
}

function ofNode(node: OnnxNode, known: ReadonlyMap<string, Origin>): Origin {
  // A graph within sees tensors that are not told as its inputs.
  if (node.attribute.some((one) => one.g.length > 0 || one.graphs.length > 0)) return mixed;
  if (node.op_type === "Constant") {
    const tensor = attributeOf(node, "value")?.t;
    return tensor == null ? { kind: "constant" } : { kind: "constant", tensor };
  }
  const names = node.input.filter((name) => name !== "");
  const taken = names.map((name) => known.get(name) ?? mixed);
  const moving = taken.filter((origin) => origin.kind !== "constant");
  if (moving.length === 0) return { kind: "constant" };
  if (moving.some((origin) => origin.kind === "mixed")) return mixed;
  const players = new Set(moving.flatMap((origin) => (origin.kind === "one" ? [origin.player] : playersOf(origin))));
  const [only] = players;
  if (players.size === 1 && only !== undefined) return { kind: "one", player: only };

  if (isConcat(node)) return together(names, taken);
  const [columns] = moving;
  if (moving.length !== 1 || columns?.kind !== "columns") return mixed;
  const width = widthOf(columns.segments);
  if (inPlace.has(node.op_type) && taken.every((origin) => origin.kind !== "constant" || fitsColumns(origin.tensor, width))) return columns;
  if (keepsRows(node, taken[1])) return columns;
  const picked = node.op_type === "ArrayFeatureExtractor" || (node.op_type === "Gather" && axisOf(node, 0) === 1) ? taken[1] : undefined;
  return picked?.kind === "constant" && picked.tensor !== undefined ? pick(columns.segments, tensorNumbers(picked.tensor)) : mixed;
}

/**
 * One list of values for each row, in the order in which they were. That there are as many rows as before is seen at the trees, which are given as many as
 * there are: then each row has its own values.
 */
function keepsRows(node: OnnxNode, shape: Origin | undefined): boolean {
  if (node.op_type === "Flatten") return axisOf(node, 1) === 1;
  if (node.op_type !== "Reshape" || shape?.kind !== "constant" || shape.tensor === undefined) return false;
  const sizes = tensorNumbers(shape.tensor);
  return sizes.length === 2 && (sizes[0] === -1 || sizes[0] === 0);
}

const playersOf = (origin: Origin): number[] => (origin.kind === "columns" ? origin.segments.flatMap(({ player }) => player ?? []) : []);
const axisOf = (node: OnnxNode, otherwise: number): number => attributeOf(node, "axis")?.i ?? otherwise;
const isConcat = (node: OnnxNode): boolean =>
  (node.op_type === "Concat" && [1, -1].includes(axisOf(node, 0))) || (node.op_type === "FeatureVectorizer" && intsOf(node, "inputdimensions").length > 0);

/** Undefined where it depends on what is run. */
function widthOf(segments: readonly Segment[]): number | undefined {
  let width = 0;
  for (const one of segments) {
    if (typeof one.width !== "number") return undefined;
    width += one.width;
  }
  return width;
}

/** A constant that has one value, or one for each column, and so moves no column to another. */
function fitsColumns(tensor: OnnxTensor | undefined, width: number | undefined): boolean {
  if (tensor === undefined) return false;
  const { dims } = tensor;
  const last = dims.at(-1) ?? 1;
  return dims.length <= 2 && (dims.length < 2 || dims[0] === 1) && (last === 1 || last === width);
}

function together(names: readonly string[], taken: readonly Origin[]): Origin {
  return {
    kind: "columns",
    segments: taken.flatMap((origin, index): Segment[] => {
      if (origin.kind === "columns") return origin.segments;
      return [{ player: origin.kind === "one" ? origin.player : null, width: { of: names[index] ?? "" } }];
    }),
  };
}

function pick(segments: readonly Segment[], indices: readonly number[]): Origin {
  const columns = segments.flatMap(({ player, width }) => (typeof width === "number" ? Array.from({ length: width }, () => player) : undefined));
  const chosen = indices.map((index) => columns[index < 0 ? index + columns.length : index]);
  if (indices.length === 0 || chosen.some((player) => player === undefined) || columns.includes(undefined)) return mixed;
  return { kind: "columns", segments: chosen.map((player): Segment => ({ player: player ?? null, width: 1 })) };
}
