import type { ScheduledUnit } from "../scheduled.js";
import type { Overlap, ScheduleSpec } from "../spec.js";
import { type Definition, type DurationText, define } from "./definition.js";
import type { Param } from "./params.js";
import type { Params, Pipeline } from "./pipeline.js";
import { given, here } from "./place.js";

export type { ScheduledUnit } from "../scheduled.js";

/** Stands for the moment for which a schedule starts a run. */
export type Scheduled<U extends ScheduledUnit = ScheduledUnit> = `{scheduled:${U}${"" | `+${number}` | `-${number}`}}`;

/**
 * The moment for which the run is, in the schedule's zone: `scheduled("month")` is `2024-03`, and `scheduled("month", { minus: 1 })` the month before.
 * `year`, `week` as `2024-W05`, `date` as `2024-03-01`, `hour` as `2024-03-01T06`, and `time` in UTC to the millisecond.
 */
export function scheduled<U extends ScheduledUnit>(unit: U, by: { plus: number } | { minus: number } = { plus: 0 }): Scheduled<U> {
  const count = "plus" in by ? by.plus : -by.minus;
  // The template's parts are what the type says; the compiler does not follow through the sign.
  return `{scheduled:${unit}${count === 0 ? "" : count > 0 ? `+${count}` : count}}` as Scheduled<U>;
}

/** Lists are for runs that are asked for. */
type Plain = string | number | boolean;
type ValueIn<P> = P extends Param<infer T, boolean, infer V> ? (V & Plain) | (T extends "month" ? Scheduled<"month"> : never) : never;
type Values<P extends Params> = { readonly [K in keyof P]?: ValueIn<P[K]> };

export type CatchUpPolicy = "none" | "last" | "all" | { all: number };
export interface Schedule extends Definition<"schedules"> {}

/**
 * Starts a run of a pipeline at the moments of a cron expression: five fields, read in `zone`, default UTC. An hour that summer time leaves out
 * counts as its end, and one that it repeats counts once, except where the hours are `*`.
 * `catchUp`: for moments that passed while no server ran, a run for the last of them (the default), for none, or for all, at most so many.
 * `overlap`: while a run of the schedule is under way a moment is skipped (the default), waits, ends that run, or does not care.
 */
export function schedule<P extends Params>(options: {
  name: string;
  description?: string;
  run: Pipeline<P>;
  cron: string;
  zone?: string;
  params?: Values<NoInfer<P>>;
  catchUp?: CatchUpPolicy;
  overlap?: Overlap;
  jitter?: DurationText;
  paused?: boolean;
}): Schedule {
  const params: Readonly<Record<string, string | number | boolean | undefined>> | undefined = options.params;
  const { catchUp } = options;
  const spec: ScheduleSpec = given({
    name: options.name,
    description: options.description,
    pipeline: options.run.name,
    cron: options.cron,
    zone: options.zone ?? "UTC",
    params: params === undefined ? undefined : given(params),
    catchUp: typeof catchUp === "object" ? ("all" as const) : catchUp,
    catchUpLimit: typeof catchUp === "object" ? catchUp.all : undefined,
    overlap: options.overlap,
    jitter: options.jitter,
    paused: options.paused,
    definedAt: here(),
  });
  return define("schedules", spec, [options.run]);
}
