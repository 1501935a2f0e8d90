/** Logged models: what MLflow 3 keeps of a model beside the run that made it. Their files are artifacts. */
import { randomBytes } from "node:crypto";
import { sql } from "kysely";
import {
  attribute,
  attributes,
  checkKey,
  checkTags,
  cut,
  type Field,
  fieldOf,
  invalidValue,
  jsonField,
  type KeyValue,
  key,
  largest,
  missing,
  type OrderKey,
  readPage,
  type Searchable,
  type Sql,
  where,
} from "../mlflow/index.js";
import type { Database, Platform } from "../platform/index.js";
import { experimentId, experimentNumber, findExperiment, json } from "./experiments.js";
import type { LoggedModel, LoggedModelSearch, Tracking } from "./types.js";

const statuses = ["LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED"];

type Dataset = { name: string; digest?: string };
const onDataset = ({ name, digest }: Dataset): Sql => sql`(dataset_name = ${name} and ${digest === undefined ? sql`true` : sql`dataset_digest = ${digest}`})`;
const onAny = (datasets: Dataset[]): Sql => (datasets.length === 0 ? sql`true` : sql`(${sql.join(datasets.map(onDataset), sql` or `)})`);

/** A metric of a model has many values, by run, dataset and step: a filter asks whether one passes, an order takes the latest. */
const metricField =
  (datasets: Dataset[]) =>
  (name: string): Field => {
    const latest = sql`(select value from logged_model_metric where model_id = m.id and key = ${name} and ${onAny(datasets)}
      order by timestamp desc, step desc, run_id limit 1)`;
    return {
      type: "number",
      where: (test) => sql`exists (select 1 from logged_model_metric where model_id = m.id and key = ${name} and ${onAny(datasets)} and ${test(sql`value`)})`,
      sort: { value: latest, nullable: true },
    };
  };
const own = attributes(
  {
    model_id: attribute(sql`m.id`, "text"),
    name: attribute(sql`m.name`, "text"),
    experiment_id: experimentId(sql`m.experiment_id`),
    // As the client's own names have it: READY, and not LOGGED_MODEL_READY.
    status: attribute(sql`replace(m.status, 'LOGGED_MODEL_', '')`, "text"),
    model_type: attribute(sql`coalesce(m.model_type, '')`, "text"),
    source_run_id: attribute(sql`m.source_run_id`, "text", true),
    artifact_location: attribute(sql`m.artifact_location`, "text"),
    lifecycle_stage: attribute(sql`m.lifecycle_stage`, "text"),
    creation_timestamp: attribute(sql`m.creation_time`, "integer"),
    last_updated_timestamp: attribute(sql`m.last_update_time`, "integer"),
  },
  {
    creation_time: "creation_timestamp",
    creation_timestamp_ms: "creation_timestamp",
    last_updated_timestamp_ms: "last_updated_timestamp",
    artifact_uri: "artifact_location",
    run_id: "source_run_id",
  },
);
const searchable = (datasets: Dataset[]): Searchable => ({
  fields: {
    attributes: own.of,
    metrics: metricField(datasets),
    params: (name) => jsonField(sql`m.params`, name),
    tags: (name) => jsonField(sql`m.tags`, name),
  },
  attributes: own.names,
});

const columns = sql`m.id, m.experiment_id::text, m.name, m.artifact_location, m.status, m.model_type, m.source_run_id, m.lifecycle_stage,
  m.creation_time::float8, m.last_update_time::float8, m.params, m.tags,
  coalesce((select json_agg(json_strip_nulls(json_build_object('key', l.key, 'value', l.value, 'timestamp', l.timestamp, 'step', l.step, 'run_id', l.run_id, 'model_id', l.model_id,
    'dataset_name', nullif(l.dataset_name, ''), 'dataset_digest', nullif(l.dataset_digest, ''))) order by l.key, l.timestamp, l.step) from logged_model_metric l where l.model_id = m.id), '[]') as metrics`;

async function find(db: Database, id: string, deletedToo: boolean): Promise<LoggedModel> {
  const { rows } = await sql<LoggedModel>`
    select ${columns} from logged_model m where m.id = ${id} and ${deletedToo ? sql`true` : sql`m.lifecycle_stage = 'active'`}`.execute(db);
  if (rows[0] === undefined) throw missing(`Logged model with ID '${id.slice(0, 300)}' not found.`);
  return rows[0];
}

export function createModels({ db, clock }: Pick<Platform, "db" | "clock">): Pick<Tracking, "createModel" | "model" | "searchModels" | "updateModel"> {
  const now = () => clock.now().getTime();
  return {
    async createModel({ experimentId, name, modelType, sourceRunId, params, tags }) {
      if (name !== undefined && (name === "" || name.length > largest.name || /[/:.%"']/.test(name)))
        throw invalidValue(
          `Invalid model name (${name.slice(0, 200)}) provided. Model name must be a non-empty string and cannot contain the following characters: / : . % " '`,
        );
      const experiment = await findExperiment(db, { id: experimentId });
      if (experiment.lifecycle_stage !== "active")
        throw invalidValue(`The experiment ${experimentId} must be in the 'active' state. Current state is deleted.`);
      checkTags(tags, largest.registryTag);
      const id = `m-${randomBytes(16).toString("hex")}`;
      await sql`
        insert into logged_model (id, experiment_id, name, artifact_location, status, model_type, source_run_id, creation_time, last_update_time, params, tags)
        values (${id}, ${experimentNumber(experimentId)}, ${name ?? `model-${id.slice(2, 10)}`}, ${`${experiment.artifact_location}/models/${id}/artifacts`},
          'LOGGED_MODEL_PENDING', ${modelType || null}, ${sourceRunId || null}, ${now()}, ${now()}, ${json(checkedParams(params))}, ${json(tags)})`.execute(db);
      return find(db, id, false);
    },
    model: (id, { deletedToo } = { deletedToo: false }) => find(db, id, deletedToo),
    searchModels({ experiments, filter, datasets, orderBy, limit, token }: LoggedModelSearch) {
      const ids = [...new Set(experiments.map(experimentNumber))];
      const fields = searchable(datasets);
      const keys = orderBy.map(({ field, ascending, dataset }): OrderKey => {
        const ordered = fieldOf(field, dataset === undefined ? fields : searchable([dataset]));
        if (/^params\.|^tags\./.test(field)) throw invalidValue(`Invalid order by field name: ${field}. Only metrics are supported.`);
        return key(`${field} ${dataset?.name ?? ""} ${dataset?.digest ?? ""}`, ordered, !ascending);
      });
      const last = [key("creation", attribute(sql`m.creation_time`, "integer"), true), key("id", attribute(sql`m.id`, "text"))];
      // A dataset without a metric that is asked for: any metric on it will do.
      const measured = datasets.length === 0 ? sql`true` : sql`exists (select 1 from logged_model_metric where model_id = m.id and ${onAny(datasets)})`;
      const condition = where(filter, fields);
      return readPage([...keys, ...last], { limit, token, search: [ids, filter, datasets, orderBy] }, async (page) => {
        const { rows } = await sql<LoggedModel & { position: (string | null)[] }>`
          select ${columns}, ${page.position} as position from logged_model m
          where m.experiment_id = any(${ids}::bigint[]) and m.lifecycle_stage = 'active' and ${measured} and ${condition} and ${page.where}
          order by ${page.orderBy} limit ${page.limit}`.execute(db);
        return rows;
      });
    },
    async updateModel(id, change) {
      const { set, where: condition = sql`true` } = changed(change);
      const { rows } = await sql`update logged_model set ${set}, last_update_time = ${now()} where id = ${id} and ${condition} returning id`.execute(db);
      const model = await find(db, id, true);
      if (rows.length > 0) return model;
      if ("removeTag" in change) throw missing(`No tag with key '${change.removeTag}' found for model with ID '${id}'.`);
      const other = "params" in change ? change.params.find(({ key: name, value }) => (model.params[name] ?? value) !== value) : undefined;
      throw invalidValue(
        `Changing param values is not allowed. Param with key='${other?.key}' was already logged with value='${model.params[other?.key ?? ""]}' for the model ${id}.`,
      );
    },
  };
}

/** What to set, and for which rows only: a param keeps its value for good, and a tag must be there to be removed. */
function changed(change: Parameters<Tracking["updateModel"]>[1]): { set: Sql; where?: Sql } {
  if ("status" in change) {
    if (!statuses.includes(change.status)) throw invalidValue(`Invalid status "${change.status}" of a logged model: ${statuses.join(", ")}.`);
    return { set: sql`status = ${change.status}` };
  }
  if ("stage" in change) return { set: sql`lifecycle_stage = ${change.stage}` };
  if ("params" in change) {
    const params = json(checkedParams(change.params));
    return { set: sql`params = ${params} || params`, where: sql`(params || ${params}) = (${params} || params)` };
  }
  if ("tags" in change) {
    checkTags(change.tags, largest.registryTag);
    return { set: sql`tags = tags || ${json(change.tags)}` };
  }
  return { set: sql`tags = tags - ${change.removeTag}::text`, where: sql`tags ? ${change.removeTag}::text` };
}
function checkedParams(params: KeyValue[]): KeyValue[] {
  return params.map(({ key: name, value }) => {
    checkKey(name, "param");
    return { key: name, value: cut(value, largest.param) };
  });
}
