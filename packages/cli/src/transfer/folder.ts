/** A folder that `millrace export` wrote, as a source. */
import { createReadStream } from "node:fs";
import { access, readFile } from "node:fs/promises";
import path from "node:path";
import type { MovedAlias, MovedLoggedModel, MovedModel, MovedRun, MovedSeries, MovedVersion } from "@millrace/sdk/api";
import { CliError } from "../errors.js";
import { openDuck } from "./duck.js";
import { batches } from "./flow.js";
import { type FileFinder, pointsAtOnce, type Source, type SourceExperiment, type SourceRun, seriesGatherer } from "./source.js";
import { exportFormat, isSafe, quoted, type TableName, versionFolder } from "./tables.js";
import { Json } from "./web.js";

const atOnce = 500;

export async function folderSource(folder: string): Promise<Source> {
  const manifest = await readFile(path.join(folder, "manifest.json"), "utf8").catch(() => undefined);
  if (manifest === undefined) throw new CliError(`${folder} holds no finished export: it has no manifest.json. Complete it with: millrace export ${folder}`);
  const about = new Json(JSON.parse(manifest));
  if (about.text("format") !== exportFormat) throw new CliError(`${folder} holds an export of another version, "${about.text("format").slice(0, 50)}".`);
  const duck = await openDuck();
  const from = (table: TableName) => `read_parquet(${quoted(path.join(folder, table, "*.parquet"))})`;
  const rows = async (sql: string) => (await duck.rows(sql)).map((row) => new Json(row));
  const roots = new Map<string, string>();
  for (const row of await rows(`select experiment_id, artifact_location from ${from("experiments")}`))
    roots.set(row.text("experiment_id"), row.text("artifact_location"));

  /** Pages in the order of a key that tells rows apart. */
  async function* pages(table: TableName, key: string, columns = "*"): AsyncIterable<Json[]> {
    for (let after: string | undefined; ; ) {
      const page = await rows(
        `select ${columns} from ${from(table)} ${after === undefined ? "" : `where ${key} > ${quoted(after)}`} order by ${key} limit ${atOnce}`,
      );
      if (page.length === 0) return;
      yield page;
      after = page.at(-1)?.text(key);
    }
  }
  /** Rows of a page's owners: they lie together, as the page does. */
  async function of(table: TableName, key: string, page: Json[], columns = "*"): Promise<Map<string, Json[]>> {
    const found = new Map<string, Json[]>();
    const within = `${key} between ${quoted(page[0]?.text(key) ?? "")} and ${quoted(page.at(-1)?.text(key) ?? "")}`;
    for (const row of await rows(`select ${columns} from ${from(table)} where ${within}`)) {
      const owner = row.text(key);
      const list = found.get(owner);
      if (list === undefined) found.set(owner, [row]);
      else list.push(row);
    }
    return found;
  }
  const open = async (file: string) => {
    if (!isSafe(file)) throw new CliError(`The export names a file "${file.slice(0, 200)}", which would lead elsewhere.`);
    return createReadStream(path.join(folder, ...file.split("/")));
  };
  const files =
    (uri: string): FileFinder =>
    async () => {
      const prefix = `${uri.replace(/^mlflow-artifacts:\/+/, "")}/`;
      const found = await rows(`select path, digest, size from ${from("artifacts")} where starts_with(path, ${quoted(prefix)}) order by path`);
      return found.map((row) => ({
        path: row.text("path").slice(prefix.length),
        size: row.number("size"),
        digest: row.text("digest"),
        open: () => open(`files/${row.text("path")}`),
      }));
    };

  return {
    title: `the export of ${about.text("from")} in ${folder}`,
    counts: async () => {
      const n = (table: TableName) => about.number("tables", table, "rows");
      const [experiments, runs, points] = [n("experiments"), n("runs"), n("metrics")];
      return { experiments, runs, points, loggedModels: n("logged_models"), models: n("registered_models"), versions: n("model_versions") };
    },
    leftOut: async () => [],
    async *experiments() {
      for await (const page of pages("experiments", "experiment_id", "*, to_json(tags)::varchar as tag_values")) yield page.map(experiment);
    },
    async *runs() {
      for await (const page of pages("runs", "run_id")) {
        const [params, tags] = [await of("params", "run_id", page), await of("tags", "run_id", page)];
        const inputs = await of("inputs", "run_id", page, "*, to_json(tags)::varchar as tag_values");
        const models = await of("run_models", "run_id", page);
        yield page.map((row): SourceRun => {
          const id = row.text("run_id");
          const artifactUri = `${roots.get(row.text("experiment_id")) ?? ""}/${id}/artifacts`;
          return { ...run(row, params.get(id) ?? [], tags.get(id) ?? [], inputs.get(id) ?? [], models.get(id) ?? []), artifactUri, files: files(artifactUri) };
        });
      }
    },
    async *series(runs) {
      const wanted = new Set(runs.filter(({ points }) => points !== "0").map(({ id }) => id));
      // A few runs at a time: all their points are read at once.
      for (const some of bySize(runs.filter(({ id }) => wanted.has(id)))) {
        yield* pointsOf(some);
      }
    },
    async *loggedModels() {
      for await (const page of pages("logged_models", "model_id", "*, to_json(params)::varchar as param_values, to_json(tags)::varchar as tag_values")) {
        const metrics = await of("logged_model_metrics", "model_id", page);
        yield page.map((row) => {
          const model = loggedModel(row, metrics.get(row.text("model_id")) ?? []);
          const artifactUri = `${roots.get(model.experiment) ?? ""}/models/${model.id}/artifacts`;
          return { ...model, artifactUri, files: files(artifactUri) };
        });
      }
    },
    async *models() {
      for await (const page of pages("registered_models", "name", "*, to_json(tags)::varchar as tag_values")) yield page.map(model);
    },
    async *versions() {
      const order = "order by creation_time, version, name";
      for (let at = 0; ; at += atOnce) {
        const page = await rows(`select *, to_json(tags)::varchar as tag_values from ${from("model_versions")} ${order} limit ${atOnce} offset ${at}`);
        if (page.length === 0) return;
        const names = [...new Set(page.map((row) => quoted(row.text("name"))))];
        const own = await rows(`select * from ${from("model_version_files")} where name in (${names.join(", ")}) order by path`);
        yield page.map((row) => version(row, own));
      }
    },
    async *aliases() {
      const all = await rows(`select * from ${from("model_aliases")} order by name, alias`);
      const moved = all.map((row): MovedAlias => ({ model: row.text("name"), alias: row.text("alias"), version: row.number("version") }));
      yield* batches(moved, atOnce, Number.POSITIVE_INFINITY);
    },
    async openObject(digest) {
      const [artifact] = await rows(`select path from ${from("artifacts")} where digest = ${quoted(digest)} limit 1`);
      if (artifact !== undefined) return open(`files/${artifact.text("path")}`);
      const [own] = await rows(`select name, version, path from ${from("model_version_files")} where digest = ${quoted(digest)} limit 1`);
      const file = own === undefined ? "" : `${versionFolder(own.text("name"), own.number("version"))}/${own.text("path")}`;
      await access(path.join(folder, file));
      return open(file);
    },
    close: () => duck.close(),
  };

  async function* pointsOf(runs: SourceRun[]): AsyncIterable<MovedSeries[]> {
    const gather = seriesGatherer(pointsAtOnce);
    const ids = runs.map(({ id }) => quoted(id)).sort();
    const within = `run_id between ${ids[0]} and ${ids.at(-1)} and run_id in (${ids.join(", ")})`;
    for (let at = 0; ; at += pointsRead) {
      const page = await duck.rows(
        `select * from ${from("metrics")} where ${within} order by run_id, key, step, timestamp, value limit ${pointsRead} offset ${at}`,
      );
      for (const row of page) {
        const enough = gather.add(String(row.run_id), String(row.key), Number(row.step), Number(row.timestamp), Number(row.value));
        if (enough !== undefined) yield enough;
      }
      if (page.length < pointsRead) break;
    }
    yield gather.rest();
  }
}
const pointsRead = 100_000;
function* bySize(runs: SourceRun[]): Iterable<SourceRun[]> {
  let some: SourceRun[] = [];
  let points = 0;
  for (const run of runs) {
    some.push(run);
    points += Number(run.points);
    if (points < pointsRead) continue;
    yield some;
    some = [];
    points = 0;
  }
  if (some.length > 0) yield some;
}

// -------------------------------------------------------------------------------------------- records
// The server checks what it takes: a value that is none of those it knows is told by it.
const valuesOf = (row: Json, column: string): Record<string, string> => JSON.parse(row.textOrNull(column) ?? "{}") as Record<string, string>;
const pairs = (rows: Json[]): Record<string, string> => Object.fromEntries(rows.map((row) => [row.text("key"), row.text("value")]));
const orNull = (row: Json, column: string): number | null => (row.at(column).value === null ? null : row.number(column));
const stage = (row: Json): "active" | "deleted" => (row.text("lifecycle_stage") === "deleted" ? "deleted" : "active");
const value = (given: unknown): MovedSeries["value"][number] => {
  const number = Number(given ?? Number.NaN);
  return Number.isFinite(number) ? number : Number.isNaN(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity";
};

const experiment = (row: Json): SourceExperiment => ({
  id: row.text("experiment_id"),
  name: row.text("name"),
  stage: stage(row),
  creationTime: row.number("creation_time"),
  updateTime: row.number("last_update_time"),
  tags: valuesOf(row, "tag_values"),
  artifactLocation: row.text("artifact_location"),
});
function run(row: Json, params: Json[], tags: Json[], inputs: Json[], models: Json[]): MovedRun & { points: string } {
  return {
    id: row.text("run_id"),
    experiment: row.text("experiment_id"),
    name: row.text("run_name"),
    user: row.text("user_id"),
    status: row.text("status") as MovedRun["status"],
    startTime: row.number("start_time"),
    endTime: orNull(row, "end_time"),
    stage: stage(row),
    deletedTime: orNull(row, "deleted_time"),
    params: pairs(params),
    tags: pairs(tags),
    datasets: inputs.map((input) => ({
      name: input.text("name"),
      digest: input.text("digest"),
      sourceType: input.text("source_type"),
      source: input.text("source"),
      schema: input.textOrNull("schema"),
      profile: input.textOrNull("profile"),
      tags: valuesOf(input, "tag_values"),
    })),
    modelInputs: models.filter((one) => one.text("role") === "input").map((one) => one.text("model_id")),
    modelOutputs: models.filter((one) => one.text("role") === "output").map((one) => ({ id: one.text("model_id"), step: one.number("step") })),
    points: String(row.number("points")),
  };
}
const loggedModel = (row: Json, metrics: Json[]): MovedLoggedModel => ({
  id: row.text("model_id"),
  experiment: row.text("experiment_id"),
  name: row.text("name"),
  status: row.text("status") as MovedLoggedModel["status"],
  type: row.textOrNull("model_type"),
  sourceRun: row.textOrNull("source_run_id"),
  stage: stage(row),
  creationTime: row.number("creation_time"),
  updateTime: row.number("last_update_time"),
  params: valuesOf(row, "param_values"),
  tags: valuesOf(row, "tag_values"),
  metrics: metrics.map((one) => ({
    key: one.text("key"),
    run: one.text("run_id"),
    datasetName: one.text("dataset_name"),
    datasetDigest: one.text("dataset_digest"),
    step: one.number("step"),
    time: one.number("timestamp"),
    value: value(one.at("value").value),
  })),
});
const model = (row: Json): MovedModel => ({
  name: row.text("name"),
  description: row.textOrNull("description"),
  creationTime: row.number("creation_time"),
  updateTime: row.number("last_update_time"),
  tags: valuesOf(row, "tag_values"),
  lastVersion: row.number("last_version"),
});
const version = (row: Json, files: Json[]): MovedVersion => ({
  model: row.text("name"),
  version: row.number("version"),
  creationTime: row.number("creation_time"),
  updateTime: row.number("last_update_time"),
  description: row.textOrNull("description"),
  user: row.textOrNull("user_id"),
  stage: row.text("stage") as MovedVersion["stage"],
  source: row.textOrNull("source"),
  run: row.textOrNull("run_id"),
  runLink: row.textOrNull("run_link"),
  loggedModel: row.textOrNull("logged_model_id"),
  tags: valuesOf(row, "tag_values"),
  files: files
    .filter((file) => file.text("name") === row.text("name") && file.number("version") === row.number("version"))
    .map((file) => ({ path: file.text("path"), digest: file.text("digest"), size: file.number("size") })),
});
