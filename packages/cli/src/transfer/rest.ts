/** A running MLflow server as a source, through its REST API only. */
import type { MovedAlias, MovedModel, MovedRun, MovedSeries, MovedVersion } from "@millrace/sdk/api";
import { batches } from "./flow.js";
import {
  type Counts,
  type FileFinder,
  pointsAtOnce,
  type Source,
  type SourceExperiment,
  type SourceFile,
  type SourceLoggedModel,
  type SourceRun,
  seriesGatherer,
  Unreachable,
} from "./source.js";
import { type Json, Refused, type Web } from "./web.js";

const api = "/api/2.0/mlflow";
const page = { experiments: 500, runs: 200, models: 500, loggedModels: 50, versions: 1_000, points: 25_000 };
/** How many runs one request for points may name. */
const runsAtOnce = 100;
const isPrompt = "tags.`mlflow.prompt.is_prompt` = 'true'";

export async function restSource(web: Web): Promise<Source> {
  const version = (await web.find("/version"))?.slice(0, 40) ?? "";
  const experiments = await all(
    (token) => web.post(`${api}/experiments/search`, { max_results: page.experiments, view_type: "ALL", order_by: ["creation_time ASC"], ...token }),
    "experiments",
  );
  const ids = experiments.map((one) => one.text("experiment_id"));
  const runsOf = (id: string) =>
    pages(
      (token) =>
        web.post(`${api}/runs/search`, {
          experiment_ids: [id],
          run_view_type: "ALL",
          max_results: page.runs,
          order_by: ["attributes.start_time ASC"],
          ...token,
        }),
      "runs",
    );
  async function* loggedModelsOf(id: string): AsyncIterable<Json[]> {
    try {
      yield* pages((token) => web.post(`${api}/logged-models/search`, { experiment_ids: [id], max_results: page.loggedModels, ...token }), "models");
    } catch (error) {
      // MLflow 2 has none.
      if (!(error instanceof Refused && error.status === 404)) throw error;
    }
  }
  const modelsBy = (filter: string) =>
    all((token) => web.get(`${api}/registered-models/search`, { max_results: page.models, filter, ...token }), "registered_models");
  const versionsBy = (filter: string) =>
    all((token) => web.get(`${api}/model-versions/search`, { max_results: page.versions, filter, ...token }), "model_versions");
  let registered: { models: Json[]; versions: Json[] } | undefined;
  /** Prompts are answered only to who asks for them. */
  async function registry(): Promise<{ models: Json[]; versions: Json[] }> {
    if (registered !== undefined) return registered;
    const once = (list: Json[], key: (one: Json) => string) => [...new Map(list.map((one) => [key(one), one])).values()];
    const models = once([...(await modelsBy("")), ...(await modelsBy(isPrompt).catch(none))], (one) => one.text("name"));
    const versions = once([...(await versionsBy("")), ...(await versionsBy(isPrompt).catch(none))], (one) => `${one.text("name")}\n${one.text("version")}`);
    registered = { models, versions: versions.sort((a, b) => a.number("creation_timestamp") - b.number("creation_timestamp")) };
    return registered;
  }

  return {
    title: `MLflow ${version} at ${web.url}`.replace("  ", " "),
    async counts(): Promise<Counts> {
      let [runs, loggedModels] = [0, 0];
      for (const id of ids) {
        for await (const some of runsOf(id)) runs += some.length;
        for await (const some of loggedModelsOf(id)) loggedModels += some.length;
      }
      const { models, versions } = await registry();
      return { experiments: ids.length, runs, points: undefined, loggedModels, models: models.length, versions: versions.length };
    },
    leftOut: async () => [],
    async *experiments() {
      yield* batches(experiments.map(experiment), page.experiments, Number.POSITIVE_INFINITY);
    },
    async *runs() {
      for (const id of ids) for await (const some of runsOf(id)) yield some.map((one) => run(web, one));
    },
    series: (runs) => seriesOf(web, runs),
    async *loggedModels() {
      for (const id of ids) for await (const some of loggedModelsOf(id)) yield some.map((one) => loggedModel(web, one));
    },
    async *models() {
      const { models, versions } = await registry();
      const last = new Map<string, number>();
      for (const one of versions) last.set(one.text("name"), Math.max(last.get(one.text("name")) ?? 0, one.number("version")));
      const moved = models.map(
        (one): MovedModel => ({
          name: one.text("name"),
          description: one.textOrNull("description"),
          creationTime: one.number("creation_timestamp"),
          updateTime: one.number("last_updated_timestamp"),
          tags: one.values("tags"),
          lastVersion: last.get(one.text("name")) ?? 0,
        }),
      );
      yield* batches(moved, page.models, Number.POSITIVE_INFINITY);
    },
    async *versions() {
      yield* batches((await registry()).versions.map(movedVersion), 200, Number.POSITIVE_INFINITY);
    },
    async *aliases() {
      const aliases = (await registry()).models.flatMap((model) =>
        model.list("aliases").map((one): MovedAlias => ({ model: model.text("name"), alias: one.text("alias"), version: one.number("version") })),
      );
      yield* batches(aliases, 500, Number.POSITIVE_INFINITY);
    },
    close: async () => {},
  };
}
/** Older servers know no prompts and refuse the question. */
const none = (error: unknown): Json[] => {
  if (error instanceof Refused) return [];
  throw error;
};

async function* pages(ask: (token: Record<string, string>) => Promise<Json>, of: string): AsyncIterable<Json[]> {
  for (let token: Record<string, string> = {}; ; ) {
    const answer = await ask(token);
    const items = answer.list(of);
    if (items.length > 0) yield items;
    const next = answer.text("next_page_token");
    if (next === "") return;
    token = { page_token: next };
  }
}
async function all(ask: (token: Record<string, string>) => Promise<Json>, of: string): Promise<Json[]> {
  const found: Json[] = [];
  for await (const some of pages(ask, of)) found.push(...some);
  return found;
}

// --------------------------------------------------------------------------------------------- points
/** Of many runs at once where all of it fits into an answer, else run by run and page by page. */
async function* seriesOf(web: Web, runs: SourceRun[]): AsyncIterable<MovedSeries[]> {
  const gather = seriesGatherer(pointsAtOnce);
  const add = (run: string, point: Json) =>
    gather.add(run, point.text("key"), point.number("step"), point.number("timestamp"), Number(point.at("value").value));
  const having = new Map<string, string[]>();
  for (const run of runs) for (const key of JSON.parse(run.points) as [string][]) having.set(key[0], [...(having.get(key[0]) ?? []), run.id]);
  for (const [key, owners] of having) {
    for (const some of batches(owners, runsAtOnce, Number.POSITIVE_INFINITY)) {
      const together = some.length === 1 ? undefined : await bulk(web, key, some);
      if (together !== undefined) {
        for (const point of together) {
          const enough = add(point.text("run_id"), point);
          if (enough !== undefined) yield enough;
        }
        continue;
      }
      for (const run of some) {
        const asked = (token: Record<string, string>) =>
          web.get(`${api}/metrics/get-history`, { run_id: run, metric_key: key, max_results: page.points, ...token });
        for await (const points of pages(asked, "metrics")) {
          for (const point of points) {
            const enough = add(run, point);
            if (enough !== undefined) yield enough;
          }
        }
      }
    }
  }
  yield gather.rest();
}
/** Undefined where the answer is not whole or there is none. */
async function bulk(web: Web, key: string, runs: string[]): Promise<Json[] | undefined> {
  try {
    const answer = await web.get("/ajax-api/2.0/mlflow/metrics/get-history-bulk", { run_id: runs, metric_key: key, max_results: page.points });
    const points = answer.list("metrics");
    return points.length < page.points ? points : undefined;
  } catch (error) {
    if (error instanceof Refused) return undefined;
    throw error;
  }
}

// -------------------------------------------------------------------------------------------- records
const stage = (one: Json): "active" | "deleted" => (one.text("lifecycle_stage") === "deleted" ? "deleted" : "active");
const experiment = (one: Json): SourceExperiment => ({
  id: one.text("experiment_id"),
  name: one.text("name"),
  stage: stage(one),
  creationTime: one.number("creation_time"),
  updateTime: one.number("last_update_time"),
  tags: one.values("tags"),
  artifactLocation: one.text("artifact_location"),
});

const statuses = ["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"] as const;
function run(web: Web, one: Json): SourceRun {
  const info = one.at("info");
  const id = info.text("run_id") || info.text("run_uuid");
  const tags = one.values("data", "tags");
  const latest = one
    .list("data", "metrics")
    .map((metric) => [metric.text("key"), metric.at("step").value, metric.at("timestamp").value, metric.at("value").value]);
  return {
    id,
    experiment: info.text("experiment_id"),
    name: info.text("run_name") || (tags["mlflow.runName"] ?? ""),
    user: info.text("user_id"),
    status: statuses.find((known) => known === info.text("status")) ?? "FINISHED",
    startTime: info.number("start_time"),
    // A time that is none comes as 0.
    endTime: info.number("end_time") || null,
    stage: stage(info),
    deletedTime: null,
    params: one.values("data", "params"),
    tags,
    datasets: one.list("inputs", "dataset_inputs").map(dataset),
    modelInputs: one.list("inputs", "model_inputs").map((model) => model.text("model_id")),
    modelOutputs: one.list("outputs", "model_outputs").map((model) => ({ id: model.text("model_id"), step: model.number("step") })),
    artifactUri: info.text("artifact_uri"),
    points: JSON.stringify(latest.sort()),
    files: files(web, info.text("artifact_uri"), { list: `${api}/artifacts/list`, query: { run_id: id }, folder: "path", file: "/get-artifact", name: "path" }),
  };
}
function dataset(input: Json): MovedRun["datasets"][number] {
  const of = input.at("dataset");
  return {
    name: of.text("name"),
    digest: of.text("digest"),
    sourceType: of.text("source_type"),
    source: of.text("source"),
    schema: of.textOrNull("schema"),
    profile: of.textOrNull("profile"),
    tags: input.values("tags"),
  };
}

const modelStatuses = ["LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED"] as const;
function loggedModel(web: Web, one: Json): SourceLoggedModel {
  const info = one.at("info");
  const id = info.text("model_id");
  return {
    id,
    experiment: info.text("experiment_id"),
    name: info.text("name"),
    status: modelStatuses.find((known) => known === info.text("status")) ?? "LOGGED_MODEL_READY",
    type: info.text("model_type") || null,
    sourceRun: info.text("source_run_id") || null,
    stage: "active",
    creationTime: info.number("creation_timestamp_ms"),
    updateTime: info.number("last_updated_timestamp_ms"),
    params: one.values("data", "params"),
    tags: info.values("tags"),
    metrics: one.list("data", "metrics").map((metric) => ({
      key: metric.text("key"),
      run: metric.text("run_id"),
      datasetName: metric.text("dataset_name"),
      datasetDigest: metric.text("dataset_digest"),
      step: metric.number("step"),
      time: metric.number("timestamp"),
      value: value(metric.at("value").value),
    })),
    artifactUri: info.text("artifact_uri"),
    files: files(web, info.text("artifact_uri"), {
      list: `${api}/logged-models/${encodeURIComponent(id)}/artifacts/directories`,
      query: {},
      folder: "artifact_directory_path",
      file: `/ajax-api/2.0/mlflow/logged-models/${encodeURIComponent(id)}/artifacts/files`,
      name: "artifact_file_path",
    }),
  };
}
const value = (given: unknown): MovedSeries["value"][number] =>
  given === "NaN" || given === "Infinity" || given === "-Infinity" ? given : Number(given ?? Number.NaN);

const stages = ["None", "Staging", "Production", "Archived"] as const;
function movedVersion(one: Json): MovedVersion {
  const source = one.textOrNull("source");
  return {
    model: one.text("name"),
    version: one.number("version"),
    creationTime: one.number("creation_timestamp"),
    updateTime: one.number("last_updated_timestamp"),
    description: one.textOrNull("description"),
    user: one.textOrNull("user_id"),
    stage: stages.find((known) => known === one.text("current_stage")) ?? "None",
    source,
    run: one.text("run_id") || null,
    runLink: one.text("run_link") || null,
    loggedModel: one.text("model_id") || /^models:\/+(m-[0-9a-f]{32})$/.exec(source ?? "")?.[1] || null,
    tags: one.values("tags"),
  };
}

// ---------------------------------------------------------------------------------------------- files
interface Addresses {
  list: string;
  query: Record<string, string>;
  /** The parameters that name a folder and a file. */
  folder: string;
  file: string;
  name: string;
}
const deepest = 50;

/** What the server keeps by itself is taken from where its own clients take it; what it only knows the way to, through its pages. */
function files(web: Web, root: string, { list, query, folder, file, name }: Addresses): FileFinder {
  const kept = /^mlflow-artifacts:(?:\/\/[^/]*)?\/+(.*)$/.exec(root)?.[1];
  const open = (path: string) =>
    kept === undefined
      ? web.file(file, { ...query, [name]: path })
      : web.file(`/api/2.0/mlflow-artifacts/artifacts/${`${kept}/${path}`.split("/").map(encodeURIComponent).join("/")}`);
  async function below(path: string, depth: number): Promise<SourceFile[]> {
    const found: SourceFile[] = [];
    const asked = (token: Record<string, string>) => web.get(list, { ...query, ...(path === "" ? {} : { [folder]: path }), ...token });
    for await (const entries of pages(asked, "files")) {
      for (const entry of entries) {
        const full = entry.text("path");
        if (entry.at("is_dir").value !== true) found.push({ path: full, size: entry.number("file_size"), open: () => open(full) });
        else if (depth < deepest && full.length > path.length) found.push(...(await below(full, depth + 1)));
      }
    }
    return found;
  }
  return async () => {
    try {
      return await below("", 0);
    } catch (error) {
      if (error instanceof Refused) throw new Unreachable(root, error.message);
      throw error;
    }
  };
}
