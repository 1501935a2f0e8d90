/** Runs: made, changed, found. A run is read as the JSON of MLflow's protocol, which PostgreSQL writes. */
import { createHash, randomBytes } from "node:crypto";
import { sql } from "kysely";
import {
  attribute,
  attributes,
  cutTags,
  type Field,
  invalidValue,
  key,
  largest,
  missing,
  ofView,
  orderKeys,
  readPage,
  type Searchable,
  type Sql,
  where,
} from "../mlflow/index.js";
import type { Database, Platform } from "../platform/index.js";
import { experimentId, experimentNumber, findExperiment } from "./experiments.js";
import type { Settling } from "./settling.js";
import type { RunInfo, Tracking } from "./types.js";

// ------------------------------------------------------------------------------------------------- search
/** Values that lie in rows of their own, one for a run and a key. */
const ofRun =
  (what: string, type: Field["type"], sameExperiment: (alias: Sql) => Sql = () => sql`true`) =>
  (name: string): Field => {
    const table = sql.raw(what);
    const rows = sql`${table} where run_id = r.id and key = ${name}`;
    const joined = sql.raw(`o${createHash("sha256").update(`${what} ${name}`).digest("hex").slice(0, 12)}`);
    return {
      type,
      where: (test) => sql`exists (select 1 from ${rows} and ${test(sql`value`)})`,
      ...(type === "text" ? { missing: sql`not exists (select 1 from ${rows})` } : {}),
      sort: {
        value: sql`${joined}.value`,
        nullable: true,
        join: (kind) => sql`${kind} ${table} ${joined} on ${joined}.run_id = r.id and ${joined}.key = ${name} and ${sameExperiment(joined)}`,
      },
    };
  };
const ofDataset = (value: Sql): Field => ({
  type: "text",
  where: (test) => sql`exists (select 1 from tracking_input i join tracking_dataset d on d.id = i.dataset_id where i.run_id = r.id and ${test(value)})`,
});
const datasetFields = new Map([
  ["name", ofDataset(sql`d.name`)],
  ["digest", ofDataset(sql`d.digest`)],
  ["context", ofDataset(sql`(i.tags ->> 'mlflow.data.context')`)],
]);
const own = attributes(
  {
    run_id: attribute(sql`r.id`, "text"),
    run_name: attribute(sql`r.name`, "text"),
    experiment_id: experimentId(sql`r.experiment_id`),
    user_id: attribute(sql`r.user_id`, "text"),
    status: attribute(sql`r.status`, "text"),
    start_time: attribute(sql`r.start_time`, "integer"),
    end_time: attribute(sql`r.end_time`, "integer", true),
    /** Beyond MLflow. */
    duration: attribute(sql`(r.end_time - r.start_time)`, "integer", true),
    artifact_uri: attribute(sql`(e.artifact_location || '/' || r.id || '/artifacts')`, "text"),
    lifecycle_stage: attribute(sql`r.lifecycle_stage`, "text"),
  },
  { created: "start_time", Created: "start_time", "run name": "run_name", "Run name": "run_name", "Run Name": "run_name", run_uuid: "run_id" },
);
export const searchable: Searchable = {
  fields: {
    attributes: own.of,
    // The experiment leads the index that has the values in order.
    metrics: ofRun("tracking_latest_metric", "number", (alias) => sql`${alias}.experiment_id = r.experiment_id`),
    params: ofRun("tracking_param", "text"),
    tags: ofRun("tracking_tag", "text"),
    datasets: (name) => datasetFields.get(name),
  },
  attributes: own.names,
};

// ---------------------------------------------------------------------------------------------- as JSON
const infoOf = (
  location: Sql,
): Sql => sql`json_strip_nulls(json_build_object('run_id', r.id, 'run_uuid', r.id, 'run_name', r.name, 'experiment_id', r.experiment_id::text,
  'user_id', r.user_id, 'status', r.status, 'start_time', r.start_time, 'end_time', r.end_time,
  'artifact_uri', ${location} || '/' || r.id || '/artifacts', 'lifecycle_stage', r.lifecycle_stage))`;
const list = (of: Sql): Sql => sql`coalesce((${of}), '[]'::json)`;
/** What is not a finite number is a text in JSON, and PostgreSQL writes it as protocol buffers do. */
const runOf = (location: Sql): Sql => sql`json_build_object('info', ${infoOf(location)},
  'data', json_build_object(
    'metrics', ${list(sql`select json_agg(json_build_object('key', m.key, 'value', m.value, 'timestamp', m.timestamp, 'step', m.step) order by m.key)
      from tracking_latest_metric m where m.run_id = r.id`)},
    'params', ${list(sql`select json_agg(json_build_object('key', p.key, 'value', p.value) order by p.key) from tracking_param p where p.run_id = r.id`)},
    'tags', ${list(sql`select json_agg(json_build_object('key', t.key, 'value', t.value) order by t.key) from tracking_tag t where t.run_id = r.id`)}),
  'inputs', json_build_object(
    'dataset_inputs', ${list(sql`select json_agg(json_build_object(
        'dataset', json_strip_nulls(json_build_object('name', d.name, 'digest', d.digest, 'source_type', d.source_type, 'source', d.source, 'schema', d.schema, 'profile', d.profile)),
        'tags', ${list(sql`select json_agg(json_build_object('key', t.key, 'value', t.value)) from jsonb_each_text(i.tags) t`)}) order by d.id)
      from tracking_input i join tracking_dataset d on d.id = i.dataset_id where i.run_id = r.id`)},
    'model_inputs', ${list(sql`select json_agg(json_build_object('model_id', x.model_id) order by x.model_id) from tracking_run_model x where x.run_id = r.id and x.role = 'input'`)}),
  'outputs', json_build_object(
    'model_outputs', ${list(sql`select json_agg(json_build_object('model_id', x.model_id, 'step', x.step) order by x.step, x.model_id) from tracking_run_model x
      where x.run_id = r.id and x.role = 'output'`)}))`;

const statuses = ["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"];
const noRun = (id: string) => missing(`Run with id=${id.slice(0, 300)} not found`);

export async function runInfo(db: Database, id: string): Promise<RunInfo> {
  const { rows } = await sql<{
    info: RunInfo;
  }>`select ${infoOf(sql`e.artifact_location`)} as info from tracking_run r join experiment e on e.id = r.experiment_id where r.id = ${id}`.execute(db);
  if (rows[0] === undefined) throw noRun(id);
  return rows[0].info;
}

export function createRuns(
  { db, clock }: Pick<Platform, "db" | "clock">,
  { settle }: Pick<Settling, "settle">,
): Pick<Tracking, "createRun" | "runInfo" | "runJson" | "searchRuns" | "updateRun"> {
  const now = () => clock.now().getTime();
  return {
    async createRun({ id: chosen, experimentId, name, userId, startTime, tags }) {
      const told = tags.find((tag) => tag.key === "mlflow.runName")?.value;
      if (name !== undefined && name !== "" && told !== undefined && name !== told)
        throw invalidValue(
          `Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values (run_name='${name}', mlflow.runName='${told}').`,
        );
      const id = chosen ?? randomBytes(16).toString("hex");
      const named = name || told || `run-${id.slice(0, 8)}`;
      if (named.length > largest.tag) throw invalidValue(`A run's name has at most ${largest.tag} characters.`);
      const all = new Map(cutTags(tags).map((tag) => [tag.key, tag.value])).set("mlflow.runName", named);
      const start = startTime ?? now();
      const { rows } = await sql<{ artifact_location: string }>`
        with experiment as (select id, artifact_location from experiment where id = ${experimentNumber(experimentId)} and lifecycle_stage = 'active'),
        run as (
          insert into tracking_run (id, experiment_id, name, user_id, status, start_time)
          select ${id}, id, ${named}, ${userId ?? ""}, 'RUNNING', ${start} from experiment
          on conflict (id) do nothing returning id
        ), tags as (
          insert into tracking_tag (run_id, key, value)
          select run.id, key, value from run, unnest(${[...all.keys()]}::text[], ${[...all.values()]}::text[]) as t (key, value)
        )
        select artifact_location from experiment`.execute(db);
      if (rows[0] === undefined) {
        await findExperiment(db, { id: experimentId });
        throw invalidValue(`The experiment ${experimentId} must be in the 'active' state. Current state is deleted.`);
      }
      return {
        info: {
          run_id: id,
          run_uuid: id,
          run_name: named,
          experiment_id: experimentId,
          user_id: userId ?? "",
          status: "RUNNING",
          start_time: start,
          artifact_uri: `${rows[0].artifact_location}/${id}/artifacts`,
          lifecycle_stage: "active",
        },
        tags: [...all].map(([key, value]) => ({ key, value })),
      };
    },
    runInfo: (id) => runInfo(db, id),
    async runJson(id) {
      await settle();
      const { rows } = await sql<{ run: string }>`
        select ${runOf(sql`e.artifact_location`)}::text as run from tracking_run r join experiment e on e.id = r.experiment_id where r.id = ${id}`.execute(db);
      if (rows[0] === undefined) throw noRun(id);
      return rows[0].run;
    },
    searchRuns: async (experiments, { filter, orderBy, view, limit, token }) => {
      const ids = [...new Set(experiments.map(experimentNumber))];
      // Of one experiment its index has the runs in order.
      const within = ids.length === 1 ? sql`r.experiment_id = ${ids[0]}` : sql`r.experiment_id = any(${ids}::bigint[])`;
      const keys = orderKeys(orderBy, searchable);
      const last = [
        ...(keys.some((one) => /(?:^|\.)(?:start_time|created|Created)$/.test(one.name))
          ? []
          : [key("start_time", attribute(sql`r.start_time`, "integer"), true)]),
        key("run_id", attribute(sql`r.id`, "text")),
      ];
      const condition = where(filter, searchable);
      await settle();
      return readPage([...keys, ...last], { limit, token, search: [ids, filter, orderBy, view] }, async (page) => {
        const { rows } = await sql<{ run: string; position: (string | null)[] }>`
          select ${runOf(sql`r.artifact_location`)}::text as run, r.position from (
            select r.*, e.artifact_location, ${page.position} as position from tracking_run r join experiment e on e.id = r.experiment_id ${page.joins}
            where ${within} and ${ofView(view, sql`r.lifecycle_stage`)} and ${condition} and ${page.where} order by ${page.orderBy} limit ${page.limit}
          ) r`.execute(db);
        return rows;
      });
    },
    async updateRun(id, { status, endTime, name, stage }) {
      if (status !== undefined && !statuses.includes(status)) throw invalidValue(`"${status}" is no status: ${statuses.join(", ")}.`);
      const active = stage === undefined ? sql`r.lifecycle_stage = 'active'` : sql`true`;
      const { rows } = await sql<{ info: RunInfo }>`
        with changed as (
          update tracking_run r set status = coalesce(${status ?? null}, status), end_time = coalesce(${endTime ?? null}::bigint, end_time), name = coalesce(${name ?? null}, name),
            lifecycle_stage = coalesce(${stage ?? null}, lifecycle_stage),
            deleted_time = ${stage === undefined ? sql`deleted_time` : stage === "deleted" ? sql`coalesce(deleted_time, ${now()})` : sql`null`}
          where r.id = ${id} and ${active} returning r.*
        ), named as (
          insert into tracking_tag (run_id, key, value) select id, 'mlflow.runName', ${name ?? ""} from changed where ${name !== undefined}
          on conflict (run_id, key) do update set value = excluded.value
        )
        select ${infoOf(sql`e.artifact_location`)} as info from changed r join experiment e on e.id = r.experiment_id`.execute(db);
      if (rows[0] !== undefined) return rows[0].info;
      await runInfo(db, id);
      throw invalidValue(`The run ${id} must be in the 'active' state. Current state is deleted.`);
    },
  };
}
