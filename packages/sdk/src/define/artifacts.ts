import type { ArtifactType } from "../spec.js";
import { type Column, type Columns, type TypesOf, typesOf } from "./columns.js";

/** The output of a step, before there is a run: which node of which pipeline gives it. */
export interface Output<out A extends ArtifactType = ArtifactType> {
  readonly artifact: A;
  readonly pipeline: string;
  readonly node: string;
  readonly output: string;
  /** One, and no list of them. */
  readonly list?: never;
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
/** Any one file. */
export interface File extends Output<"file"> {}
/** What a JSON file holds. */
export interface Json<out T = unknown> extends Output<"json"> {
  /** Only for the types. */
  readonly value?: T;
}
/** Numbers by name, shown with the run and logged to its tracking run. */
export interface Metrics extends Output<"metrics"> {}

/** What a map gives for each output of its body: one of them for each item, in the order of the items. */
export interface List<out O extends Output = Output> {
  readonly list: true;
  readonly artifact: O["artifact"];
  readonly pipeline: string;
  readonly node: string;
  readonly output: string;
  /** Only for the types. */
  readonly of?: O;
}

/** Says in a step's declaration what an input or output is. */
export interface ArtifactKind<out O extends Output = Output> {
  readonly kind: O["artifact"];
  /** Of a table: columns that it has. */
  readonly columns?: Columns;
  /** Only for the types. */
  readonly made?: O;
}
/** Says that an input is a list of these, as a map gives it. */
export interface ManyKind<out O extends Output = Output> {
  readonly many: ArtifactKind<O>;
}
/** A table of any columns. */
export const Table: ArtifactKind<Table> = { kind: "table" };
export const Model: ArtifactKind<Model> = { kind: "model" };
export const File: ArtifactKind<File> = { kind: "file" };
/** JSON of any form; `json<{ depth: number }>()` says the form. */
export const Json: ArtifactKind<Json> = { kind: "json" };
export const Metrics: ArtifactKind<Metrics> = { kind: "metrics" };
/** A table that has at least these columns. */
export const table = <const C extends Readonly<Record<string, Column>>>(columns: C): ArtifactKind<Table<TypesOf<C>>> => ({
  kind: "table",
  columns: typesOf(columns),
});
/** JSON of a form that the compiler knows: `json<{ depth: number }>()`. */
export const json = <T>(): ArtifactKind<Json<T>> => ({ kind: "json" });
/** An input that is a list of artifacts, as a map gives it: `in: { models: many(Model) }`. */
export const many = <O extends Output>(kind: ArtifactKind<O>): ManyKind<O> => ({ many: kind });
