import { type Static, Type } from "@sinclair/typebox";
import { Json } from "./common.js";

export const LineageNode = Type.Object({
  /**
   * `prediction`, `model_version`, `run` (of a pipeline), `step`, `dataset_version`, `file`, `commit`, `project_version`; of tracking `tracking_run`,
   * `logged_model`, `dataset`
   */
  kind: Type.String(),
  id: Type.String(),
  label: Type.String(),
  facts: Type.Record(Type.String(), Json),
});
export type LineageNode = Static<typeof LineageNode>;
/** Edges go from what was made to what it was made from. */
export const Lineage = Type.Object({
  root: Type.String(),
  nodes: Type.Array(LineageNode),
  edges: Type.Array(Type.Object({ from: Type.String(), to: Type.String() })),
  /** There is more than is told. */
  more: Type.Optional(Type.Boolean()),
});
export type Lineage = Static<typeof Lineage>;
/** Back to what it was made from, forward to what was made of it. */
export const LineageDirection = Type.Union([Type.Literal("back"), Type.Literal("forward"), Type.Literal("both")]);
export type LineageDirection = Static<typeof LineageDirection>;
