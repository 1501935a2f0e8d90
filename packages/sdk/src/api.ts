/**
 * What Millrace's own HTTP API answers and takes: one source for the server's validation, the OpenAPI document and the typed
 * client. Times are ISO 8601 in UTC, by the platform's clock. The routes are listed in ARCHITECTURE.md.
 */

export * from "./api/cards.js";
export * from "./api/common.js";
export * from "./api/data.js";
export * from "./api/datasets.js";
export * from "./api/delivery.js";
export * from "./api/evaluation.js";
export * from "./api/explanations.js";
export * from "./api/features.js";
export * from "./api/gc.js";
export * from "./api/lineage.js";
export * from "./api/monitoring.js";
export * from "./api/pipelines.js";
export * from "./api/platform.js";
export * from "./api/projects.js";
export * from "./api/registry.js";
export * from "./api/schedules.js";
export * from "./api/secrets.js";
export * from "./api/serving.js";
export * from "./api/sweeps.js";
export * from "./api/tables.js";
export * from "./api/triggers.js";
export * from "./api/webhooks.js";
export * from "./series.js";
export * from "./tracking.js";
export * from "./transfer.js";
