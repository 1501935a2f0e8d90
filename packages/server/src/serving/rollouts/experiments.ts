/** A/B/n: which of several versions is better by what came of the keys that it answered. */
import type { Rollout } from "@millrace/sdk/api";
import type { ExperimentSpec } from "@millrace/sdk/spec";
import { streamColumns } from "../../evaluation/index.js";
import type { Serving } from "../types.js";
import { placeOf, versionAt } from "./assignment.js";
import { lossOf } from "./losses.js";
import { compareMeans, ratioMismatch, sampleOf, sampleSize } from "./power.js";
import { confidenceSequence } from "./sequential.js";
import type { RolloutRow } from "./store.js";

type Result = NonNullable<Rollout["result"]>;
type Arm = Result["arms"][number];

/** A split that differs from the declared one so much that chance does it once in a thousand times is not the declared one. */
const mismatch = 0.001;

/** How many labelled keys each of so many arms needs, and the control too. */
export function neededUnits(plan: ExperimentSpec, arms: number): number {
  const { from, to } = rangeOf(plan);
  return sampleSize({ alpha: plan.alpha, power: plan.power, effect: plan.effect, variance: plan.variance ?? (to - from) ** 2 / 4 }, arms);
}
function rangeOf({ metric }: ExperimentSpec): { from: number; to: number } {
  return metric.kind === "label" ? metric : { from: 0, to: lossOf(metric.loss).most };
}

/** Values of an experiment, in the order in which their labels came. */
export interface Units {
  /** By version: of each labelled key one value. */
  values: Map<number, number[]>;
  /** By version: the keys that were answered, labelled or not. */
  keys: Map<number, number>;
}

/** Reads what came of each key: of its first labelled prediction, whatever version its request was meant for. */
export async function readUnits(serving: Pick<Serving, "usePredictions">, rollout: RolloutRow, plan: ExperimentSpec): Promise<Units> {
  const values = new Map<number, number[]>();
  const keys = new Map<number, number>();
  const control = rollout.stable ?? rollout.candidate;
  const loss = plan.metric.kind === "loss" ? lossOf(plan.metric.loss) : undefined;
  await serving.usePredictions(rollout.endpoint, { from: rollout.started_at }, async (connection, relation) => {
    const unit = `coalesce(key, regexp_replace(id, ':[0-9]+$', ''))`;
    const rows = streamColumns(
      connection,
      `select ${unit} as unit, prediction::double as prediction, label::double as label from ${relation}
       where label is not null and route in ('control', 'arm', 'fallback') ${loss === undefined ? "" : "and prediction is not null"}
       qualify row_number() over (partition by ${unit} order by labelled_at, id) = 1 order by labelled_at, id`,
    );
    for await (const { columns, rows: count } of rows) {
      for (let row = 0; row < count; row++) {
        // As it was drawn, not as it was answered: an arm pays for the requests that it failed.
        const version = armOf(rollout, String(columns.unit?.[row])) ?? control;
        const label = Number(columns.label?.[row]);
        const value = loss === undefined ? label : loss.of(Number(columns.prediction?.[row]), label);
        const list = values.get(version) ?? [];
        values.set(version, list);
        list.push(value);
      }
    }
    const counts = streamColumns(
      connection,
      `select version::double as version, count(distinct ${unit})::double as keys from ${relation} where route in ('control', 'arm') group by version`,
    );
    for await (const { columns, rows: count } of counts) {
      for (let row = 0; row < count; row++) keys.set(Number(columns.version?.[row]), Number(columns.keys?.[row]));
    }
  });
  return { values, keys };
}
/** The arm of a key; undefined: the control. */
export const armOf = (rollout: { id: string; slots: RolloutRow["slots"] }, key: string): number | undefined =>
  versionAt(rollout.slots, placeOf(`${rollout.id}/${key}`));

/** What the experiment says; undefined while it says nothing yet. */
export function resultOf(rollout: Pick<RolloutRow, "slots" | "stable" | "candidate">, plan: ExperimentSpec, units: Units): Result | undefined {
  const control = rollout.stable ?? rollout.candidate;
  const versions = [...new Set(rollout.slots.map((slot) => slot.version))];
  const all = [control, ...versions];
  const needed = neededUnits(plan, versions.length);
  const of = (version: number) => units.values.get(version) ?? [];
  // No difference is better or worse than the other way round: more is better from here on.
  const sign = plan.metric.kind === "label" && plan.metric.goal === "increase" ? 1 : -1;
  const found = plan.test === "fixed" ? fixed() : sequential();
  if (found === undefined) return undefined;
  const { arms, over } = found;
  if (!over) return undefined;

  const weights = versions.map((version) => rollout.slots.reduce((sum, slot) => sum + (slot.version === version ? slot.to - slot.from : 0), 0));
  const counts = all.map((version) => units.keys.get(version) ?? 0);
  const chance = ratioMismatch(counts, [1 - weights.reduce((sum, one) => sum + one, 0), ...weights]);
  if (chance < mismatch) {
    const why = `The arms were answered for ${counts.join(", ")} keys, which the declared weights give by chance with a probability of ${chance.toExponential(1)}: something else decides who is counted, and the arms can't be compared.`;
    return { winner: null, valid: false, needed, arms, why };
  }
  const better = arms.filter((arm) => arm.difference !== null && (sign > 0 ? (arm.lower ?? 0) > 0 : (arm.upper ?? 0) < 0));
  const [best] = better.sort((a, b) => sign * ((b.difference ?? 0) - (a.difference ?? 0)));
  const told = (arm: Arm) => `v${arm.version} ${arm.mean.toFixed(4)} (${signed(arm.difference)}, from ${signed(arm.lower)} to ${signed(arm.upper)})`;
  const list = arms.map((arm) => (arm.difference === null ? `the control v${arm.version} ${arm.mean.toFixed(4)}` : told(arm))).join(", ");
  const why = `${best === undefined ? "No arm is better than the control" : `v${best.version} is better than the control`}: ${list}, on ${arms.map((arm) => arm.units).join(", ")} keys.`;
  return { winner: best?.version ?? null, valid: true, needed, arms, why };

  /** The first keys of each arm, as many as were declared: looked at once. */
  function fixed(): { arms: Arm[]; over: boolean } | undefined {
    if (all.some((version) => of(version).length < needed)) return undefined;
    const base = sampleOf(of(control).slice(0, needed));
    const arms = all.map((version): Arm => {
      const sample = sampleOf(of(version).slice(0, needed));
      if (version === control) return { version, units: sample.count, mean: sample.mean, difference: null, lower: null, upper: null, p: null };
      const compared = compareMeans(sample, base, plan.alpha / versions.length);
      return { version, units: sample.count, mean: sample.mean, ...compared };
    });
    return { arms, over: true };
  }
  /**
   * Keys of an arm and of the control in pairs, as they came: which of two keys is whose was drawn by lot, so the differences of pairs are those of the versions. Over when
   * an arm is better, or none can be better by as much as matters any more.
   */
  function sequential(): { arms: Arm[]; over: boolean } {
    const { from, to } = rangeOf(plan);
    const base = of(control);
    const arms = versions.map((version): Arm => {
      const sequence = confidenceSequence({ from: from - to, to: to - from, alpha: plan.alpha / versions.length });
      const theirs = of(version);
      for (let i = 0; i < Math.min(theirs.length, base.length); i++) sequence.observe((theirs[i] ?? 0) - (base[i] ?? 0));
      return { version, units: theirs.length, mean: sampleOf(theirs).mean, difference: sequence.mean, ...sequence.interval, p: null };
    });
    const isBetter = (arm: Arm) => (sign > 0 ? (arm.lower ?? 0) > 0 : (arm.upper ?? 0) < 0);
    const hopeless = (arm: Arm) => (sign > 0 ? (arm.upper ?? 0) < plan.effect : (arm.lower ?? 0) > -plan.effect);
    const own: Arm = { version: control, units: base.length, mean: sampleOf(base).mean, difference: null, lower: null, upper: null, p: null };
    return { arms: [own, ...arms], over: arms.some(isBetter) || arms.every(hopeless) };
  }
}
const signed = (value: number | null): string => (value === null ? "–" : `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(4)}`);
