/** Where the model answers, what watches it, what has it trained again, and what it is for. */
import { below, canary, cron, endpoint, errorRate, metric, modelCard, monitor, newData, trigger } from "@millrace/sdk";
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

export const delayCard = modelCard({
  model: "delay",
  summary: "How likely a flight from New York is to arrive more than a quarter of an hour late.",
  owner: "Millrace's examples",
  license: "apache-2.0",
  intendedUse: "Showing the whole loop on a year of real flights, with data that comes month by month.",
  outOfScopeUse: "Planning of travel or of operations: it has seen one year, 2013, and three airports.",
  limitations: ["Carriers and destinations with few flights have few rows: their slices say little.", "Weather is that of the airport of origin alone."],
});
