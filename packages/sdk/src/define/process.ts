/** What the steps that are processes share: declared inputs and outputs, and calls that are checked against them. */
import type { TakesSpec } from "../spec.js";
import type { ArtifactKind, Json, List, ManyKind } from "./artifacts.js";
import { addNode, type Input, type ItemRef, inputOf, problem } from "./context.js";
import { type ProcessOptions, processFields } from "./options.js";
import type { Param, ParamRef, ParamType } from "./params.js";
import { given } from "./place.js";

export type Declared = ArtifactKind | ManyKind | Param;
export type Inputs = Readonly<Record<string, Declared>>;
export type Outputs = Readonly<Record<string, ArtifactKind>>;

/** What a call passes for an input: the output of a step, a list of them, or a param of the pipeline or its value. */
export type Argument<I> =
  I extends ManyKind<infer O>
    ? List<O>
    : I extends ArtifactKind<infer O>
      ? O | (O extends Json<infer T> ? ItemRef<T> : never)
      : I extends Param<infer T, boolean, infer V>
        ? ParamRef<T, V> | ItemRef<V> | V | (T extends "float" ? ParamRef<"int"> : never)
        : never;
type WithDefault<I extends Inputs> = { [K in keyof I]: I[K] extends Param<ParamType, true> ? K : never }[keyof I];
export type Arguments<I extends Inputs> = { readonly [K in Exclude<keyof I, WithDefault<I>>]: Argument<I[K]> } & {
  readonly [K in WithDefault<I>]?: Argument<I[K]>;
};
export type Results<O extends Outputs> = { readonly [K in keyof O]: O[K] extends ArtifactKind<infer A> ? A : never };

/** Called in the body of a pipeline. */
export type ProcessStep<I extends Inputs, O extends Outputs> = (inputs: Arguments<I>, options?: ProcessOptions) => Results<O>;

type ProcessKind =
  | { kind: "python"; config: { script: string; requirements?: string } }
  | { kind: "command"; config: { command: string[]; requirements?: string } }
  | { kind: "typescript"; config: { bundle: string; step: string } };

export function processStep<const I extends Inputs, const O extends Outputs>(
  name: string,
  kind: ProcessKind,
  declared: { in?: I | undefined; out?: O | undefined },
  defaults: ProcessOptions,
): ProcessStep<I, O> {
  return (passed, options = {}) => {
    const merged = { ...defaults, ...options };
    const id = merged.name ?? name;
    const inputs: Record<string, Input> = {};
    const takes: Record<string, TakesSpec> = {};
    const values: Readonly<Record<string, unknown>> = passed;
    for (const [key, one] of Object.entries<Declared>(declared.in ?? {})) {
      takes[key] = takesOf(one);
      const input = inputOf(values[key] ?? ("param" in one ? one.default : undefined));
      if (input === undefined) problem(`the step "${id}" is not given its input "${key}"`);
      else inputs[key] = input;
    }
    const stranger = Object.keys(values).find((key) => takes[key] === undefined);
    if (stranger !== undefined) problem(`the step "${id}" is given "${stranger}", which it does not declare`);
    const outputs = Object.entries<ArtifactKind>(declared.out ?? {});
    const fields = { ...processFields(merged), takes };
    const node = addNode(
      id,
      kind,
      inputs,
      outputs.map(([key, one]) => [key, one.kind] as const),
      [],
      merged,
      fields,
    );
    // What a name stands for is known to the compiler alone.
    return Object.fromEntries(outputs.map(([key, one]) => [key, node.output(key, one.kind)])) as Results<O>;
  };
}

function takesOf(declared: Declared): TakesSpec {
  if ("param" in declared) return { type: declared.param };
  const one = "many" in declared ? declared.many : declared;
  return given({ type: one.kind, many: "many" in declared ? true : undefined, columns: one.columns });
}
