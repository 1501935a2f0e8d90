/** From the flights so far to a model that may answer. */
import {
  better,
  champion,
  choice,
  evaluate,
  historicalFeatures,
  latency,
  Model,
  month,
  noSliceWorse,
  pipeline,
  python,
  register,
  sameAsTrained,
  splitByTime,
  Table,
  validate,
} from "@millrace/sdk";
import { flights } from "../datasets.js";
import { delayFeatures } from "../features.js";
import { flightsSchema } from "../schemas.js";

/** `fault` spoils a model on purpose: the replay shows with it what is refused, and what is rolled back. */
const fault = choice(["none", "shuffled_labels", "month_table"], { default: "none" });

export const trainDelay = python({
  name: "train",
  script: "train.py",
  requirements: "requirements.lock",
  in: { train: Table, fault },
  out: { model: Model },
});

export const delay = pipeline({ name: "delay", params: { until: month({ default: "latest" }), fault } }, ({ until, fault }) => {
  const checked = validate(flights.upTo(until), flightsSchema);
  const rows = historicalFeatures(checked, delayFeatures, {
    select: `select time_hour + to_minutes(minute) as sched_dep, carrier, origin, dest, coalesce(tailnum, '') as tailnum,
      distance::double as distance, arr_delay > 15 as late from rows where arr_delay is not null`,
  });
  const { train, test } = splitByTime(rows, { test: "14d" });
  const { model } = trainDelay({ train, fault });
  const report = evaluate(model, test, { label: "late", slices: ["carrier", "origin"], against: champion("delay") });
  register(model, report, {
    name: "delay",
    gates: [better("auc", { by: 0.002 }), noSliceWorse("auc", { by: 0.05, minRows: 500 }), sameAsTrained({ within: 1e-5 }), latency({ p99: "50ms" })],
    alias: "challenger",
  });
});
