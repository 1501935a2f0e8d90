/** A pipeline's nodes with their places: which maps they stand in, and which nodes must be over before them. */
import type { InputRef, NodeSpec, PipelineSpec } from "@millrace/sdk/spec";

export interface Place {
  node: NodeSpec;
  /** In the order of the definition, bodies of maps after their maps. */
  position: number;
  /** The maps around it, outermost first. */
  within: string[];
  /** Nodes beside it, in the same body, that must be over before it begins. */
  needs: string[];
}
/** By node id; ids are unique in the whole pipeline. */
export type Graph = Map<string, Place>;

export function graphOf(spec: PipelineSpec): Graph {
  const graph: Graph = new Map();
  const add = (nodes: NodeSpec[], within: string[]): void => {
    const beside = new Set(nodes.map((node) => node.id));
    for (const node of nodes) {
      const needs = [...refsOf(node)].filter((id) => beside.has(id) && id !== node.id);
      graph.set(node.id, { node, position: graph.size, within, needs });
      if (node.kind === "map") add(node.config.body, [...within, node.id]);
    }
  };
  add(spec.nodes, []);
  return graph;
}

/** The nodes that a node takes from or waits for; of a map, also those that its body does. */
export function refsOf(node: NodeSpec): Set<string> {
  const refs = new Set<string>(node.after ?? []);
  for (const ref of inputsOf(node)) if ("node" in ref) refs.add(ref.node);
  if (node.kind === "map") for (const inner of node.config.body) for (const ref of refsOf(inner)) refs.add(ref);
  return refs;
}
const inputsOf = (node: NodeSpec): InputRef[] => [...Object.values(node.inputs), ...(node.when ?? []).map((when) => when.of)];

/** A node and all that depends on it, directly or not, with what stands in maps among them. */
export function andBelow(graph: Graph, id: string): Set<string> {
  const below = new Set<string>();
  const start = graph.get(id);
  if (start === undefined) return below;
  // What stands in a map is part of it: what depends on the map depends on it too.
  const add = (one: string): void => {
    if (below.has(one)) return;
    below.add(one);
    const place = graph.get(one);
    const map = place?.within.at(-1);
    if (map !== undefined) for (const next of graph.values()) if (next.needs.includes(map)) add(next.node.id);
    for (const next of graph.values()) {
      if (next.needs.includes(one)) add(next.node.id);
      if (next.within.includes(one)) add(next.node.id);
    }
  };
  add(id);
  return below;
}
