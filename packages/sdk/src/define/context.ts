import type { ArtifactType, InputRef, NodeSpec } from "../spec.js";
import type { Output } from "./artifacts.js";
import type { Definition, Problem } from "./definition.js";
import type { ParamRef } from "./params.js";
import { given, here } from "./place.js";

/** What the body of a pipeline has called so far. */
interface Building {
  pipeline: string;
  nodes: NodeSpec[];
  references: Definition[];
  problems: Problem[];
}
let current: Building | undefined;

export type Input = Output | ParamRef | { literal: string | number | boolean | null };

/** Runs the body of a pipeline and gives what it called. */
export function build(pipeline: string, body: () => void): Building {
  if (current !== undefined) throw new Error(`The pipeline "${pipeline}" is defined inside the pipeline "${current.pipeline}"; define it beside it.`);
  const building: Building = { pipeline, nodes: [], references: [], problems: [] };
  current = building;
  try {
    body();
  } finally {
    current = undefined;
  }
  return building;
}

/** A node without what every kind has. */
type Kind = NodeSpec extends infer N ? (N extends NodeSpec ? Pick<N, "kind" | "config"> : never) : never;

/** Adds a step to the pipeline whose body runs. */
export function addNode(
  wish: string,
  kind: Kind,
  inputs: Record<string, Input>,
  outputs: readonly (readonly [string, ArtifactType])[],
  references: readonly Definition[],
  options: { cache?: boolean | undefined } = {},
): { id: string; output<A extends ArtifactType>(name: string, artifact: A): Output<A> } {
  const building = current;
  if (building === undefined) throw new Error("Steps are called in the body of a pipeline: pipeline({ name, params }, (params) => { … }).");
  const base = wish.replaceAll(/[^a-zA-Z0-9_-]/g, "_").replace(/^[^a-zA-Z]+/, "") || "step";
  let id = base;
  for (let n = 2; building.nodes.some((node) => node.id === id); n++) id = `${base}_${n}`;
  const definedAt = here();

  function reference(name: string, input: Input): InputRef {
    if (typeof input !== "object" || input === null) {
      building?.problems.push(
        given({ message: `the input "${name}" of the step "${id}" is ${JSON.stringify(input)}, which no step or param gives`, at: definedAt }),
      );
      return { literal: null };
    }
    if ("literal" in input) return { literal: input.literal };
    const owner = "paramOf" in input ? input.paramOf : input.pipeline;
    if (building !== undefined && owner !== building.pipeline) {
      building.problems.push(given({ message: `the input "${name}" of the step "${id}" comes from another pipeline, "${owner}"`, at: definedAt }));
    }
    return "paramOf" in input ? { param: input.name } : { node: input.node, output: input.output };
  }
  const spec: NodeSpec = given({
    id,
    ...kind,
    inputs: Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, reference(name, input)])),
    outputs: outputs.map(([name, type]) => ({ name, type })),
    cache: options.cache,
    definedAt,
  });
  building.nodes.push(spec);
  building.references.push(...references);
  return { id, output: (name, artifact) => ({ artifact, pipeline: building.pipeline, node: id, output: name }) };
}

/** Notes something that the types can't say. */
export function problem(message: string): void {
  current?.problems.push(given({ message, at: here() }));
}
