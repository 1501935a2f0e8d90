import type { NodeSpec } from "./pipelines.js";

/** All nodes, those in the bodies of maps after their map. */
export function everyNode(nodes: readonly NodeSpec[]): NodeSpec[] {
  return nodes.flatMap((node) => (node.kind === "map" ? [node, ...everyNode(node.config.body)] : [node]));
}

/** A step that is a process of users' code. */
export type ProcessNode = Extract<NodeSpec, { kind: "python" | "command" | "typescript" }>;
export function isProcess(node: NodeSpec): node is ProcessNode {
  return node.kind === "python" || node.kind === "command" || node.kind === "typescript";
}

/** Ids of the nodes that a node waits for, among those of its own scope and those outside. */
export function needsOf(node: NodeSpec): string[] {
  const refs = [...Object.values(node.inputs), ...(node.when ?? []).map((condition) => condition.of)];
  const inner = node.kind === "map" ? node.config.body.flatMap(needsOf) : [];
  const own = node.kind === "map" ? new Set(everyNode(node.config.body).map((one) => one.id)) : new Set<string>();
  const all = [...refs.flatMap((ref) => ("node" in ref ? [ref.node] : [])), ...(node.after ?? []), ...inner];
  return [...new Set(all)].filter((id) => !own.has(id));
}
