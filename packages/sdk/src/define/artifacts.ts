import type { ArtifactType } from "../spec.js";
import type { Column, Columns, TypesOf } from "./columns.js";

/** The output of a step, before there is a run: which node of which pipeline gives it. */
export interface Output<out A extends ArtifactType = ArtifactType> {
  readonly artifact: A;
  readonly pipeline: string;
  readonly node: string;
  readonly output: string;
}
/** Rows. `C` are the columns that are known of it. */
export interface Table<out C extends Columns = Columns> extends Output<"table"> {
  /** Only for the types. */
  readonly columns?: C;
  /** The column of a row's moment, where it is known. */
  readonly time?: string;
}
export interface Model extends Output<"model"> {}
export interface ModelVersion extends Output<"model_version"> {}
export interface Json extends Output<"json"> {}

/** Says in a step's declaration what an input or output is. */
export interface ArtifactKind<out O extends Output = Output> {
  readonly kind: O["artifact"];
  /** Only for the types. */
  readonly made?: O;
}
/** A table of any columns. */
export const Table: ArtifactKind<Table> = { kind: "table" };
export const Model: ArtifactKind<Model> = { kind: "model" };
export const Json: ArtifactKind<Json> = { kind: "json" };
/** A table that has at least these columns. */
export const table = <const C extends Readonly<Record<string, Column>>>(_columns: C): ArtifactKind<Table<TypesOf<C>>> => ({ kind: "table" });
