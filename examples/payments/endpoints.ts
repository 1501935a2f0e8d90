/** Where the models answer, how a new version takes over, what watches them, and what has them trained again. */
import { below, canary, cron, endpoint, errorRate, metric, monitor, newData, trigger } from "@millrace/sdk";
import { lapses, loans } from "./datasets.js";
import { creditFeatures, fraudFeatures, profileFeatures } from "./features.js";
import { credit } from "./pipelines/credit.js";
import { fraud } from "./pipelines/fraud.js";
import { profile } from "./pipelines/profile.js";

export const fraudEndpoint = endpoint({
  name: "fraud",
  model: "fraud",
  features: fraudFeatures,
  // Labels come a week late: some hours tell whether a version answers, and not yet how well.
  rollout: canary({ steps: ["25%", "100%"], each: "12h", judge: [errorRate.below("1%", { minRequests: 3 })] }),
  log: { retain: "400d" },
});
export const creditEndpoint = endpoint({
  name: "credit",
  model: "credit",
  features: creditFeatures,
  rollout: canary({ steps: ["50%", "100%"], each: "1d", judge: [errorRate.below("1%", { minRequests: 20 })] }),
  // Who was refused a loan may ask for years why.
  log: { retain: "3650d" },
});
export const profileEndpoint = endpoint({
  name: "profile",
  model: "profile",
  features: profileFeatures,
  rollout: canary({ steps: ["50%", "100%"], each: "1d", judge: [errorRate.below("1%", { minRequests: 20 }), metric("auc").notWorse({ by: 0.1 })] }),
  log: { retain: "90d" },
});

/** Whether payments look as they did: known at once. A window of two days, so that a change is not hidden among the days before it. */
export const fraudInputs = monitor({
  name: "fraud_inputs",
  endpoint: fraudEndpoint,
  every: "1d",
  window: "2d",
  // Two of the model's inputs are enough to be told.
  drift: { method: "psi", threshold: 0.2, share: 0.05 },
  performance: { metrics: ["auc"], minLabels: 100_000 },
});
/** How well fraud was found: known a week later, so the window reaches back that far, and some days more for what was settled by then. */
export const fraudOutcomes = monitor({
  name: "fraud_outcomes",
  endpoint: fraudEndpoint,
  every: "1d",
  window: "10d",
  drift: { method: "psi", threshold: 0.2, share: 0.5 },
  performance: { metrics: ["auc", "log_loss", "calibration_error"], minLabels: 500 },
});
export const creditMonitor = monitor({
  name: "credit",
  endpoint: creditEndpoint,
  every: "1d",
  window: "28d",
  performance: { metrics: ["auc", "calibration_error"], minLabels: 100 },
});
export const profileMonitor = monitor({
  name: "profile",
  endpoint: profileEndpoint,
  every: "7d",
  window: "28d",
  performance: { metrics: ["auc"], minLabels: 200 },
});

/** Drift of the inputs is an alert for people, and starts nothing: what is new has no labels yet, and what could be trained would not know it. */
export const retrainFraud = trigger({
  name: "retrain_fraud",
  run: fraud,
  when: [below(fraudOutcomes, "auc", 0.9), cron("0 5 * * 1", { zone: "Europe/Oslo" })],
  coolDown: "2d",
});
export const retrainCredit = trigger({ name: "retrain_credit", run: credit, when: [newData(loans)], coolDown: "28d" });
export const retrainProfile = trigger({ name: "retrain_profile", run: profile, when: [newData(lapses)], coolDown: "28d" });
