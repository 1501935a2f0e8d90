/** From loans that are over to a model that may decide about the next one. */
import {
  atLeast,
  better,
  champion,
  evaluate,
  historicalFeatures,
  latency,
  Model,
  month,
  pipeline,
  python,
  register,
  sameAsTrained,
  splitByTime,
  Table,
  validate,
} from "@millrace/sdk";
import { loans } from "../datasets.js";
import { creditFeatures } from "../features.js";
import { loansSchema } from "../schemas.js";

export const trainCredit = python({
  name: "train_credit",
  script: "training/credit.py",
  requirements: "requirements.lock",
  in: { train: Table },
  out: { model: Model },
});

export const credit = pipeline({ name: "credit", params: { until: month({ default: "latest" }) } }, ({ until }) => {
  const over = validate(loans.upTo(until), loansSchema);
  const rows = historicalFeatures(over, creditFeatures, { select: 'select "at", user_id, amount, defaulted from rows' });
  const { train, test } = splitByTime(rows, { test: "10d" });
  const { model } = trainCredit({ train });
  const report = evaluate(model, test, { label: "defaulted", against: champion("credit") });
  register(model, report, {
    name: "credit",
    gates: [atLeast("auc", 0.6), better("auc", { by: 0 }), sameAsTrained({ within: 1e-5 }), latency({ p99: "50ms" })],
  });
});
