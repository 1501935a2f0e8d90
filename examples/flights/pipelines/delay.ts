/** From the flights so far to a model that may answer. */
import {
  better,
  bool,
  champion,
  championModel,
  choice,
  evaluate,
  float,
  historicalFeatures,
  int,
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
  value,
  when,
} from "@millrace/sdk";
import { flights } from "../datasets.js";
import { delayFeatures } from "../features.js";
import { flightsSchema } from "../schemas.js";

const until = month({ default: "latest", description: "Flights up to and with this month" });
const rounds = int({ min: 10, max: 1_000, default: 100, description: "Trees; of a model that goes on with another, so many more" });
const leaves = int({ min: 4, max: 255, default: 31 });
const rate = float({ min: 0.01, max: 0.5, default: 0.1, description: "Learning rate" });
const warm = bool({ default: false, description: "Goes on with the champion's trees instead of beginning anew" });
/** Spoils a model on purpose: the replay shows with it what is refused, and what is rolled back. */
const fault = choice(["none", "shuffled_labels", "month_table"], { default: "none" });

const training = {
  script: "train.py",
  requirements: "requirements.lock",
  out: { model: Model },
  resources: { cpus: 2, memory: "4GiB" },
  timeout: "30m",
  retries: { times: 1, on: ["timeout", "out_of_memory"] },
} as const;
export const trainDelay = python({ name: "train", in: { train: Table, rounds, leaves, rate, fault }, ...training });
/** The same, from a model on. A step of its own, since a training from nothing is the same whoever the champion is. */
export const goOn = python({ name: "go_on", in: { train: Table, start: Model, rounds, leaves, rate, fault }, ...training });

/** A model and what it is worth. A pipeline of its own, so that a sweep can try it without registering anything. */
export const fit = pipeline({ name: "fit", params: { until, rounds, leaves, rate, warm, fault } }, ({ until, warm, ...tuning }) => {
  const checked = validate(flights.upTo(until), flightsSchema);
  const rows = historicalFeatures(checked, delayFeatures, {
    select: `select time_hour + to_minutes(minute) as sched_dep, carrier, origin, dest, coalesce(tailnum, '') as tailnum,
      distance::double as distance, arr_delay > 15 as late from rows where arr_delay is not null`,
  });
  const { train, test } = splitByTime(rows, { test: "14d" });
  const { model } = when(
    value(warm).is(true),
    () => goOn({ train, start: championModel("delay"), ...tuning }),
    () => trainDelay({ train, ...tuning }),
  );
  const report = evaluate(model, test, { label: "late", slices: ["carrier", "origin"], against: champion("delay") });
  return { model, report };
});

export const delay = pipeline({ name: "delay", params: { until, rounds, leaves, rate, warm, fault } }, (params) => {
  const { model, report } = fit(params);
  register(model, report, {
    name: "delay",
    gates: [better("auc", { by: 0.002 }), noSliceWorse("auc", { by: 0.05, minRows: 500 }), sameAsTrained({ within: 1e-5 }), latency({ p99: "50ms" })],
    alias: "challenger",
  });
});
