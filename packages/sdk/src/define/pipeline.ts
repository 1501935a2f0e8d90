import type { PipelineSpec } from "../spec.js";
import { build } from "./context.js";
import { type Definition, define } from "./definition.js";
import { type Param, type ParamRef, paramSpec } from "./params.js";
import { given, here } from "./place.js";

export type Params = Readonly<Record<string, Param>>;
type Refs<P extends Params> = { readonly [K in keyof P]: P[K] extends Param<infer T, boolean, infer V> ? ParamRef<T, V> : never };

export interface Pipeline<out P extends Params = Params> extends Definition<"pipelines"> {
  /** Only for the types. */
  readonly params?: P;
}

/**
 * A graph of steps. The body is run once, when the definition is read: what it calls are the steps, and what it passes on are the edges.
 * A step runs when those that it takes from are done.
 */
export function pipeline<const P extends Params = Readonly<Record<never, never>>>(
  options: { name: string; description?: string; params?: P },
  body: (params: Refs<P>) => unknown,
): Pipeline<P> {
  const definedAt = here();
  const declared = Object.entries<Param>(options.params ?? {});
  const refs = Object.fromEntries(declared.map(([name, { param }]) => [name, { paramOf: options.name, paramType: param, name }]));
  // The names and types are those of `params`, which only the compiler knows.
  const { nodes, references, problems } = build(options.name, () => void body(refs as Refs<P>));
  const spec: PipelineSpec = given({
    name: options.name,
    description: options.description,
    params: declared.map(([name, param]) => paramSpec(name, param)),
    nodes,
    definedAt,
  });
  return define("pipelines", spec, references, problems);
}
