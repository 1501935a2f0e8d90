import { type Static, Type } from "@sinclair/typebox";
import { closed, Digest, Name } from "./common.js";

export const Datatype = Type.Union(
  (["BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP32", "FP64", "BYTES"] as const).map((one) => Type.Literal(one)),
);
/** Datatypes of the Open Inference Protocol that a transform may take and give. */
export type Datatype = Static<typeof Datatype>;

/** By the name under which it takes a tensor, the name under which the graph has it. */
const Renamed = Type.Optional(Type.Record(Type.String({ minLength: 1, maxLength: 200 }), Type.String({ minLength: 1, maxLength: 200 })));
const Tensors = Type.Record(Type.String({ minLength: 1, maxLength: 200 }), Datatype);

export const TransformSpec = Type.Object(
  {
    kind: Type.Literal("transform"),
    name: Name,
    /** The file of the project that holds its function; before it is bundled, where that stands: `graphs.ts:12`. */
    bundle: Type.String(),
    digest: Type.Optional(Digest),
    in: Tensors,
    out: Tensors,
    inputs: Renamed,
  },
  closed,
);
export type TransformSpec = Static<typeof TransformSpec>;

/** What a request goes through: each node takes the tensors that it asks for by name, of the request's and of what came before it, and adds its own. */
export const GraphNode = Type.Recursive(
  (Self) =>
    Type.Union([
      Type.Object({ kind: Type.Literal("endpoint"), endpoint: Name, inputs: Renamed }, closed),
      TransformSpec,
      /** One after the other; the last one's outputs are the answer. */
      Type.Object({ kind: Type.Literal("sequence"), nodes: Type.Array(Self, { minItems: 1, maxItems: 20 }) }, closed),
      /** All at once, of the same tensors. */
      Type.Object(
        {
          kind: Type.Literal("ensemble"),
          members: Type.Array(Type.Object({ name: Name, node: Self, weight: Type.Number({ exclusiveMinimum: 0 }) }, closed), { minItems: 1, maxItems: 20 }),
          /** The weighted mean of each number that all give; the value with most weight; or each member's outputs by themselves, as `<member>.<output>`. */
          combine: Type.Union([Type.Literal("mean"), Type.Literal("vote"), Type.Literal("each")]),
        },
        closed,
      ),
    ]),
  { $id: "GraphNode" },
);
export type GraphNode =
  | { kind: "endpoint"; endpoint: string; inputs?: Record<string, string> }
  | TransformSpec
  | { kind: "sequence"; nodes: GraphNode[] }
  | { kind: "ensemble"; members: { name: string; node: GraphNode; weight: number }[]; combine: "mean" | "vote" | "each" };

export const InferenceGraphSpec = Type.Object({ name: Name, node: GraphNode, definedAt: Type.Optional(Type.String()) }, closed);
export interface InferenceGraphSpec {
  name: string;
  node: GraphNode;
  definedAt?: string;
}

/** A node and all that are in it. */
export function* nodesOf(node: GraphNode): Generator<GraphNode> {
  yield node;
  if (node.kind === "sequence") for (const one of node.nodes) yield* nodesOf(one);
  else if (node.kind === "ensemble") for (const one of node.members) yield* nodesOf(one.node);
}
