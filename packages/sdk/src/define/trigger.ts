import type { ConditionSpec, TriggerSpec } from "../spec.js";
import type { Dataset } from "./data.js";
import { type Definition, type DurationText, define } from "./definition.js";
import { type Param, plain } from "./params.js";
import type { Params, PipelineDefinition } from "./pipeline.js";
import { given, here } from "./place.js";
import type { Monitor } from "./serving.js";
import type { MetricName } from "./steps.js";

/** What starts a run. */
export interface Condition {
  readonly spec: ConditionSpec;
  readonly references: readonly Definition[];
}
/** The dataset has a version that is newer than the one that the pipeline's last run read. */
export const newData = (dataset: Dataset): Condition => ({ spec: { kind: "new_data", dataset: dataset.name }, references: [dataset] });
/** Five fields: minute, hour, day of the month, month, day of the week. Read in the zone, default UTC. */
export const cron = (expression: string, { zone = "UTC" }: { zone?: string } = {}): Condition => ({
  spec: { kind: "cron", expression, zone },
  references: [],
});
/** The monitor's newest value of a metric is below the bound. */
export const below = <M extends MetricName>(monitor: Monitor<M>, metric: NoInfer<M>, bound: number): Condition => ({
  spec: { kind: "below", monitor: monitor.name, metric, bound },
  references: [monitor],
});
/** The monitor's newest check found drift. */
export const drift = (monitor: Monitor): Condition => ({ spec: { kind: "drift", monitor: monitor.name }, references: [monitor] });

type Values<P extends Params> = { readonly [K in keyof P]?: P[K] extends Param<infer _T, boolean, infer V> ? V : never };

export interface Trigger extends Definition<"triggers"> {}
/** Starts a run of a pipeline when one of the conditions holds, and then none for the `coolDown`. */
export function trigger<P extends Params>(options: {
  name: string;
  run: PipelineDefinition<P>;
  when: readonly Condition[];
  coolDown?: DurationText;
  params?: Values<NoInfer<P>>;
}): Trigger {
  const params: Readonly<Record<string, string | number | boolean | readonly (string | number)[] | undefined>> = options.params ?? {};
  const spec: TriggerSpec = given({
    name: options.name,
    pipeline: options.run.name,
    when: options.when.map((condition) => condition.spec),
    coolDown: options.coolDown,
    params: options.params === undefined ? undefined : given(Object.fromEntries(Object.entries(params).map(([name, value]) => [name, plain(value)]))),
    definedAt: here(),
  });
  return define("triggers", spec, [options.run, ...options.when.flatMap((condition) => condition.references)]);
}
