/** From settled payments to a model that may decide about the next one. */
import {
  atLeast,
  better,
  champion,
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
import { settlements } from "../datasets.js";
import { fraudFeatures } from "../features.js";
import { settlementsSchema } from "../schemas.js";

export const trainFraud = python({
  name: "train_fraud",
  script: "training/fraud.py",
  requirements: "requirements.lock",
  in: { train: Table },
  out: { model: Model },
});

export const fraud = pipeline({ name: "fraud", params: { until: month({ default: "latest" }) } }, ({ until }) => {
  const settled = validate(settlements.upTo(until), settlementsSchema);
  const rows = historicalFeatures(settled, fraudFeatures, {
    select: 'select "at", user_id, merchant_id, device_id, amount, channel, distance_km, fraud from rows',
  });
  // Rings change how they steal, so that only what came after the training tells how good a model is.
  const { train, test } = splitByTime(rows, { test: "3d", train: "30d" });
  const { model } = trainFraud({ train });
  const report = evaluate(model, test, { label: "fraud", slices: ["channel", "category"], against: champion("fraud") });
  register(model, report, {
    name: "fraud",
    gates: [
      atLeast("auc", 0.75),
      better("auc", { by: 0.005 }),
      noSliceWorse("auc", { by: 0.1, minRows: 500, severity: "warn" }),
      sameAsTrained({ within: 1e-5 }),
      latency({ p99: "50ms" }),
    ],
  });
});
