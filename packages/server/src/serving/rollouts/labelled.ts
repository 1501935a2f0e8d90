/** What labels say about a rollout's candidate beside the stable version. */
import type { JudgeSpec, LossSpec } from "@millrace/sdk/spec";
import { batchRows, binaryMetrics, modelInput, streamColumns } from "../../evaluation/index.js";
import type { Platform } from "../../platform/index.js";
import { countLabels } from "../store.js";
import type { Serving } from "../types.js";
import { lossOf } from "./losses.js";
import { confidenceSequence } from "./sequential.js";
import type { RolloutRow } from "./store.js";
import type { Verdict } from "./verdicts.js";

type Of<K extends JudgeSpec["kind"]> = Extract<JudgeSpec, { kind: K }>;
export type LabelledJudge = Of<"metric_not_worse"> | Of<"loss_not_worse">;

/** What both versions say about the same rows, or, where they can't be asked again, about as many rows each, in the order in which the labels came. */
interface Scored {
  candidate: number[];
  stable: number[];
  /** Of the candidate's rows, and of the stable version's: the same where the rows are. */
  labels: number[];
  labelsOfStable: number[];
  failure: string | undefined;
}
/** The most rows that are looked at, the first ones: a rollout that needs more is not going to be decided. */
const mostRows = 20 * batchRows;

export interface Labelled {
  verdict(judge: LabelledJudge, rollout: RolloutRow): Promise<Verdict>;
}

export function createLabelled({ db, clock }: Pick<Platform, "db" | "clock">, serving: Pick<Serving, "usePredictions" | "scorer" | "takes">): Labelled {
  /** Of each rollout, how many labels there were when both versions were scored last. */
  const known = new Map<string, { come: number; at: number; scored: Scored }>();
  // A replayed clock's ticks are as far apart as the one who moves it wants.
  const askAgainMs = clock.kind === "replay" ? 0 : 15_000;

  async function scored(rollout: RolloutRow, stable: number, come: number): Promise<Scored> {
    const before = known.get(rollout.id);
    if (before !== undefined && (before.come === come || performance.now() - before.at < askAgainMs)) return before.scored;
    const features = (await serving.takes(rollout.endpoint)).kind === "features";
    const found = features ? await scoreBoth(rollout, stable) : await readBoth(rollout, stable);
    known.delete(rollout.id);
    known.set(rollout.id, { come, at: performance.now(), scored: found });
    for (const oldest of known.keys()) if (known.size > 8) known.delete(oldest);
    return found;
  }

  /** Both versions on the same logged features of labelled predictions since the rollout began, whichever of them answered. */
  async function scoreBoth(rollout: RolloutRow, against: number): Promise<Scored> {
    const [candidate, stable] = await Promise.all([serving.scorer(rollout.endpoint, rollout.candidate), serving.scorer(rollout.endpoint, against)]);
    const found: Scored = { candidate: [], stable: [], labels: [], labelsOfStable: [], failure: undefined };
    await serving.usePredictions(rollout.endpoint, { from: rollout.started_at }, async (connection, relation) => {
      const features = stable.features.map((feature) => `${modelInput(feature, "f_")} as "${feature.name}"`).join(", ");
      for await (const { columns, rows } of streamColumns(
        connection,
        `select ${features}, label as "label of the row" from ${relation} where label is not null order by labelled_at, id limit ${mostRows}`,
      )) {
        const { "label of the row": labels = [], ...inputs } = columns;
        try {
          const [theirs, ours] = [await candidate.predict(inputs, rows), await stable.predict(inputs, rows)];
          for (const value of theirs) found.candidate.push(value);
          for (const value of ours) found.stable.push(value);
          for (const label of labels) found.labels.push(Number(label));
        } catch (error) {
          found.failure = (error as Error).message;
          return;
        }
      }
    });
    return { ...found, labelsOfStable: found.labels };
  }
  /** What each of them answered: which one did was drawn by lot. */
  async function readBoth(rollout: RolloutRow, against: number): Promise<Scored> {
    const found: Scored = { candidate: [], stable: [], labels: [], labelsOfStable: [], failure: undefined };
    await serving.usePredictions(rollout.endpoint, { from: rollout.started_at }, async (connection, relation) => {
      for await (const { columns, rows } of streamColumns(
        connection,
        `select version::double as version, prediction::double as prediction, label::double as label from ${relation}
         where label is not null and prediction is not null and version in (${rollout.candidate}, ${against}) and route in ('stable', 'candidate')
         order by labelled_at, id limit ${mostRows}`,
      )) {
        for (let row = 0; row < rows; row++) {
          const theirs = columns.version?.[row] === rollout.candidate;
          (theirs ? found.candidate : found.stable).push(Number(columns.prediction?.[row]));
          (theirs ? found.labels : found.labelsOfStable).push(Number(columns.label?.[row]));
        }
      }
    });
    return found;
  }

  return {
    async verdict(judge, rollout) {
      if (rollout.stable === null) return { failed: false, undecided: false, why: "Nothing answered before it." };
      // Cheap to ask, and mostly the answer while a rollout waits. Some of them may be of earlier predictions.
      const come = await countLabels(db, rollout.endpoint, rollout.started_at);
      const needed = judge.kind === "metric_not_worse" ? judge.minLabels : 1;
      if (come < needed) return { failed: false, undecided: true, why: `${come} of ${needed} labels came.` };
      const found = await scored(rollout, rollout.stable, come);
      if (found.failure !== undefined) return { failed: true, undecided: false, why: `It failed on predictions that were logged: ${found.failure}` };
      return judge.kind === "metric_not_worse" ? metricVerdict(judge, found, rollout.stable) : lossVerdict(judge, found, rollout.stable);
    },
  };
}

function metricVerdict({ metric, by, minLabels }: Of<"metric_not_worse">, found: Scored, against: number): Verdict {
  const labels = Math.min(found.labels.length, found.labelsOfStable.length);
  if (labels < minLabels) return { failed: false, undecided: true, why: `${labels} of ${minLabels} labels came.` };
  const of = (predictions: number[], truth: number[]) =>
    numberOf(
      binaryMetrics(
        Float64Array.from(predictions),
        Uint8Array.from(truth, (label) => (label > 0.5 ? 1 : 0)),
      ),
      metric,
    );
  const [theirs, ours] = [of(found.candidate, found.labels), of(found.stable, found.labelsOfStable)];
  if (theirs === null || ours === null) return { failed: false, undecided: true, why: `${metric} can't be computed on ${labels} labels of one class.` };
  const worse = metric === "auc" ? ours - theirs : theirs - ours;
  const why = `On ${labels} labelled predictions its ${metric} is ${theirs.toFixed(4)}, that of v${against} ${ours.toFixed(4)}.`;
  return { failed: worse > by, undecided: false, why };
}

/** The sequential test of the paired difference of losses: not worse by `by` when all of the interval is below it, worse when all of it is above. */
function lossVerdict({ loss, by, alpha }: Of<"loss_not_worse">, found: Scored, against: number): Verdict {
  const { lower, upper, mean, count } = lossDifference(loss, 2 * alpha, found);
  const why = `On ${count} labelled predictions its ${loss.kind} is ${signed(mean)} against v${against}, with ${Number((100 * (1 - 2 * alpha)).toFixed(2))}% confidence at all looks from ${signed(lower)} to ${signed(upper)}; it may be worse by ${by}.`;
  return { failed: lower > by, undecided: upper >= by && lower <= by, why };
}
function lossDifference(spec: LossSpec, alpha: number, { candidate, stable, labels, labelsOfStable }: Scored) {
  const loss = lossOf(spec);
  const sequence = confidenceSequence({ from: -loss.most, to: loss.most, alpha: Math.min(0.99, alpha) });
  for (let row = 0; row < Math.min(candidate.length, stable.length); row++) {
    sequence.observe(loss.of(candidate[row] ?? 0, labels[row] ?? 0) - loss.of(stable[row] ?? 0, labelsOfStable[row] ?? 0));
  }
  return { ...sequence.interval, mean: sequence.mean, count: sequence.count };
}
const signed = (value: number): string => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(4)}`;
function numberOf(metrics: object, name: string): number | null {
  const value = (metrics as Record<string, unknown>)[name];
  return typeof value === "number" ? value : null;
}
