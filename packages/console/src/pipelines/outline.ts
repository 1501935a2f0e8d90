/** A pipeline's definition as what is drawn of it: nodes, the maps and sub-pipelines around them, and what goes from one to the other. */
import type { NodeSpec, PipelineSpec } from "@millrace/sdk/spec";

export interface Wire {
  from: string;
  to: string;
  /** Of the artifacts that go this way; none where the one only comes after the other. */
  types: string[];
}
export interface Place {
  node: NodeSpec;
  /** The maps around it, outermost first. */
  within: string[];
}
export interface Outline {
  places: Map<string, Place>;
  nodes: NodeSpec[];
}

export function outlineOf(spec: PipelineSpec): Outline {
  const places = new Map<string, Place>();
  const add = (nodes: NodeSpec[], within: string[]): void => {
    for (const node of nodes) {
      places.set(node.id, { node, within });
      if (node.kind === "map") add(node.config.body, [...within, node.id]);
    }
  };
  add(spec.nodes, []);
  return { places, nodes: [...places.values()].map((place) => place.node) };
}

/** What is seen of a node where only the maps `open` show what is in them: itself, or the outermost closed map around it. */
export function shownAs({ places }: Outline, id: string, open: ReadonlySet<string>): string {
  return places.get(id)?.within.find((map) => !open.has(map)) ?? id;
}

/** Nodes that are drawn: of an open map what is in it stands for it. */
export function drawnNodes(outline: Outline, open: ReadonlySet<string>): NodeSpec[] {
  return outline.nodes.filter((node) => shownAs(outline, node.id, open) === node.id && !(node.kind === "map" && open.has(node.id)));
}

/** Every edge of the definition between what is drawn. */
export function wiresOf(outline: Outline, open: ReadonlySet<string>): Wire[] {
  const wires = new Map<string, Wire>();
  const link = (from: string, to: string, type: string | undefined): void => {
    if (from === to) return;
    const key = `${from}\n${to}`;
    const wire = wires.get(key) ?? { from, to, types: [] };
    if (type !== undefined && !wire.types.includes(type)) wire.types.push(type);
    wires.set(key, wire);
  };
  for (const { node } of outline.places.values()) {
    const refs = [
      ...Object.values(node.inputs).map((ref) => ({ ref, data: true })),
      ...(node.when ?? []).map(({ of }) => ({ ref: of, data: false })),
      ...(node.after ?? []).map((id) => ({ ref: { node: id, output: "" }, data: false })),
    ];
    for (const { ref, data } of refs) {
      if (!("node" in ref)) continue;
      const type = data ? outline.places.get(ref.node)?.node.outputs.find((one) => one.name === ref.output)?.type : undefined;
      for (const from of endsOf(outline, ref.node, ref.output, open)) for (const to of rootsOf(outline, node, open)) link(from, to, type);
    }
  }
  return [...wires.values()];
}
/** Where an output comes from: of an open map, the node in it that gives it. */
function endsOf(outline: Outline, id: string, output: string, open: ReadonlySet<string>): string[] {
  const node = outline.places.get(id)?.node;
  if (node === undefined) return [];
  if (node.kind !== "map" || !open.has(id) || shownAs(outline, id, open) !== id) return [shownAs(outline, id, open)];
  const given = node.config.gives[output];
  const last = node.config.body.at(-1)?.id;
  return given !== undefined ? endsOf(outline, given.node, given.output, open) : last === undefined ? [] : endsOf(outline, last, "", open);
}
/** What begins with a node: of an open map, the nodes in it that take from nothing beside them. */
function rootsOf(outline: Outline, node: NodeSpec, open: ReadonlySet<string>): string[] {
  if (node.kind !== "map" || !open.has(node.id) || shownAs(outline, node.id, open) !== node.id) return [shownAs(outline, node.id, open)];
  const own = new Set(node.config.body.map((one) => one.id));
  const roots = node.config.body.filter((one) => ![...takenFrom(one)].some((id) => own.has(id)));
  return roots.flatMap((one) => rootsOf(outline, one, open));
}

/** Ids of the nodes that a node waits for, in its own scope or outside; of a map also those that its body waits for. */
export function takenFrom(node: NodeSpec): Set<string> {
  const from = new Set(node.after ?? []);
  for (const ref of [...Object.values(node.inputs), ...(node.when ?? []).map((when) => when.of)]) if ("node" in ref) from.add(ref.node);
  if (node.kind === "map") {
    const own = new Set(node.config.body.map((one) => one.id));
    for (const inner of node.config.body) for (const id of takenFrom(inner)) if (!own.has(id)) from.add(id);
  }
  return from;
}

/** The sub-pipelines around a node by its dotted id: `a.b.c` stands in `a` and in `a.b`. */
export function groupsOf(id: string): string[] {
  const names = id.split(".").slice(0, -1);
  return names.map((_, i) => names.slice(0, i + 1).join("."));
}
/** The step of a run that stands for a map's item: `fit[3].train` is item 3 of `fit`. */
export function itemOf(step: string): number | undefined {
  const last = step.lastIndexOf("[");
  const end = step.indexOf("]", last);
  return last < 0 || end < 0 ? undefined : Number(step.slice(last + 1, end));
}
