/** What `millrace check examples/payments` expects, beside what it asks of any pipeline. */
import { check } from "@millrace/sdk";
import { credit } from "./pipelines/credit.js";
import { fraud } from "./pipelines/fraud.js";
import { profile } from "./pipelines/profile.js";

/** Two hundred users and two months, SIMULATED: `simulate.ts --users 200 --days 60 --until 2026-03-01 --out sample`. */
const tables = ["transactions", "settlements", "profiles", "merchants", "loans", "repayments", "lapses"];
const data = Object.fromEntries(tables.map((name) => [name, `sample/${name}-*.parquet`]));
const model = { files: ["model.onnx", "parity.parquet"] };
const falls = ["train_binary_logloss"];

export const fraudCheck = check({
  run: fraud,
  data,
  sample: "all",
  artifacts: {
    features: { rows: { minRows: 3_000, columns: ["category", "user_count_30d"], noNulls: ["fraud", "amount"] } },
    train_fraud: { model },
  },
  metrics: { auc: { min: 0.7 } },
  falls,
  overfits: { step: "train_fraud", rows: 10, reaches: { train_auc: { min: 0.99 } } },
});

export const creditCheck = check({
  run: credit,
  artifacts: { train_credit: { model } },
  falls,
  // Held to what a lender may say, ten loans can't all be learnt; more of them than not can.
  overfits: { step: "train_credit", rows: 10, reaches: { train_auc: { min: 0.8 } } },
});

export const profileCheck = check({
  run: profile,
  artifacts: { train_profile: { model } },
  falls,
  overfits: { step: "train_profile", rows: 10, reaches: { train_auc: { min: 0.9 } } },
});
