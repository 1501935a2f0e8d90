import type { ArtifactKind, Output } from "./artifacts.js";
import { addNode, type Input, problem } from "./context.js";
import type { DurationText } from "./definition.js";
import type { Param, ParamRef, ParamType } from "./params.js";
import { given } from "./place.js";
import type { StepOptions } from "./steps.js";

type Inputs = Readonly<Record<string, ArtifactKind | Param>>;
type Outputs = Readonly<Record<string, ArtifactKind>>;
/** What a call passes for an input: the output of a step, or a param of the pipeline or its value. */
type Argument<I> = I extends ArtifactKind<infer O> ? O : I extends Param<infer T, boolean, infer V> ? ParamRef<T, V> | V : never;
type WithDefault<I extends Inputs> = { [K in keyof I]: I[K] extends Param<ParamType, true> ? K : never }[keyof I];
type Arguments<I extends Inputs> = { readonly [K in Exclude<keyof I, WithDefault<I>>]: Argument<I[K]> } & {
  readonly [K in WithDefault<I>]?: Argument<I[K]>;
};
type Results<O extends Outputs> = { readonly [K in keyof O]: O[K] extends ArtifactKind<infer A> ? A : never };

/** Called in the body of a pipeline. */
export type PythonStep<I extends Inputs, O extends Outputs> = (inputs: Arguments<I>, options?: StepOptions) => Results<O>;

/**
 * A step that is a Python script of the project. It runs in an environment made from the locked requirements and finds its inputs and
 * params by the names that are declared here.
 */
export function python<const I extends Inputs, const O extends Outputs>(options: {
  /** The step's name in the run; default the script's. */
  name?: string;
  /** Relative to the project's folder. */
  script: string;
  /** Locked requirements, relative to the project's folder. */
  requirements?: string;
  in: I;
  out: O;
  timeout?: DurationText;
  retries?: number;
}): PythonStep<I, O> {
  const config = given({ script: options.script, requirements: options.requirements });
  const stem = options.script.slice(options.script.lastIndexOf("/") + 1).replace(/\.[^.]*$/, "");

  return (passed, step = {}) => {
    const name = step.name ?? options.name ?? stem;
    const inputs: Record<string, Input> = {};
    const values: Readonly<Record<string, unknown>> = passed;
    for (const [key, declared] of Object.entries<ArtifactKind | Param>(options.in)) {
      const value = values[key] ?? ("param" in declared ? declared.default : undefined);
      if (isInput(value)) inputs[key] = value;
      else if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") inputs[key] = { literal: value };
      else problem(`the step "${name}" is not given its input "${key}"`);
    }
    const declaredOutputs = Object.entries<ArtifactKind>(options.out);
    const node = addNode(
      name,
      { kind: "python", config },
      inputs,
      declaredOutputs.map(([key, { kind }]) => [key, kind] as const),
      [],
      step,
    );
    // What a name stands for is known to the compiler alone.
    return Object.fromEntries(declaredOutputs.map(([key, { kind }]) => [key, node.output(key, kind)])) as Results<O>;
  };
}

function isInput(value: unknown): value is Output | ParamRef {
  return typeof value === "object" && value !== null && ("node" in value || "paramOf" in value);
}
