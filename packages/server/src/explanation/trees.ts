/** Ensembles of decision trees as ONNX's TreeEnsembleRegressor and TreeEnsembleClassifier have them. */
import { intsOf, numbersOf, type OnnxNode, textOf, textsOf } from "./onnx-file.js";

const modes: readonly (string | undefined)[] = ["LEAF", "BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"];
/** Deeper trees would need more of the stack than there is. */
const deepest = 512;
const mostTargets = 1_000;

/** Nodes of all trees, by their place. A leaf has no feature. */
export interface Ensemble {
  roots: Int32Array;
  /** Column of the matrix that goes into the trees; -1 in a leaf. */
  feature: Int32Array;
  mode: Uint8Array;
  value: Float64Array;
  /** Where to go on if the comparison holds, and if not. */
  yes: Int32Array;
  no: Int32Array;
  /** What is missing goes where the comparison holds. */
  missingHolds: Uint8Array;
  /** What each target starts with. */
  base: number[];
  /** By target: of each leaf, what it adds. */
  leaves: Map<number, Float64Array>;
  targets: number;
  depth: number;
  width: number;
}

/** Undefined where the node is none, or of a form that is not known. */
export function readEnsemble(node: OnnxNode): Ensemble | undefined {
  if (node.domain !== "ai.onnx.ml") return undefined;
  const kind = node.op_type === "TreeEnsembleRegressor" ? "target" : node.op_type === "TreeEnsembleClassifier" ? "class" : undefined;
  if (kind === undefined) return undefined;
  const aggregate = textOf(node, "aggregate_function");
  if (aggregate !== "" && aggregate !== "SUM" && aggregate !== "AVERAGE") return undefined;

  const ids = intsOf(node, "nodes_nodeids");
  const trees = intsOf(node, "nodes_treeids");
  const count = ids.length;
  const lists = {
    ...{ features: intsOf(node, "nodes_featureids"), yes: intsOf(node, "nodes_truenodeids"), no: intsOf(node, "nodes_falsenodeids") },
    ...{ values: numbersOf(node, "nodes_values"), modes: textsOf(node, "nodes_modes") },
  };
  if (count === 0 || trees.length !== count || Object.values(lists).some((list) => list.length !== count)) return undefined;
  const missing = intsOf(node, "nodes_missing_value_tracks_true");

  const placeOf = new Map(ids.map((id, place) => [`${trees[place]} ${id}`, place]));
  const roots = [...new Map(trees.map((tree, place) => [tree, place] as const).reverse()).values()].reverse();
  const found: Ensemble = {
    roots: Int32Array.from(roots.sort((a, b) => a - b)),
    feature: new Int32Array(count).fill(-1),
    mode: new Uint8Array(count),
    value: Float64Array.from(lists.values),
    yes: new Int32Array(count).fill(-1),
    no: new Int32Array(count).fill(-1),
    missingHolds: Uint8Array.from({ length: count }, (_, place) => (missing[place] === 1 ? 1 : 0)),
    ...{ base: [], leaves: new Map(), targets: 0, depth: 0, width: 0 },
  };
  for (let place = 0; place < count; place++) {
    const mode = modes.indexOf(lists.modes[place]);
    if (mode < 0) return undefined;
    found.mode[place] = mode;
    if (mode === 0) continue;
    const feature = lists.features[place] ?? -1;
    const yes = placeOf.get(`${trees[place]} ${lists.yes[place]}`);
    const no = placeOf.get(`${trees[place]} ${lists.no[place]}`);
    if (feature < 0 || yes === undefined || no === undefined) return undefined;
    found.feature[place] = feature;
    found.yes[place] = yes;
    found.no[place] = no;
    found.width = Math.max(found.width, feature + 1);
  }
  const depth = depthOf(found);
  if (depth === undefined) return undefined;
  found.depth = depth;

  const given = { of: intsOf(node, `${kind}_ids`), nodes: intsOf(node, `${kind}_nodeids`), trees: intsOf(node, `${kind}_treeids`) };
  const weights = numbersOf(node, `${kind}_weights`);
  if (Object.values(given).some((list) => list.length !== weights.length)) return undefined;
  for (const [index, weight] of weights.entries()) {
    const target = given.of[index] ?? -1;
    const place = placeOf.get(`${given.trees[index]} ${given.nodes[index]}`);
    if (target < 0 || target >= mostTargets || place === undefined) return undefined;
    let leaves = found.leaves.get(target);
    if (leaves === undefined) {
      leaves = new Float64Array(count);
      found.leaves.set(target, leaves);
    }
    leaves[place] = (leaves[place] ?? 0) + (aggregate === "AVERAGE" ? weight / found.roots.length : weight);
  }
  found.targets = Math.max(0, ...found.leaves.keys()) + 1;
  const base = numbersOf(node, "base_values");
  found.base = Array.from({ length: found.targets }, (_, target) => base[target] ?? 0);
  return found.leaves.size === 0 ? undefined : found;
}

/** Of the deepest tree; undefined where one is too deep, or leads back into itself. */
function depthOf({ roots, feature, yes, no }: Ensemble): number | undefined {
  const known = new Int32Array(feature.length).fill(-1);
  let deep = 0;
  for (const root of roots) {
    const path: { place: number; next: number }[] = [{ place: root, next: 0 }];
    while (path.length > 0) {
      const top = path[path.length - 1];
      if (top === undefined) break;
      const { place } = top;
      const children = feature[place] === -1 ? [] : [yes[place] ?? -1, no[place] ?? -1];
      const child = children[top.next++];
      if (child === undefined) {
        known[place] = Math.max(0, ...children.map((one) => (known[one] ?? 0) + 1));
        path.pop();
      } else if ((known[child] ?? -1) < 0) {
        path.push({ place: child, next: 0 });
        if (path.length > deepest || path.some((one, at) => at < path.length - 1 && one.place === child)) return undefined;
      }
    }
    deep = Math.max(deep, known[root] ?? 0);
  }
  return deep;
}

/** Whether the comparison of a node holds for a row, which begins at `from` in `data`. */
export function holds({ feature, mode, value, missingHolds }: Ensemble, place: number, data: Float32Array | Float64Array, from: number): boolean {
  const given = data[from + (feature[place] ?? 0)] ?? Number.NaN;
  const bound = value[place] ?? 0;
  if (Number.isNaN(given)) return missingHolds[place] === 1 || mode[place] === 6;
  switch (mode[place]) {
    case 1:
      return given <= bound;
    case 2:
      return given < bound;
    case 3:
      return given >= bound;
    case 4:
      return given > bound;
    case 5:
      return given === bound;
    default:
      return given !== bound;
  }
}

/** The sum of a target's leaves and its base, before any link. */
export function score(ensemble: Ensemble, target: number, data: Float32Array | Float64Array, from: number): number {
  const leaves = ensemble.leaves.get(target);
  let sum = ensemble.base[target] ?? 0;
  for (const root of ensemble.roots) {
    let place = root;
    while (ensemble.feature[place] !== -1) place = (holds(ensemble, place, data, from) ? ensemble.yes[place] : ensemble.no[place]) ?? 0;
    sum += leaves?.[place] ?? 0;
  }
  return sum;
}

export class TooMuch extends Error {}

/**
 * What each player gives to the difference between the score of a row and that of a background row: Shapley values of the game in which the players of a
 * coalition have the row's values and all others the background row's, exactly, in one pass over the trees (interventional TreeSHAP: Lundberg et al. 2020,
 * "From local explanations to global understanding with explainable AI for trees", Nature Machine Intelligence 2, supplementary algorithm 3). A player may
 * hold several columns of the matrix. Adds to `sums`, which has a number for each player.
 *
 * At a leaf that is reached with `m` players of the row and `n` of the background decided on the way, each of the former gets the leaf times
 * (m − 1)! n! / (m + n)!, each of the latter the leaf times − m! (n − 1)! / (m + n)!.
 */
export function attributor(ensemble: Ensemble, target: number, players: Int32Array, most: number) {
  const { roots, feature, yes, no } = ensemble;
  const leaves = ensemble.leaves.get(target) ?? new Float64Array(feature.length);
  const longest = ensemble.depth + 1;
  const weights = shares(longest);
  const decided = new Uint8Array(players.reduce((largest, player) => Math.max(largest, player), -1) + 1);
  const ways = { row: new Int8Array(feature.length), background: new Int8Array(feature.length) };
  let visits = 0;

  /** Fills where a row goes at each node. */
  function follow(way: Int8Array, data: Float32Array | Float64Array, from: number): void {
    for (let place = 0; place < feature.length; place++) if (feature[place] !== -1) way[place] = holds(ensemble, place, data, from) ? 1 : 0;
  }
  const { row, background } = ways;
  // What the leaves below give to each decided player of the row, and of the background: set by `walk`, to spare an object for each node.
  let ofRow = 0;
  let ofBackground = 0;
  function walk(place: number, m: number, n: number, sums: Float64Array): void {
    if (++visits > most) throw new TooMuch();
    const column = feature[place] ?? -1;
    if (column === -1) {
      const leaf = leaves[place] ?? 0;
      ofRow = m === 0 ? 0 : leaf * (weights[m * longest + n] ?? 0);
      ofBackground = n === 0 ? 0 : leaf * (weights[n * longest + m] ?? 0);
      return;
    }
    const toRow = (row[place] === 1 ? yes[place] : no[place]) ?? 0;
    const toBackground = (background[place] === 1 ? yes[place] : no[place]) ?? 0;
    const player = players[column] ?? 0;
    if (toRow === toBackground || decided[player] !== 0) {
      walk(decided[player] === 2 ? toBackground : toRow, m, n, sums);
      return;
    }
    decided[player] = 1;
    walk(toRow, m + 1, n, sums);
    const [rowOfRow, rowOfBackground] = [ofRow, ofBackground];
    decided[player] = 2;
    walk(toBackground, m, n + 1, sums);
    decided[player] = 0;
    sums[player] = (sums[player] ?? 0) + rowOfRow - ofBackground;
    ofRow += rowOfRow;
    ofBackground += rowOfBackground;
  }

  return {
    row: (data: Float32Array | Float64Array, from: number) => follow(row, data, from),
    /** Throws TooMuch where more nodes would be looked at than is allowed: paths may meet again in a graph that is no tree. */
    against(data: Float32Array | Float64Array, from: number, sums: Float64Array): void {
      follow(background, data, from);
      for (const root of roots) walk(root, 0, 0, sums);
    },
  };
}

/** `[m * longest + n]`: (m − 1)! n! / (m + n)!, which is 1 / (m · binomial(m + n, m)). */
function shares(longest: number): Float64Array {
  const table = new Float64Array(longest * longest);
  for (let m = 1; m < longest; m++) {
    let choose = 1;
    for (let n = 0; n < longest; n++) {
      if (n > 0) choose *= (m + n) / n;
      table[m * longest + n] = 1 / (m * choose);
    }
  }
  return table;
}
