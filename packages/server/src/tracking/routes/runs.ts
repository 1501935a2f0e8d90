import {
  type Body,
  invalidValue,
  keyValue,
  keyValues,
  largest,
  list,
  number,
  oneOf,
  optional,
  optionalNumber,
  type Protocol,
  shown,
  text,
  texts,
} from "../../mlflow/index.js";
import type { DatasetInput, Metric, Tracking } from "../types.js";
import { searchOf } from "./experiments.js";

const mostPoints = { page: 25_000, unpaged: 1_000_000, runs: 100, perRun: 2_500 };

export function runRoutes({ on }: Protocol, tracking: Tracking): void {
  on("POST", "runs/create", "tracking:write", async (given) => {
    const { info, tags } = await tracking.createRun({
      experimentId: optional(given, "experiment_id") || "0",
      name: optional(given, "run_name"),
      userId: optional(given, "user_id"),
      startTime: optionalNumber(given, "start_time"),
      tags: keyValues(given, "tags"),
    });
    return {
      run: { info, data: { metrics: [], params: [], tags }, inputs: { dataset_inputs: [], model_inputs: [] }, outputs: { model_outputs: [] } },
    };
  });
  on("GET", "runs/get", "tracking:read", async (given) => `{"run":${await tracking.runJson(runId(given))}}`);
  on("POST", "runs/search", "tracking:read", async (given) => {
    const { items, next } = await tracking.searchRuns(texts(given, "experiment_ids"), searchOf(given));
    const token = next === undefined ? "" : `,"next_page_token":${JSON.stringify(next)}`;
    return `{"runs":[${items.map(({ run }) => run).join(",")}]${token}}`;
  });
  on("POST", "runs/update", "tracking:write", async (given) => {
    const [status, endTime, name] = [oneOf(given, "status", statuses), optionalNumber(given, "end_time"), optional(given, "run_name")];
    const info = await tracking.updateRun(runId(given), {
      ...(status === undefined ? {} : { status }),
      ...(endTime === undefined ? {} : { endTime }),
      ...(name === undefined || name === "" ? {} : { name }),
    });
    return { run_info: info };
  });
  on("POST", "runs/delete", "tracking:write", async (given) => void (await tracking.updateRun(runId(given), { stage: "deleted" })));
  on("POST", "runs/restore", "tracking:write", async (given) => void (await tracking.updateRun(runId(given), { stage: "active" })));

  on("POST", "runs/log-metric", "tracking:write", (given) => tracking.log(runId(given), { metrics: [metric(given)] }));
  on("POST", "runs/log-parameter", "tracking:write", (given) => tracking.log(runId(given), { params: [keyValue(given)] }));
  on("POST", "runs/set-tag", "tracking:write", (given) => tracking.log(runId(given), { tags: [keyValue(given)] }));
  on("POST", "runs/delete-tag", "tracking:write", (given) => tracking.deleteTag(runId(given), text(given, "key")));
  on("POST", "runs/log-batch", "tracking:write", (given) =>
    tracking.log(runId(given), { metrics: list(given, "metrics").map(metric), params: keyValues(given, "params"), tags: keyValues(given, "tags") }),
  );
  on("POST", "runs/log-inputs", "tracking:write", (given) =>
    tracking.logInputs(runId(given), {
      datasets: list(given, "datasets").map(datasetInput),
      models: list(given, "models").map((model) => text(model, "model_id")),
    }),
  );
  on("POST", "runs/outputs", "tracking:write", (given) =>
    tracking.logOutputs(
      runId(given),
      list(given, "models").map((model) => ({ id: text(model, "model_id"), step: optionalNumber(model, "step") ?? 0 })),
    ),
  );
  on("POST", "runs/log-model", "tracking:write", async (given) => {
    const id = runId(given);
    const told = parsed(text(given, "model_json"));
    const lacking = ["run_id", "artifact_path", "utc_time_created", "flavors"].filter((name) => told === null || typeof told !== "object" || !(name in told));
    if (lacking.length > 0) throw invalidValue(`Model json is missing mandatory fields: ${lacking.join(", ")}`);
    const before = (JSON.parse(await tracking.runJson(id)) as { data: { tags: { key: string; value: string }[] } }).data.tags;
    const models = parsed(before.find((tag) => tag.key === historyTag)?.value ?? "[]");
    const value = JSON.stringify([...(Array.isArray(models) ? models : []), told]);
    if (value.length > largest.tag) throw invalidValue("The run has no room for another logged model in its tag mlflow.log-model.history.");
    await tracking.log(id, { tags: [{ key: historyTag, value }] });
  });

  on("GET", "metrics/get-history", "tracking:read", async (given) => {
    const limit = optionalNumber(given, "max_results") ?? mostPoints.unpaged;
    if (limit < 1) throw invalidValue("Invalid value for parameter 'max_results' supplied: It must be at least 1.");
    const { points, next } = await tracking.history(runId(given), text(given, "metric_key"), {
      limit: Math.min(limit, optionalNumber(given, "max_results") === undefined ? mostPoints.unpaged : mostPoints.page),
      token: optional(given, "page_token"),
    });
    const token = next === undefined ? "" : `,"next_page_token":${JSON.stringify(next)}`;
    return `{"metrics":[${points}]${token}}`;
  });
  on("GET", "metrics/get-history-bulk", "tracking:read", async (given) => {
    const found = await tracking.histories(
      runIds(given, "run_id"),
      text(given, "metric_key"),
      Math.min(optionalNumber(given, "max_results") ?? mostPoints.page, mostPoints.page),
    );
    return { metrics: found.map((point) => ({ ...point, value: number(point.value) })) };
  });
  on("GET", "metrics/get-history-bulk-interval", "tracking:read", async (given) => {
    const [from, to] = [optionalNumber(given, "start_step"), optionalNumber(given, "end_step")];
    if ((from === undefined) !== (to === undefined)) throw invalidValue("If either start step or end step are specified, both must be specified.");
    if (from !== undefined && to !== undefined && from > to)
      throw invalidValue(`end_step must be greater than start_step. Found start_step=${from} and end_step=${to}.`);
    const points = optionalNumber(given, "max_results") ?? mostPoints.perRun;
    if (points < 1 || points > mostPoints.perRun) throw invalidValue(`max_results must be between 1 and ${mostPoints.perRun}.`);
    const found = await tracking.sampledHistories(runIds(given, "run_ids"), text(given, "metric_key"), {
      points,
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
    });
    return { metrics: found.map((point) => ({ ...point, value: number(point.value) })) };
  });
}

const historyTag = "mlflow.log-model.history";
/** Older clients write `run_uuid`. */
export const runId = (given: Body): string => checkedRunId(optional(given, "run_id") || text(given, "run_uuid"));
/** MLflow's rule for ids of runs, which its own server has for some of the routes only. */
function checkedRunId(id: string): string {
  if (!/^[a-zA-Z0-9][\w-]{0,255}$/.test(id)) throw invalidValue(`Invalid run ID: '${id.slice(0, 300)}'`);
  return id;
}
function runIds(given: Body, name: string): string[] {
  const ids = texts(given, name).map(checkedRunId);
  if (ids.length === 0 || ids.length > mostPoints.runs)
    throw invalidValue(`Histories of 1 to ${mostPoints.runs} runs are answered at once, not of ${ids.length}.`);
  return ids;
}
function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw invalidValue("Malformed model info. The model's description is no JSON.");
  }
}

const statuses = ["0", "RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"];

function metric(given: Body): Metric {
  const { value } = given;
  const key = text(given, "key");
  const read = typeof value === "string" ? double(value) : typeof value === "number" ? value : undefined;
  if (read === undefined)
    throw invalidValue(
      `Invalid value ${shown(value)} for parameter 'value' of the metric '${key}' supplied: Please specify value as a valid double (64-bit floating point)`,
    );
  const timestamp = optionalNumber(given, "timestamp");
  if (timestamp === undefined) throw invalidValue(`Missing value for required parameter 'timestamp' of the metric '${key}'.`);
  if (timestamp < 0)
    throw invalidValue(
      `Invalid value ${timestamp} for parameter 'timestamp' of the metric '${key}' supplied: Timestamp must be a nonnegative long (64-bit integer)`,
    );
  const [modelId, name, digest] = [optional(given, "model_id"), optional(given, "dataset_name"), optional(given, "dataset_digest")];
  if (Boolean(name) !== Boolean(digest)) throw invalidValue("Both dataset_name and dataset_digest must be provided if one is provided");
  return {
    key,
    value: read,
    timestamp,
    step: optionalNumber(given, "step") ?? 0,
    ...(modelId ? { modelId } : {}),
    ...(name && digest ? { dataset: { name, digest } } : {}),
  };
}
/** As protocol buffers, and Python, write a floating-point number; undefined where it is none. */
function double(written: string): number | undefined {
  const special = /^([+-]?)(?:(nan)|inf(?:inity)?)$/i.exec(written);
  if (special !== null) return special[2] !== undefined ? Number.NaN : special[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const value = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?\s*$/i.test(written) ? Number(written) : Number.NaN;
  return Number.isFinite(value) ? value : undefined;
}

function datasetInput(given: Body): DatasetInput {
  const dataset = given.dataset;
  if (dataset === null || typeof dataset !== "object" || Array.isArray(dataset)) throw invalidValue("Missing value for required parameter 'dataset'.");
  const of = dataset as Body;
  const [schema, profile] = [optional(of, "schema"), optional(of, "profile")];
  return {
    dataset: {
      name: text(of, "name"),
      digest: text(of, "digest"),
      source_type: text(of, "source_type"),
      source: text(of, "source"),
      ...(schema === undefined ? {} : { schema }),
      ...(profile === undefined ? {} : { profile }),
    },
    tags: keyValues(given, "tags"),
  };
}
