import {
  type Body,
  invalidValue,
  keyValues,
  list,
  maxResults,
  nextPage,
  oneOf,
  optional,
  optionalBoolean,
  type Protocol,
  present,
  tagList,
  text,
  texts,
} from "../../mlflow/index.js";
import type { LoggedModel, Tracking } from "../types.js";

export function modelRoutes({ on }: Protocol, tracking: Tracking): void {
  on("POST", "logged-models", "tracking:write", async (given) => {
    const model = await tracking.createModel({
      experimentId: text(given, "experiment_id"),
      name: optional(given, "name") || undefined,
      modelType: optional(given, "model_type"),
      sourceRunId: optional(given, "source_run_id"),
      params: keyValues(given, "params"),
      tags: keyValues(given, "tags"),
    });
    return { model: shown(model) };
  });
  on("POST", "logged-models/search", "tracking:read", async (given) => {
    const { items, next } = await tracking.searchModels({
      experiments: texts(given, "experiment_ids"),
      filter: optional(given, "filter") ?? "",
      datasets: list(given, "datasets").map(dataset),
      orderBy: list(given, "order_by").map((one) => ({
        field: text(one, "field_name"),
        ascending: optionalBoolean(one, "ascending") ?? true,
        ...(optional(one, "dataset_name") ? { dataset: dataset(one) } : {}),
      })),
      // Larger pages come in several.
      limit: Math.min(maxResults(given, 100, 1_000_000), 1_000),
      token: optional(given, "page_token"),
    });
    return { models: items.map(shown), ...nextPage(next) };
  });
  const id = (given: Body) => text(given, "model_id");
  on("GET", "logged-models/:model_id", "tracking:read", async (given) => ({
    model: shown(await tracking.model(id(given), { deletedToo: optionalBoolean(given, "allow_deleted") ?? false })),
  }));
  on("PATCH", "logged-models/:model_id", "tracking:write", async (given) => ({
    model: shown(await tracking.updateModel(id(given), { status: status(given) })),
  }));
  on("DELETE", "logged-models/:model_id", "tracking:write", async (given) => void (await tracking.updateModel(id(given), { stage: "deleted" })));
  on("POST", "logged-models/:model_id/params", "tracking:write", async (given) => {
    await tracking.updateModel(id(given), { params: keyValues(given, "params") });
  });
  on("PATCH", "logged-models/:model_id/tags", "tracking:write", async (given) => ({
    model: shown(await tracking.updateModel(id(given), { tags: keyValues(given, "tags") })),
  }));
  on("DELETE", "logged-models/:model_id/tags/:tag_key", "tracking:write", async (given) => {
    await tracking.updateModel(id(given), { removeTag: text(given, "tag_key") });
  });
}

const statuses = ["LOGGED_MODEL_STATUS_UNSPECIFIED", "LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED"];
const status = (given: Body): string => oneOf(given, "status", statuses) ?? text(given, "status");
function dataset(given: Body): { name: string; digest?: string } {
  const name = optional(given, "dataset_name");
  if (!name) throw invalidValue("`dataset_name` in the `datasets` clause must be specified.");
  const digest = optional(given, "dataset_digest");
  return { name, ...(digest ? { digest } : {}) };
}
const shown = (model: LoggedModel) => ({
  info: present({
    model_id: model.id,
    experiment_id: model.experiment_id,
    name: model.name,
    creation_timestamp_ms: model.creation_time,
    last_updated_timestamp_ms: model.last_update_time,
    artifact_uri: model.artifact_location,
    status: model.status,
    model_type: model.model_type,
    source_run_id: model.source_run_id,
    tags: tagList(model.tags),
  }),
  data: { params: tagList(model.params), metrics: model.metrics },
});
