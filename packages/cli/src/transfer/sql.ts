/** MLflow's own tables as a source, whichever database they are in. */
import type { MovedAlias, MovedLoggedModel, MovedModel, MovedRun, MovedVersion } from "@millrace/sdk/api";
import { CliError } from "../errors.js";
import { count } from "../output.js";
import { filesBelow, folderOf } from "./files.js";
import { type FileFinder, pointsAtOnce, type Source, type SourceExperiment, type SourceLoggedModel, type SourceRun, seriesGatherer } from "./source.js";

/** One connection that sees one state of the database. */
export interface Tables {
  /** `?` stands for a value. Rows come as they are read. */
  rows(query: string, values?: readonly (string | number)[]): AsyncIterable<Row>;
  close(): Promise<void>;
}
export type Row = Readonly<Record<string, unknown>>;

const atOnce = 200;

export async function sqlSource(tables: Tables, where: string, options: { artifacts: string | undefined }): Promise<Source> {
  const { title, has } = await versionOf(tables, where);
  const roots = new Map<string, string>();
  for await (const row of tables.rows("select experiment_id, artifact_location from experiments"))
    roots.set(text(row, "experiment_id"), text(row, "artifact_location"));
  const files =
    (uri: string, owner: string, experiment: string): FileFinder =>
    async () => {
      const folder = await folderOf(uri, owner, roots.get(experiment) ?? uri, options.artifacts);
      return folder === undefined ? [] : filesBelow(folder);
    };
  /** Rows that belong to some of the given owners, by owner. */
  async function of(query: string, owners: string[], by: string): Promise<Map<string, Row[]>> {
    const found = new Map<string, Row[]>();
    if (owners.length === 0) return found;
    for await (const row of tables.rows(query.replace("(?)", `(${owners.map(() => "?").join(", ")})`), owners)) {
      const owner = text(row, by);
      found.set(owner, [...(found.get(owner) ?? []), row]);
    }
    return found;
  }
  async function* pages(query: string, key: string): AsyncIterable<Row[]> {
    for (let after = ""; ; ) {
      const page = await all(tables.rows(`${query} and ${key} > ? order by ${key} limit ${atOnce}`, [after]));
      if (page.length === 0) return;
      yield page;
      after = text(page.at(-1) ?? {}, key.split(".").at(-1) ?? key);
    }
  }
  const number = async (query: string): Promise<number> => whole((await all(tables.rows(query)))[0] ?? {}, "n");

  return {
    title,
    counts: async () => ({
      experiments: await number("select count(*) as n from experiments"),
      runs: await number("select count(*) as n from runs"),
      points: await number("select count(*) as n from metrics"),
      loggedModels: has.loggedModels ? await number("select count(*) as n from logged_models") : 0,
      models: await number("select count(*) as n from registered_models"),
      versions: await number(`select count(*) as n from model_versions where ${alive}`),
    }),
    async leftOut() {
      const told: string[] = [];
      for (const [table, what] of other) {
        const n = await number(`select count(*) as n from ${table}`).catch(() => 0);
        if (n > 0) told.push(`${count(n)} ${what}`);
      }
      return told;
    },
    async *experiments() {
      const rows = await all(tables.rows("select * from experiments order by experiment_id"));
      const tags = new Map<string, Row[]>();
      for await (const row of tables.rows("select experiment_id, key, value from experiment_tags")) {
        const id = text(row, "experiment_id");
        tags.set(id, [...(tags.get(id) ?? []), row]);
      }
      for (let at = 0; at < rows.length; at += atOnce) yield rows.slice(at, at + atOnce).map((row) => experiment(row, tags.get(text(row, "experiment_id"))));
    },
    async *runs() {
      for await (const page of pages("select * from runs where experiment_id is not null", "run_uuid")) {
        const ids = page.map((row) => text(row, "run_uuid"));
        const params = await of("select run_uuid, key, value from params where run_uuid in (?)", ids, "run_uuid");
        const tags = await of("select run_uuid, key, value from tags where run_uuid in (?)", ids, "run_uuid");
        const points = await of("select run_uuid, count(*) as n from metrics where run_uuid in (?) group by run_uuid", ids, "run_uuid");
        const datasets = await of(
          `select i.destination_id as run_uuid, i.input_uuid, d.* from inputs i join datasets d on d.dataset_uuid = i.source_id
           where i.source_type = 'DATASET' and i.destination_type = 'RUN' and i.destination_id in (?)`,
          ids,
          "run_uuid",
        );
        const inputs = [...datasets.values()].flat().map((row) => text(row, "input_uuid"));
        const inputTags = new Map<string, Row[]>();
        for (let at = 0; at < inputs.length; at += atOnce) {
          const some = await of("select input_uuid, name as key, value from input_tags where input_uuid in (?)", inputs.slice(at, at + atOnce), "input_uuid");
          for (const [id, rows] of some) inputTags.set(id, rows);
        }
        const step = has.steps ? "step" : "0 as step";
        const models = has.loggedModels
          ? await of(
              `select source_id as run_uuid, source_type, destination_id, ${step} from inputs
               where source_type in ('RUN_INPUT', 'RUN_OUTPUT') and destination_type in ('MODEL_INPUT', 'MODEL_OUTPUT') and source_id in (?)`,
              ids,
              "run_uuid",
            )
          : new Map<string, Row[]>();
        yield page.map((row): SourceRun => {
          const id = text(row, "run_uuid");
          const uri = text(row, "artifact_uri");
          const of = models.get(id) ?? [];
          return {
            ...run(row, values(params.get(id)), values(tags.get(id))),
            datasets: (datasets.get(id) ?? []).map((input) => ({
              name: text(input, "name"),
              digest: text(input, "digest"),
              sourceType: text(input, "dataset_source_type"),
              source: text(input, "dataset_source"),
              schema: textOrNull(input, "dataset_schema"),
              profile: textOrNull(input, "dataset_profile"),
              tags: values(inputTags.get(text(input, "input_uuid"))),
            })),
            modelInputs: of.filter((one) => one.source_type === "RUN_INPUT").map((one) => text(one, "destination_id")),
            modelOutputs: of.filter((one) => one.source_type === "RUN_OUTPUT").map((one) => ({ id: text(one, "destination_id"), step: whole(one, "step") })),
            artifactUri: uri,
            points: String(whole(points.get(id)?.[0] ?? { n: 0 }, "n")),
            files: files(uri, id, text(row, "experiment_id")),
          };
        });
      }
    },
    async *series(runs) {
      if (runs.length === 0) return;
      const gather = seriesGatherer(pointsAtOnce);
      const query = `select run_uuid, key, step, timestamp, value, is_nan from metrics where run_uuid in (${runs.map(() => "?").join(", ")})`;
      for await (const row of tables.rows(
        query,
        runs.map((one) => one.id),
      )) {
        const value = row.is_nan === true || Number(row.is_nan) === 1 ? Number.NaN : Number(row.value);
        const enough = gather.add(text(row, "run_uuid"), text(row, "key"), whole(row, "step"), whole(row, "timestamp"), value);
        if (enough !== undefined) yield enough;
      }
      yield gather.rest();
    },
    async *loggedModels() {
      if (!has.loggedModels) return;
      for await (const page of pages("select * from logged_models where true", "model_id")) {
        const ids = page.map((row) => text(row, "model_id"));
        const params = await of("select model_id, param_key as key, param_value as value from logged_model_params where model_id in (?)", ids, "model_id");
        const tags = await of("select model_id, tag_key as key, tag_value as value from logged_model_tags where model_id in (?)", ids, "model_id");
        const metrics = await of("select * from logged_model_metrics where model_id in (?)", ids, "model_id");
        yield page.map((row): SourceLoggedModel => {
          const id = text(row, "model_id");
          const uri = text(row, "artifact_location");
          return {
            ...loggedModel(row, metrics.get(id) ?? []),
            params: values(params.get(id)),
            tags: values(tags.get(id)),
            artifactUri: uri,
            files: files(uri, id, text(row, "experiment_id")),
          };
        });
      }
    },
    async *models() {
      const last = new Map<string, number>();
      // Those that were deleted too: their numbers are not given out again.
      for await (const row of tables.rows("select name, max(version) as n from model_versions group by name")) last.set(text(row, "name"), whole(row, "n"));
      for await (const page of pages("select * from registered_models where true", "name")) {
        const tags = await of(
          "select name as model, key, value from registered_model_tags where name in (?)",
          page.map((row) => text(row, "name")),
          "model",
        );
        yield page.map((row): MovedModel => {
          const name = text(row, "name");
          return {
            name,
            description: textOrNull(row, "description"),
            creationTime: time(row, "creation_time"),
            updateTime: time(row, "last_updated_time"),
            tags: values(tags.get(name)),
            lastVersion: last.get(name) ?? 0,
          };
        });
      }
    },
    async *versions() {
      const order = "order by creation_time, name, version";
      for (let at = 0; ; at += atOnce) {
        const page = await all(tables.rows(`select * from model_versions where ${alive} ${order} limit ${atOnce} offset ${at}`));
        if (page.length === 0) return;
        const tags = await of(
          "select name, version, key, value from model_version_tags where name in (?)",
          [...new Set(page.map((row) => text(row, "name")))],
          "name",
        );
        yield page.map((row) => version(row, values((tags.get(text(row, "name")) ?? []).filter((tag) => whole(tag, "version") === whole(row, "version")))));
      }
    },
    async *aliases() {
      const rows = await all(tables.rows("select name, alias, version from registered_model_aliases order by name, alias"));
      const aliases = rows.map((row): MovedAlias => ({ model: text(row, "name"), alias: text(row, "alias"), version: whole(row, "version") }));
      for (let at = 0; at < aliases.length; at += atOnce) yield aliases.slice(at, at + atOnce);
    },
    close: () => tables.close(),
  };
}

/** Versions that were deleted stay in the table. */
const alive = "(current_stage is null or current_stage <> 'Deleted_Internal')";
const other: [table: string, what: string][] = [
  ["trace_info", "traces"],
  ["assessments", "assessments of traces"],
  ["evaluation_datasets", "evaluation datasets"],
  ["scorers", "scorers"],
  ["webhooks", "webhooks"],
];

// ------------------------------------------------------------------------------------------ versions of the schema
/** From the schema of MLflow 2.22 to that of 3.17.2, each after the one before it. What is read here is the same in all of them. */
const revisions = `0584bdc529eb 400f98739977 6953534de441 bda7b8c39065 cbc13b556ace 770bee3ae1dd a1b2c3d4e5f6 de4033877273 1a0cddfcaa16 534353b11cbc
71994744cf8e 3da73c924c2f bf29a5ff90ea 1bd49d398cd23 b7c8d9e0f1a2 5d2d30f0abce c9d4e5f6a7b8 2c33131f4dae d3e4f5a6b7c8 d0e1f2a3b4c5 c8d9e0f1a2b3
1b5f0d9ad7c1 e1f2a3b4c5d6 76601a5f987d c3d6457b6d8a a5b4c3d2e1f0 ae8bbe7743c9 7d34483879f0 da6fb0208061 89d3d66ed43f b7e4c1a90f23 a8b9c0d1e2f3
c1d2e3f4a5b6 c3d9e7f1a2b4 6f8d9c3b2a1e 1971f2d9a75b 17e22815139b b7e2c1a4d9f3 75868b020152 dc11669786a5`.split(/\s+/);

async function versionOf(tables: Tables, where: string): Promise<{ title: string; has: { loggedModels: boolean; steps: boolean; workspaces: boolean } }> {
  const rows = await all(tables.rows("select version_num from alembic_version")).catch((error: unknown) => {
    if (error instanceof CliError) throw error;
    throw new CliError(`${where} is no database of MLflow: it has no table alembic_version.`);
  });
  const revision = text(rows[0] ?? {}, "version_num");
  const at = revisions.indexOf(revision);
  if (at < 0)
    throw new CliError(
      `${where} has the schema ${revision || "of no version"} of MLflow, which is not known. Known are those of MLflow 2.22 (${revisions[0]}) to 3.17.2 (${revisions.at(-1)}): bring it to one of them with \`mlflow db upgrade\`, or import from the address of a running MLflow server.`,
    );
  const from = (name: string) => at >= revisions.indexOf(name);
  const has = { loggedModels: from("400f98739977"), steps: from("6953534de441"), workspaces: from("1b5f0d9ad7c1") };
  if (has.workspaces) {
    const others = await all(tables.rows("select distinct workspace from experiments where workspace <> 'default'"));
    if (others.length > 0)
      throw new CliError(
        `${where} has workspaces besides the default one (${others.map((row) => text(row, "workspace")).join(", ")}), which can't be brought together.`,
      );
  }
  const name = at === 0 ? "MLflow 2.22" : at === revisions.length - 1 ? "MLflow 3.17" : "MLflow 3";
  return { title: `${name} in ${where}`, has };
}

// ------------------------------------------------------------------------------------------------------- rows
function experiment(row: Row, tags: Row[] | undefined): SourceExperiment {
  return {
    id: text(row, "experiment_id"),
    name: text(row, "name"),
    stage: stage(row),
    creationTime: time(row, "creation_time"),
    updateTime: time(row, "last_update_time"),
    tags: values(tags),
    artifactLocation: text(row, "artifact_location"),
  };
}
const statuses = ["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"] as const;
function run(row: Row, params: Record<string, string>, tags: Record<string, string>): Omit<MovedRun, "datasets" | "modelInputs" | "modelOutputs"> {
  return {
    id: text(row, "run_uuid"),
    experiment: text(row, "experiment_id"),
    name: text(row, "name") || (tags["mlflow.runName"] ?? ""),
    user: text(row, "user_id"),
    status: statuses.find((one) => one === row.status) ?? "FINISHED",
    startTime: time(row, "start_time"),
    endTime: row.end_time === null ? null : time(row, "end_time"),
    stage: stage(row),
    deletedTime: row.deleted_time === null ? null : time(row, "deleted_time"),
    params,
    tags,
  };
}
const modelStatuses = ["LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED"] as const;
function loggedModel(row: Row, metrics: Row[]): Omit<MovedLoggedModel, "params" | "tags"> {
  return {
    id: text(row, "model_id"),
    experiment: text(row, "experiment_id"),
    name: text(row, "name"),
    status: modelStatuses[whole(row, "status") - 1] ?? "LOGGED_MODEL_READY",
    type: textOrNull(row, "model_type") || null,
    sourceRun: textOrNull(row, "source_run_id") || null,
    stage: stage(row),
    creationTime: time(row, "creation_timestamp_ms"),
    updateTime: time(row, "last_updated_timestamp_ms"),
    metrics: metrics.map((metric) => ({
      key: text(metric, "metric_name"),
      run: text(metric, "run_id"),
      datasetName: text(metric, "dataset_name"),
      datasetDigest: text(metric, "dataset_digest"),
      step: whole(metric, "metric_step"),
      time: time(metric, "metric_timestamp_ms"),
      // Of a model's metric the table has no sign of NaN but that there is no value.
      value: metric.metric_value === null ? "NaN" : Number(metric.metric_value),
    })),
  };
}
const stages = ["None", "Staging", "Production", "Archived"] as const;
function version(row: Row, tags: Record<string, string>): MovedVersion {
  const source = textOrNull(row, "source");
  return {
    model: text(row, "name"),
    version: whole(row, "version"),
    creationTime: time(row, "creation_time"),
    updateTime: time(row, "last_updated_time"),
    description: textOrNull(row, "description"),
    user: textOrNull(row, "user_id"),
    stage: stages.find((one) => one === row.current_stage) ?? "None",
    source,
    run: textOrNull(row, "run_id") || null,
    runLink: textOrNull(row, "run_link") || null,
    loggedModel: /^models:\/+(m-[0-9a-f]{32})$/.exec(source ?? "")?.[1] ?? null,
    tags,
  };
}

const values = (rows: Row[] | undefined): Record<string, string> => Object.fromEntries((rows ?? []).map((row) => [text(row, "key"), text(row, "value")]));
const stage = (row: Row): "active" | "deleted" => (row.lifecycle_stage === "deleted" ? "deleted" : "active");
/** What PostgreSQL can't keep, a zero character, is shown as what it is: nothing that can be read. */
function textOrNull(row: Row, column: string): string | null {
  const value = row[column];
  return value === null || value === undefined ? null : String(value).replaceAll("\0", "\uFFFD");
}
const text = (row: Row, column: string): string => textOrNull(row, column) ?? "";
const whole = (row: Row, column: string): number => Number(row[column] ?? 0);
const time = (row: Row, column: string): number => Math.max(0, whole(row, column));

async function all(rows: AsyncIterable<Row>): Promise<Row[]> {
  const list: Row[] = [];
  for await (const row of rows) list.push(row);
  return list;
}
