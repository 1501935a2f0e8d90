import type { ArtifactKind, File, Json, ManyKind, Metrics, Model, Output, Table } from "./artifacts.js";
import type { Columns, Row } from "./columns.js";
import type { ProcessOptions } from "./options.js";
import type { Param, ParamType } from "./params.js";
import { here } from "./place.js";
import { type Inputs, type Outputs, type ProcessStep, processStep } from "./process.js";

export interface TableInput<C extends Columns = Columns> {
  /** Its Parquet files on this machine, in order. */
  readonly paths: readonly string[];
  /** All rows, in memory. */
  rows(): Promise<Row<C>[]>;
  /** Rows as they are read, some thousands at a time. */
  batches(): AsyncIterable<Row<C>[]>;
}
export interface FileInput {
  readonly path: string;
  text(): Promise<string>;
  bytes(): Promise<Uint8Array>;
}
export interface ModelInput {
  /** The folder of its files. */
  readonly folder: string;
  readonly paths: readonly string[];
}
export interface JsonInput<T> {
  json(): Promise<T>;
}
type Reader<O> =
  O extends Table<infer C>
    ? TableInput<C>
    : O extends Model
      ? ModelInput
      : O extends File
        ? FileInput
        : O extends Metrics
          ? JsonInput<Record<string, number>>
          : O extends Json<infer T>
            ? JsonInput<T>
            : never;

/** Rows to write: an array, or what gives them one after the other. */
export type Rows<C extends Columns> = Iterable<Partial<Row<C>>> | AsyncIterable<Partial<Row<C>>>;
/** What a step returns for an output, or hands to its `write`. */
type Written<O> =
  O extends Table<infer C>
    ? Rows<C>
    : O extends File
      ? string | Uint8Array
      : O extends Metrics
        ? Readonly<Record<string, number>>
        : O extends Json<infer T>
          ? T
          : never;
export interface Writer<W> {
  /** Where it is to be: for a model a folder to make, else a file. */
  readonly path: string;
  write(value: W): Promise<void>;
}

type ArtifactInputs<I> = {
  readonly [K in keyof I as I[K] extends Param ? never : K]: I[K] extends ManyKind<infer O>
    ? readonly Reader<O>[]
    : I[K] extends ArtifactKind<infer O>
      ? Reader<O>
      : never;
};
type ParamInputs<I> = { readonly [K in keyof I as I[K] extends Param ? K : never]: I[K] extends Param<ParamType, boolean, infer V> ? V : never };
type Writers<O> = { readonly [K in keyof O]: O[K] extends ArtifactKind<infer A extends Output> ? Writer<Written<A>> : never };
type Returned<O> = {
  readonly [K in keyof O as O[K] extends ArtifactKind<Model> ? never : K]?: O[K] extends ArtifactKind<infer A extends Output> ? Written<A> : never;
};

/** Of a step without outputs: `({ log }) => log("done")`. */
// biome-ignore lint/suspicious/noConfusingVoidType: what such a function gives is void, and not undefined.
type Nothing = undefined | void;

/** What a step's function is given. */
export interface StepContext<I extends Inputs = Inputs, O extends Outputs = Outputs> {
  /** Readers of its artifacts, by name. An optional one that is not there is undefined at run time. */
  readonly inputs: ArtifactInputs<I>;
  /** The values of its params, by name. */
  readonly params: ParamInputs<I>;
  /** Where its outputs go. What the function returns by an output's name is written there too. */
  readonly outputs: Writers<O>;
  readonly run: string;
  readonly step: string;
  log(text: string): void;
  progress(done: number, total?: number, message?: string): void;
  /** Aborted when the run is cancelled or the time is over; the process is ended soon after. */
  readonly signal: AbortSignal;
}

/** A TypeScript step, with its function for tests of it. */
export interface TypeScriptStep<I extends Inputs, O extends Outputs> extends ProcessStep<I, O> {
  readonly run: (context: StepContext<I, O>) => unknown;
}

type None = Readonly<Record<never, never>>;
/**
 * A step that is a TypeScript function. It runs in a process of its own, from a bundle of its module and all that this imports, so it sees
 * nothing but its inputs and params. What it returns by the names of its outputs is written.
 */
export function step<const I extends Inputs = None, const O extends Outputs = None>(
  options: ProcessOptions & {
    name: string;
    in?: I;
    out?: O;
    run: (context: StepContext<I, O>) => Promise<Returned<O> | Nothing> | Returned<O> | Nothing;
  },
): TypeScriptStep<I, O> {
  const { name, run } = options;
  // Where it stands, until whoever knows the project's folder bundles it.
  const call = processStep<I, O>(name, { kind: "typescript", config: { bundle: here() ?? "", step: name } }, options, options);
  return Object.assign(call, { run });
}
