import type { Search, SearchRange, StopSpec, SweepSpec } from "../spec.js";
import { type Definition, define } from "./definition.js";
import type { Param, ParamType } from "./params.js";
import type { Params, Pipeline } from "./pipeline.js";
import { given, here } from "./place.js";

/** Values of a param to try; `T` says of which types of params they can be. */
export interface SearchValues<out T extends ParamType = ParamType> {
  readonly search: SearchRange;
  /** Only for the types. */
  readonly of?: T;
}

/** Whole numbers, both ends included. */
export const intRange = (from: number, to: number, options: { step?: number; log?: boolean } = {}): SearchValues<"int"> => ({
  search: given({ kind: "int", from, to, step: options.step, log: options.log }),
});
/** Numbers between both, evenly. A grid takes so many `points` of them, or one each `step`. */
export const uniform = (from: number, to: number, options: { step?: number; points?: number } = {}): SearchValues<"float"> => ({
  search: given({ kind: "float", from, to, step: options.step, points: options.points }),
});
/** Numbers between both, evenly by their order of magnitude: as for learning rates. */
export const logUniform = (from: number, to: number, options: { points?: number } = {}): SearchValues<"float"> => ({
  search: given({ kind: "float", from, to, log: true, points: options.points }),
});

/** Asynchronous successive halving: at each rung of steps the best `1/reduction` go on. */
export const asha = (options: { reduction?: number; minSteps?: number } = {}): StopSpec => given({ kind: "asha", ...options });
/** Ends a trial that is worse than the median of the others at the same step. */
export const median = (options: { warmUp?: number; trials?: number } = {}): StopSpec => given({ kind: "median", ...options });

/** Lists are not searched. */
type Plain = string | number | boolean;
type Tried<P> = P extends Param<infer T, boolean, infer V> ? readonly (V & Plain)[] | (T extends "int" | "float" ? SearchValues<T> : never) : never;
type Over<P extends Params> = { readonly [K in keyof P]?: Tried<P[K]> };
type Fixed<P extends Params> = { readonly [K in keyof P]?: P[K] extends Param<infer _T, boolean, infer V> ? V & Plain : never };

export interface Sweep extends Definition<"sweeps"> {}

/**
 * Tries a pipeline with many values of its params: each trial is a run. `millrace sweep <name>` starts it.
 * `sweep({ name: "tune", run: delay, over: { depth: intRange(3, 8), lr: logUniform(0.001, 0.3), kind: ["tree", "linear"] }, search: "bayesian", trials: 20, goal: { maximize: "auc" } })`
 */
export function sweep<P extends Params>(options: {
  name: string;
  description?: string;
  run: Pipeline<P>;
  over: Over<NoInfer<P>>;
  search: Search;
  trials?: number;
  atOnce?: number;
  seed?: number;
  goal: { maximize: string } | { minimize: string };
  stop?: StopSpec;
  params?: Fixed<NoInfer<P>>;
  maxFailed?: number;
}): Sweep {
  const params: Readonly<Record<string, string | number | boolean | undefined>> | undefined = options.params;
  const over: Readonly<Record<string, readonly (string | number | boolean)[] | SearchValues | undefined>> = options.over;
  const { goal } = options;
  const spec: SweepSpec = given({
    name: options.name,
    description: options.description,
    pipeline: options.run.name,
    over: Object.fromEntries(
      Object.entries(over).flatMap(([name, values]): [string, SearchRange][] => {
        if (values === undefined) return [];
        return [[name, "search" in values ? values.search : { kind: "choice", values: [...values] }]];
      }),
    ),
    search: options.search,
    trials: options.trials,
    atOnce: options.atOnce,
    seed: options.seed,
    goal: "maximize" in goal ? { metric: goal.maximize, direction: "maximize" as const } : { metric: goal.minimize, direction: "minimize" as const },
    stop: options.stop,
    params: params === undefined ? undefined : given(params),
    maxFailed: options.maxFailed,
    definedAt: here(),
  });
  return define("sweeps", spec, [options.run]);
}
