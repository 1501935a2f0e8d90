/** A model whose answer is that of an ensemble of trees on columns that each come from one place: its attributions can be computed exactly. */
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { type Cell, type Inference, type ServedModel, type Tensor, valueAt } from "../inference/index.js";
import { type Origin, origins, type Segment } from "./flow.js";
import { type Link, linkOf } from "./links.js";
import { readGraph, revealing } from "./onnx-file.js";
import type { Places } from "./places.js";
import { attributor, type Ensemble, readEnsemble, score, TooMuch } from "./trees.js";

export interface Exact {
  link: Link;
  /** The explained row's score, and the mean of the background's. */
  value: number;
  base: number;
  /** By place. */
  values: number[];
  /** How many background rows it is against. */
  rows: number;
}
export interface TreeModel {
  /** Undefined where the trees turn out not to give the output on these rows: then it is for sampling. */
  explain(places: Places, row: readonly Cell[], background: readonly (readonly Cell[])[], output: string, column: number): Promise<Exact | undefined>;
  close(): Promise<void>;
}

/** A larger file is not read a second time for an explanation. */
const largestFile = 256 * 1024 * 1024;
/** Nodes that are looked at for one explanation, at most; about a second. */
const mostVisits = 50_000_000;
/** The event loop waits no longer than this. */
const turnMs = 5;

/** Undefined where the file is of another form. Its trees are looked at as they lie in the graph; what is before them is run by the runtime. */
export async function openTrees(file: string, places: Places, output: string, on: { inference: Inference; folder: string }): Promise<TreeModel | undefined> {
  if ((await stat(file)).size > largestFile) return undefined;
  const bytes = await readFile(file);
  const graph = await readGraph(bytes);
  if (graph === undefined) return undefined;
  const found = graph.node.flatMap((node) => {
    const ensemble = readEnsemble(node);
    return ensemble === undefined ? [] : [{ node, ensemble }];
  });
  const [only] = found;
  const input = only?.node.input[0];
  if (
    found.length !== 1 ||
    only === undefined ||
    input === undefined ||
    graph.node.some((node) => node.op_type.startsWith("TreeEnsemble") && node !== only.node)
  )
    return undefined;
  // Nothing but the trees leads to the output.
  const trees: Origin = { kind: "one", player: -1 };
  const after = origins(graph, places.origins, new Map(only.node.output.map((name) => [name, trees]))).get(output);
  if (after?.kind !== "one" || after.player !== -1) return undefined;
  const before = origins(graph, places.origins).get(input);
  const segments = before?.kind === "columns" ? before.segments : before?.kind === "one" ? [{ player: before.player, width: { of: input } }] : undefined;
  if (segments === undefined) return undefined;

  const widths = segments.flatMap(({ width }) => (typeof width === "number" ? [] : [width.of]));
  const already = new Set([...graph.output, ...graph.input].map(({ name }) => name));
  const revealed = [...new Set([input, ...widths])].filter((name) => !already.has(name));
  const model = await openRevealing(bytes, revealed, on);
  if (model === undefined) return undefined;
  return {
    async explain(at, row, background, wanted, column) {
      const used = background.slice(0, Math.max(10, Math.floor(mostVisits / 2 / only.ensemble.feature.length)));
      const given = at.tensors([row, ...used]);
      const outputs = [...new Set([wanted, input, ...widths])];
      const inputs = new Map(given.map((tensor) => [tensor.name, tensor]));
      const asked = outputs.filter((name) => !inputs.has(name));
      const answers = new Map([...inputs, ...(await model.run(given, { outputs: asked })).map((tensor): [string, Tensor] => [tensor.name, tensor])]);
      return attributed(only.ensemble, segments, answers, { input, wanted, column, rows: used.length + 1, places: at.names.length });
    },
    close: () => model.close(),
  };
}

/** The model with inner tensors among its outputs; undefined where the runtime does not take it so. */
async function openRevealing(
  bytes: Uint8Array,
  names: readonly string[],
  { inference, folder }: { inference: Inference; folder: string },
): Promise<ServedModel | undefined> {
  const own = await mkdtemp(path.join(folder, "spill-explain-"));
  try {
    const file = path.join(own, "model.onnx");
    await writeFile(file, revealing(bytes, names));
    const model = await inference.open({ onnx: file });
    if (names.every((name) => model.outputs?.some((one) => one.name === name))) return model;
    await model.close();
    return undefined;
  } catch {
    return undefined;
  } finally {
    await rm(own, { recursive: true, force: true });
  }
}

async function attributed(
  ensemble: Ensemble,
  segments: readonly Segment[],
  answers: ReadonlyMap<string, Tensor>,
  of: { input: string; wanted: string; column: number; rows: number; places: number },
): Promise<Exact | undefined> {
  const { rows } = of;
  const players = playersOf(segments, answers, rows);
  const matrix = matrixOf(answers.get(of.input), rows);
  const output = answers.get(of.wanted);
  if (players === undefined || matrix === undefined || output === undefined || matrix.width !== players.length || ensemble.width > matrix.width)
    return undefined;
  const outputs = columnOf(output, rows, of.column);
  const targets = Array.from({ length: ensemble.targets }, (_, target) => target);
  const scores = Array.from({ length: rows }, (_, row) => targets.map((target) => score(ensemble, target, matrix.data, row * matrix.width)));
  const link = linkOf(scores, outputs, of.column);
  if (link === undefined) return undefined;

  const sums = new Float64Array(of.places + 1);
  // Constants stand beside the places: they are the same in every row, so that nothing is attributed to them.
  const attribute = attributor(
    ensemble,
    link.target,
    players.map((player) => (player < 0 ? of.places : player)),
    mostVisits,
  );
  attribute.row(matrix.data, 0);
  let began = performance.now();
  for (let row = 1; row < rows; row++) {
    try {
      attribute.against(matrix.data, row * matrix.width, sums);
    } catch (error) {
      if (error instanceof TooMuch) return undefined;
      throw error;
    }
    if (performance.now() - began < turnMs) continue;
    await new Promise((resolve) => setImmediate(resolve));
    began = performance.now();
  }
  const background = rows - 1;
  const on = (raw: number) => link.offset + link.sign * raw;
  const raws = scores.map((row) => row[link.target] ?? Number.NaN);
  return {
    ...{ link, rows: background, value: on(raws[0] ?? Number.NaN) },
    base: on(raws.slice(1).reduce((sum, one) => sum + one, 0) / background),
    values: Array.from({ length: of.places }, (_, place) => (link.sign * (sums[place] ?? 0)) / background),
  };
}

/** By column of the matrix; -1 of a constant. */
function playersOf(segments: readonly Segment[], answers: ReadonlyMap<string, Tensor>, rows: number): Int32Array | undefined {
  const players: number[] = [];
  for (const { player, width } of segments) {
    const columns = typeof width === "number" ? width : widthOf(answers.get(width.of), rows);
    if (columns === undefined) return undefined;
    for (let at = 0; at < columns; at++) players.push(player ?? -1);
  }
  return Int32Array.from(players);
}
/** Of [n] and [n, 1] it is 1, of [n, 1, w] it is w. */
function widthOf(tensor: Tensor | undefined, rows: number): number | undefined {
  if (tensor === undefined || tensor.shape[0] !== rows || tensor.shape.slice(1, -1).some((size) => size !== 1)) return undefined;
  return tensor.shape.length === 1 ? 1 : tensor.shape.at(-1);
}
function matrixOf(tensor: Tensor | undefined, rows: number): { data: Float32Array | Float64Array; width: number } | undefined {
  const width = widthOf(tensor, rows);
  if (tensor === undefined || width === undefined || !("buffer" in tensor.data)) return undefined;
  const { data } = tensor;
  return { width, data: data instanceof Float32Array || data instanceof Float64Array ? data : Float64Array.from(data, Number) };
}

/** One number of each row. */
export function columnOf({ datatype, data }: Tensor, rows: number, column: number): Float64Array {
  const width = data.length / rows;
  return Float64Array.from({ length: rows }, (_, row) => Number(valueAt(datatype, data, row * width + column)));
}
