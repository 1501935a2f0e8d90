import type { PipelineSpec } from "../spec.js";
import { build, type ItemRef, inline, inputOf, problem, reference } from "./context.js";
import { type Definition, define } from "./definition.js";
import { type Param, type ParamRef, type ParamType, paramSpec } from "./params.js";
import { given, here } from "./place.js";

export type Params = Readonly<Record<string, Param>>;
type Refs<P extends Params> = { readonly [K in keyof P]: P[K] extends Param<infer T, boolean, infer V> ? ParamRef<T, V> : never };

/** A pipeline as a definition: what triggers start. */
export interface PipelineDefinition<out P extends Params = Params> extends Definition<"pipelines"> {
  /** Only for the types. */
  readonly params?: P;
}
type Given<D> = D extends Param<infer T, boolean, infer V> ? ParamRef<T, V> | ItemRef<V> | V : never;
type Needed<P extends Params> = { [K in keyof P]: P[K] extends Param<ParamType, true> ? never : K }[keyof P];
type Call<P extends Params> = { readonly [K in Needed<P>]: Given<P[K]> } & { readonly [K in Exclude<keyof P, Needed<P>>]?: Given<P[K]> };

/** A pipeline. Called in the body of another one, its steps become a part of that, and it gives what its body returned. */
export type Pipeline<P extends Params = Params, R = unknown> = PipelineDefinition<P> &
  ((params: Call<P>, options?: { /** What the ids of its steps begin with; default its name. */ name?: string }) => R);

/**
 * A graph of steps. The body is run once, when the definition is read: what it calls are the steps, and what it passes on are the edges.
 * A step runs when those that it takes from are done.
 */
export function pipeline<const P extends Params = Readonly<Record<never, never>>, R = void>(
  options: { name: string; description?: string; params?: P },
  body: (params: Refs<P>) => R,
): Pipeline<P, R> {
  const definedAt = here();
  const declared = Object.entries<Param>(options.params ?? {});
  const refs = Object.fromEntries(declared.map(([name, { param }]) => [name, { paramOf: options.name, paramType: param, name }]));
  // The names and types are those of `params`, which only the compiler knows.
  const { nodes, references, problems } = build(options.name, () => body(refs as Refs<P>));
  const spec: PipelineSpec = given({
    name: options.name,
    description: options.description,
    params: declared.map(([name, param]) => paramSpec(name, param)),
    nodes,
    definedAt,
  });

  function use(params: Readonly<Record<string, unknown>>, { name = options.name }: { name?: string } = {}): R {
    return inline(name, (outer) => {
      const passed = declared.map(([key, param]): [string, ParamRef] => {
        const input = inputOf(params[key] ?? param.default);
        if (input === undefined) problem(`the pipeline "${options.name}" is used without its param "${key}"`);
        const source = input === undefined ? { literal: null } : reference(`the param "${key}" of the pipeline "${options.name}"`, input);
        return [key, { paramOf: outer, paramType: param.param, name: key, source }];
      });
      return body(Object.fromEntries(passed) as Refs<P>);
    });
  }
  const definition = define("pipelines", spec, references, problems);
  // A function has a name of its own, which only defining it anew replaces.
  for (const key of Reflect.ownKeys(definition)) Object.defineProperty(use, key, { value: Reflect.get(definition, key), enumerable: true });
  return use as unknown as Pipeline<P, R>;
}
