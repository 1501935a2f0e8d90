import type { Lineage, LineageNode } from "@millrace/sdk/api";

/** As much as is told of one question: a lineage may lead everywhere. */
const mostNodes = 2_000;
/** Of one kind around one thing. */
export const mostAround = 500;

export interface Graph {
  nodes: Map<string, LineageNode>;
  /** By both ends. */
  edges: Map<string, Lineage["edges"][number]>;
  /** Answers the node's id in the graph. */
  add(kind: string, id: string, label: string, facts: Record<string, unknown>): string;
  /** From what was made to what it was made from. */
  link(from: string, to: string): void;
  /** The node's id in the graph where it is there already, with all that it leads to. */
  find(kind: string, id: string): string | undefined;
  /** One after the other, until there is enough. */
  each<T>(list: readonly T[], one: (item: T) => Promise<void>): Promise<void>;
  /** Whether something was left out. */
  more(): boolean;
}
export function newGraph(): Graph {
  const nodes = new Map<string, LineageNode>();
  const edges = new Map<string, Lineage["edges"][number]>();
  const key = (kind: string, id: string) => `${kind}/${id}`;
  let more = false;
  return {
    nodes,
    edges,
    add(kind, id, label, facts) {
      const node = key(kind, id);
      if (!nodes.has(node)) nodes.set(node, { kind, id: node, label, facts });
      return node;
    },
    link(from, to) {
      if (from !== to) edges.set(`${from} ${to}`, { from, to });
    },
    find: (kind, id) => (nodes.has(key(kind, id)) ? key(kind, id) : undefined),
    async each(list, one) {
      if (list.length > mostAround) more = true;
      for (const item of list.slice(0, mostAround)) {
        if (nodes.size >= mostNodes) {
          more = true;
          return;
        }
        await one(item);
      }
    },
    more: () => more,
  };
}
