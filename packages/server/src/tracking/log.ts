/** What runs say on their way: metrics, params and tags, durable and all or nothing when it is answered. */
import { type RawBuilder, sql, type Transaction } from "kysely";
import { checkKey, cutParams, cutTags, invalidValue, isDuplicate, type KeyValue, largest, missing } from "../mlflow/index.js";
import { type Database, float8s, int8s, type Platform, texts } from "../platform/index.js";
import { keepLatest, type Settling } from "./settling.js";
import type { Metric, Tracking } from "./types.js";

/** From so many metrics on, the latest values of a batch are settled with those of others. */
const large = 50;

export function createLog({ db }: Pick<Platform, "db">, settling: Pick<Settling, "wake">): Pick<Tracking, "log" | "deleteTag"> {
  return {
    async log(runId, { metrics = [], params: givenParams = [], tags: givenTags = [] }) {
      for (const { key } of metrics) checkKey(key, "metric");
      const [params, tags] = [cutParams(givenParams), cutTags(givenTags)];
      checkBatch(metrics, params, tags);
      await mustHaveModels(db, metrics);
      const attempt = (onEqual: RawBuilder<unknown>) =>
        write(db, runId, { metrics, params, tags }, onEqual).catch((error: unknown) => {
          throw changedParam(error, runId) ?? error;
        });
      try {
        await attempt(sql``);
      } catch (error) {
        if (!isDuplicate(error)) throw error;
        // Points of it are there already, as when it is sent again after its answer was lost. That is rare, and to look first would take half as long again.
        await attempt(sql`on conflict do nothing`);
      }
      if (metrics.length >= large) settling.wake();
    },
    async deleteTag(runId, key) {
      const { rows } = await sql`
        delete from tracking_tag t using tracking_run r where r.id = ${runId} and r.lifecycle_stage = 'active' and t.run_id = r.id and t.key = ${key} returning t.key`.execute(
        db,
      );
      if (rows.length > 0) return;
      await mustBeActive(db, runId);
      throw missing(`No tag with name: ${key} in run with id ${runId}`);
    },
  };
}

interface Batch {
  metrics: Metric[];
  params: KeyValue[];
  tags: KeyValue[];
}

export async function mustBeActive(db: Database | Transaction<unknown>, id: string): Promise<void> {
  const { rows } = await sql<{ lifecycle_stage: string }>`select lifecycle_stage from tracking_run where id = ${id}`.execute(db);
  checkActive(rows[0], id);
}
function checkActive(run: { lifecycle_stage: string } | undefined, id: string): void {
  if (run === undefined) throw missing(`Run with id=${id.slice(0, 300)} not found`);
  if (run.lifecycle_stage !== "active") throw invalidValue(`The run ${id} must be in the 'active' state. Current state is deleted.`);
}

function checkBatch(metrics: Metric[], params: KeyValue[], tags: KeyValue[]): void {
  const over = (what: string, count: number, most: number) => {
    if (count > most)
      throw invalidValue(
        `A batch logging request can contain at most ${most} ${what}. Got ${count} ${what}. Please split up ${what} across multiple requests and try again.`,
      );
  };
  over("metrics", metrics.length, largest.batch.metrics);
  over("params", params.length, largest.batch.params);
  over("tags", tags.length, largest.batch.tags);
  over("metrics, params, and tags", metrics.length + params.length + tags.length, largest.batch.together);
  const keys = params.map((param) => param.key);
  const twice = keys.filter((key, i) => keys.indexOf(key) !== i);
  if (twice.length > 0)
    throw invalidValue(
      `Duplicate parameter keys have been submitted: ${twice.join(", ")}. Please ensure the request contains only one param value per param key.`,
    );
}

/**
 * One statement, so that a batch is one trip to PostgreSQL and one commit, or nothing where a param of it has another value.
 * `onEqual` says what becomes of a point that is there already. Rows go in by their keys, so that two writers never wait for each
 * other. The same point sent again, as after an answer that was lost, is there already.
 */
async function write(db: Database, runId: string, what: Batch, onEqual: RawBuilder<unknown>): Promise<void> {
  const parts: RawBuilder<unknown>[] = [sql`run as (select id, experiment_id, lifecycle_stage from tracking_run where id = ${runId})`];
  const toActive = sql`run where run.lifecycle_stage = 'active'`;
  if (what.metrics.length > 0) parts.push(...metricParts(what.metrics, toActive, onEqual));
  if (what.metrics.some((metric) => metric.modelId !== undefined)) parts.push(modelMetricPart(what.metrics, toActive));
  if (what.params.length > 0) {
    parts.push(
      sql`params as (select tracking_keep_params(run.id, ${texts(what.params, (one) => one.key)}::text[], ${texts(what.params, (one) => one.value)}::text[]) from ${toActive})`,
    );
  }
  const tags = [...new Map(what.tags.map((tag) => [tag.key, tag])).values()];
  if (tags.length > 0) {
    parts.push(sql`tags as (
      insert into tracking_tag (run_id, key, value) select run.id, t.key, t.value from ${keyed(tags)}, ${toActive} order by t.key
      on conflict (run_id, key) do update set value = excluded.value
    )`);
  }
  const name = tags.find((tag) => tag.key === "mlflow.runName");
  if (name !== undefined) parts.push(sql`named as (update tracking_run r set name = ${name.value} from ${toActive} and r.id = run.id)`);
  const { rows } = await sql<{ lifecycle_stage: string }>`
    with ${sql.join(parts)} select lifecycle_stage${what.params.length > 0 ? sql`, (select count(*) from params)` : sql``} from run`.execute(db);
  checkActive(rows[0], runId);
}

const keyed = (list: KeyValue[]) => sql`unnest(${texts(list, (one) => one.key)}::text[], ${texts(list, (one) => one.value)}::text[]) as t (key, value)`;

function metricParts(metrics: Metric[], toActive: RawBuilder<unknown>, onEqual: RawBuilder<unknown>): RawBuilder<unknown>[] {
  return [
    sql`given as (select ${texts(metrics, (m) => m.key)}::text[] as keys, ${int8s(metrics, (m) => m.step)}::bigint[] as steps,
      ${int8s(metrics, (m) => m.timestamp)}::bigint[] as timestamps, ${float8s(metrics, (m) => m.value)}::float8[] as vals)`,
    sql`told as (
      select t.* from given, unnest(given.keys, given.steps, given.timestamps, given.vals) as t (key, step, timestamp, value) order by 1, 2, 3, 4
    )`,
    sql`points as (
      insert into tracking_metric (run_id, key, step, timestamp, value) select run.id, told.key, told.step, told.timestamp, told.value from told, ${toActive} ${onEqual}
    )`,
    metrics.length >= large
      ? sql`unsettled as (
          insert into tracking_unsettled (run_id, experiment_id, keys, steps, timestamps, vals) select run.id, run.experiment_id, given.* from given, ${toActive}
        )`
      : sql`latest as (${keepLatest(sql`select run.id, run.experiment_id, told.key, told.step, told.timestamp, told.value from told, ${toActive}`)})`,
  ];
}

/** Deleted ones too: what is measured late is not lost. */
async function mustHaveModels(db: Database, metrics: Metric[]): Promise<void> {
  const ids = [...new Set(metrics.flatMap((metric) => metric.modelId ?? []))];
  if (ids.length === 0) return;
  const { rows } = await sql<{ id: string }>`select id from logged_model where id = any(${ids}::text[])`.execute(db);
  const unknown = ids.find((id) => !rows.some((row) => row.id === id));
  if (unknown !== undefined) throw missing(`Logged model with ID '${unknown.slice(0, 300)}' not found.`);
}

function modelMetricPart(metrics: Metric[], toActive: RawBuilder<unknown>): RawBuilder<unknown> {
  const of = metrics.filter((metric) => metric.modelId !== undefined);
  return sql`model_points as (
    insert into logged_model_metric (model_id, key, run_id, dataset_name, dataset_digest, step, timestamp, value)
    select t.model_id, t.key, run.id, t.dataset_name, t.dataset_digest, t.step, t.timestamp, t.value
    from unnest(${texts(of, (m) => m.modelId ?? "")}::text[], ${texts(of, (m) => m.key)}::text[], ${texts(of, (m) => m.dataset?.name ?? "")}::text[],
      ${texts(of, (m) => m.dataset?.digest ?? "")}::text[], ${int8s(of, (m) => m.step)}::bigint[], ${int8s(of, (m) => m.timestamp)}::bigint[],
      ${float8s(of, (m) => m.value)}::float8[]) as t (model_id, key, dataset_name, dataset_digest, step, timestamp, value)
    join logged_model lm on lm.id = t.model_id, ${toActive} order by 1, 2, 4, 5, 6, 7, 8 on conflict do nothing
  )`;
}

/** What `tracking_keep_params` raises, in words. */
function changedParam(error: unknown, runId: string): Error | undefined {
  if (!(error instanceof Error) || !("code" in error) || error.code !== "MP001" || !("detail" in error) || typeof error.detail !== "string") return undefined;
  const { key, kept, told } = JSON.parse(error.detail) as { key: string; kept: string; told: string };
  return invalidValue(
    `Changing param values is not allowed. Param with key='${key}' was already logged with value='${kept}' for run ID='${runId}'. Attempted logging new value '${told}'.`,
  );
}
