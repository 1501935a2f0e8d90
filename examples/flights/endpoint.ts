/** Where the model answers, what watches it, and what has it trained again. */
import { below, canary, cron, endpoint, errorRate, metric, monitor, newData, trigger } from "@millrace/sdk";
import { flights } from "./datasets.js";
import { delayFeatures } from "./features.js";
import { delay } from "./pipelines/delay.js";

export const delayEndpoint = endpoint({
  name: "delay",
  model: "delay",
  features: delayFeatures,
  rollout: canary({
    steps: ["10%", "100%"],
    each: "4d",
    judge: [errorRate.below("5%", { minRequests: 30 }), metric("auc").notWorse({ by: 0.05, minLabels: 200 })],
  }),
  log: { retain: "400d" },
});

export const delayMonitor = monitor({
  name: "delay",
  endpoint: delayEndpoint,
  every: "1d",
  window: "7d",
  reference: "champion",
  drift: { method: "psi", threshold: 0.2, share: 0.5 },
  performance: { metrics: ["auc", "log_loss", "calibration_error"], minLabels: 500 },
});

export const retrain = trigger({
  name: "retrain",
  run: delay,
  when: [newData(flights), cron("0 6 1 * *", { zone: "America/New_York" }), below(delayMonitor, "auc", 0.68)],
  coolDown: "3d",
});
