import { type RawBuilder, sql, type Transaction } from "kysely";
import type { Database } from "../platform/index.js";
import type { Searchable } from "./search.js";
import type { Experiment, KeyValue, Metric, TrackedRun } from "./types.js";

type Db = Database | Transaction<unknown>;
type Sql = RawBuilder<unknown>;

const experimentColumns = sql`e.id::text, e.name, e.lifecycle_stage, e.artifact_location, e.creation_time::float8, e.last_update_time::float8, e.tags`;
export const experimentSearch: Searchable = {
  attributes: {
    name: { column: sql`e.name`, type: "text" },
    experiment_id: { column: sql`e.id::text`, type: "text" },
    creation_time: { column: sql`e.creation_time`, type: "number" },
    last_update_time: { column: sql`e.last_update_time`, type: "number" },
  },
  keyed: { tags: { value: (key) => sql`(e.tags ->> ${key})`, type: "text" } },
};
export async function findExperiments(db: Db, condition: Sql, order: Sql, limit: number, offset: number): Promise<Experiment[]> {
  const { rows } =
    await sql<Experiment>`select ${experimentColumns} from experiment e where ${condition} order by ${order} limit ${limit} offset ${offset}`.execute(db);
  return rows;
}

export const runSearch: Searchable = {
  attributes: {
    run_id: { column: sql`r.id`, type: "text" },
    run_name: { column: sql`r.name`, type: "text" },
    "Run name": { column: sql`r.name`, type: "text" },
    experiment_id: { column: sql`r.experiment_id::text`, type: "text" },
    user_id: { column: sql`r.user_id`, type: "text" },
    status: { column: sql`r.status`, type: "text" },
    start_time: { column: sql`r.start_time`, type: "number" },
    created: { column: sql`r.start_time`, type: "number" },
    Created: { column: sql`r.start_time`, type: "number" },
    end_time: { column: sql`r.end_time`, type: "number" },
  },
  keyed: {
    metrics: { value: (key) => sql`(select value from tracking_latest_metric where run_id = r.id and key = ${key})`, type: "number" },
    params: { value: (key) => sql`(select value from tracking_param where run_id = r.id and key = ${key})`, type: "text" },
    tags: { value: (key) => sql`(select value from tracking_tag where run_id = r.id and key = ${key})`, type: "text" },
  },
};
type RunRow = Omit<TrackedRun, "metrics" | "params" | "tags">;
/** Whole runs: one query for the runs, one for each kind of thing they hold. */
export async function findRuns(db: Db, condition: Sql, order: Sql, limit: number, offset: number): Promise<TrackedRun[]> {
  const { rows } = await sql<RunRow>`
    select r.id, r.experiment_id::text, r.name, r.user_id, r.status, r.start_time::float8, r.end_time::float8, r.lifecycle_stage
    from tracking_run r where ${condition} order by ${order} limit ${limit} offset ${offset}`.execute(db);
  if (rows.length === 0) return [];
  const ids = rows.map((row) => row.id);
  const [metrics, params, tags] = await Promise.all([
    sql<Metric & { run_id: string }>`
      select run_id, key, value, timestamp::float8, step::float8 from tracking_latest_metric where run_id = any(${ids}) order by key`.execute(db),
    sql<KeyValue & { run_id: string }>`select run_id, key, value from tracking_param where run_id = any(${ids}) order by key`.execute(db),
    sql<KeyValue & { run_id: string }>`select run_id, key, value from tracking_tag where run_id = any(${ids}) order by key`.execute(db),
  ]);
  const of = <T extends { run_id: string }>(list: T[], id: string) => list.filter((one) => one.run_id === id).map(({ run_id: _, ...rest }) => rest);
  return rows.map((row) => ({ ...row, metrics: of(metrics.rows, row.id), params: of(params.rows, row.id), tags: of(tags.rows, row.id) }));
}

export async function upsertTags(db: Db, runId: string, tags: KeyValue[]): Promise<void> {
  if (tags.length === 0) return;
  const last = new Map(tags.map(({ key, value }) => [key, value]));
  await sql`
    insert into tracking_tag (run_id, key, value) select ${runId}, key, value from unnest(${[...last.keys()]}::text[], ${[...last.values()]}::text[]) as t (key, value)
    on conflict (run_id, key) do update set value = excluded.value`.execute(db);
}
/** Answers the params that have another value already. */
export async function insertParams(db: Db, runId: string, params: KeyValue[]): Promise<{ key: string; value: string }[]> {
  if (params.length === 0) return [];
  const keys = params.map((p) => p.key);
  await sql`
    insert into tracking_param (run_id, key, value)
    select ${runId}, key, value from unnest(${keys}::text[], ${params.map((p) => p.value)}::text[]) as t (key, value) on conflict do nothing`.execute(db);
  const { rows } = await sql<KeyValue>`select key, value from tracking_param where run_id = ${runId} and key = any(${keys}::text[])`.execute(db);
  const kept = new Map(rows.map((row) => [row.key, row.value]));
  return params.filter(({ key, value }) => kept.get(key) !== value).map(({ key }) => ({ key, value: kept.get(key) ?? "" }));
}
export async function insertMetrics(db: Db, runId: string, metrics: Metric[]): Promise<void> {
  if (metrics.length === 0) return;
  await sql`
    with told as (
      select key, step, timestamp, value from unnest(${metrics.map((m) => m.key)}::text[], ${metrics.map((m) => m.step)}::bigint[],
        ${metrics.map((m) => m.timestamp)}::bigint[], ${metrics.map((m) => String(m.value))}::float8[]) as t (key, step, timestamp, value)
    ), kept as (
      insert into tracking_metric (run_id, key, step, timestamp, value) select ${runId}, key, step, timestamp, value from told on conflict do nothing
    )
    insert into tracking_latest_metric (run_id, key, step, timestamp, value)
    select distinct on (key) ${runId}, key, step, timestamp, value from told order by key, step desc, timestamp desc, value desc
    on conflict (run_id, key) do update set step = excluded.step, timestamp = excluded.timestamp, value = excluded.value
    where (excluded.step, excluded.timestamp, excluded.value) > (tracking_latest_metric.step, tracking_latest_metric.timestamp, tracking_latest_metric.value)`.execute(
    db,
  );
}
export async function readHistory(db: Db, runId: string, key: string, limit: number, offset: number): Promise<Metric[]> {
  const { rows } = await sql<Metric>`
    select key, value, timestamp::float8, step::float8 from tracking_metric where run_id = ${runId} and key = ${key}
    order by timestamp, step, value limit ${limit} offset ${offset}`.execute(db);
  return rows;
}
