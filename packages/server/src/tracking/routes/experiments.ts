import {
  invalidValue,
  keyValues,
  nextPage,
  oneOf,
  optional,
  optionalNumber,
  type Protocol,
  present,
  tagList,
  text,
  texts,
  type View,
} from "../../mlflow/index.js";
import type { Experiment, Search, Tracking } from "../types.js";

export function experimentRoutes({ on }: Protocol, tracking: Tracking): void {
  on("POST", "experiments/create", "tracking:write", async (given) => ({
    experiment_id: await tracking.createExperiment(text(given, "name"), {
      artifactLocation: optional(given, "artifact_location"),
      tags: keyValues(given, "tags"),
    }),
  }));
  on("GET", "experiments/get", "tracking:read", async (given) => ({ experiment: shown(await tracking.experiment({ id: text(given, "experiment_id") })) }));
  on("GET", "experiments/get-by-name", "tracking:read", async (given) => ({
    experiment: shown(await tracking.experiment({ name: text(given, "experiment_name") })),
  }));
  for (const method of ["GET", "POST"] as const) {
    on(method, "experiments/search", "tracking:read", async (given) => {
      const { items, next } = await tracking.searchExperiments(searchOf(given));
      return { experiments: items.map(shown), ...nextPage(next) };
    });
  }
  const change = (path: string, changes: (given: Parameters<typeof text>[0]) => Parameters<Tracking["updateExperiment"]>[1]) =>
    on("POST", path, "tracking:write", (given) => tracking.updateExperiment(text(given, "experiment_id"), changes(given)));
  change("experiments/update", (given) => ({ name: text(given, "new_name") }));
  change("experiments/delete", () => ({ stage: "deleted" }));
  change("experiments/restore", () => ({ stage: "active" }));
  change("experiments/set-experiment-tag", (given) => ({ tag: { key: text(given, "key"), value: optional(given, "value") ?? "" } }));
  change("experiments/delete-experiment-tag", (given) => ({ removeTag: text(given, "key") }));
  on("POST", "experiments/search-datasets", "tracking:read", async (given) => {
    const ids = texts(given, "experiment_ids");
    if (ids.length === 0 || ids.length > 20) throw invalidValue("SearchDatasets request must specify 1 to 20 experiment_ids.");
    return { dataset_summaries: (await tracking.datasets(ids)).map(present) };
  });
}

const shown = ({ id, tags, name, lifecycle_stage, artifact_location, creation_time, last_update_time }: Experiment) => ({
  experiment_id: id,
  name,
  artifact_location,
  lifecycle_stage,
  last_update_time,
  creation_time,
  tags: tagList(tags),
});

const views = ["ACTIVE_ONLY", "DELETED_ONLY", "ALL"];
const isView = (name: string): name is View => views.includes(name);
export function searchOf(given: Parameters<typeof text>[0]): Search {
  const told = oneOf(given, "run_view_type", ["0", ...views]) ?? oneOf(given, "view_type", ["0", ...views]) ?? "ACTIVE_ONLY";
  const view = told.toUpperCase();
  if (!isView(view)) throw invalidValue(`Invalid view type '${told}'. Valid values are ${views.join(", ")}.`);
  const limit = optionalNumber(given, "max_results") ?? 1_000;
  if (limit < 1 || limit > 50_000) throw invalidValue(`Invalid value ${limit} for parameter 'max_results' supplied: It must be at least 1 and at most 50000.`);
  return { filter: optional(given, "filter") ?? "", orderBy: texts(given, "order_by"), view, limit, token: optional(given, "page_token") };
}
