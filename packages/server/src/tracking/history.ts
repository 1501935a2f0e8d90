/** Every value that a metric had. */
import { sql } from "kysely";
import { invalidValue } from "../mlflow/index.js";
import type { Database, Platform } from "../platform/index.js";
import { runInfo } from "./runs.js";
import type { Metric, Tracking } from "./types.js";

type Row = Metric & { run_id: string };

export function createHistory({ db }: Pick<Platform, "db">): Pick<Tracking, "history" | "histories" | "sampledHistories"> {
  return {
    async history(runId, name, { limit, token }) {
      await runInfo(db, runId);
      const after = token === undefined || token === "" ? undefined : readToken(token);
      // PostgreSQL writes the JSON: a hundred thousand points are neither sent as rows nor made into objects.
      const { rows } = await sql<{ points: string; position: string | null }>`
        with page as (
          select timestamp, step, value, row_number() over w as n from tracking_metric
          where run_id = ${runId} and key = ${name} and ${after === undefined ? sql`true` : sql`(timestamp, step, value) > (${after[0]}::bigint, ${after[1]}::bigint, ${after[2]}::float8)`}
          window w as (order by timestamp, step, value) order by timestamp, step, value limit ${limit + 1}
        )
        select coalesce(string_agg(
            concat(${`{"key":${JSON.stringify(name)},"value":`}::text, case when value in ('NaN', 'Infinity', '-Infinity') then to_json(value::text)::text else value::text end,
              ',"timestamp":', timestamp, ',"step":', step, '}'), ',' order by n) filter (where n <= ${limit}), '') as points,
          max(concat(timestamp, ' ', step, ' ', value)) filter (where n = ${limit} and ${limit} < (select count(*) from page)) as position
        from page`.execute(db);
      const [{ points, position } = { points: "", position: null }] = rows;
      return { points, ...(position === null ? {} : { next: Buffer.from(position).toString("base64url") }) };
    },
    async histories(runIds, name, limit) {
      const { rows } = await sql<Row>`
        select run_id, key, value, timestamp::float8, step::float8 from tracking_metric
        where run_id = any(${runIds}::text[]) and key = ${name} order by run_id, tracking_metric.timestamp, tracking_metric.step, tracking_metric.value limit ${limit}`.execute(
        db,
      );
      return rows;
    },
    async sampledHistories(runIds, name, options) {
      for (const id of runIds) await runInfo(db, id);
      const sampled: Row[] = [];
      for (const id of runIds) sampled.push(...(await sample(db, id, name, options)));
      return sampled;
    },
  };
}

/** The points, in order of steps, fall into stretches of equal counts; of each stay the first of the smallest and the first of the largest, and of all the first and the last. */
async function sample(db: Database, runId: string, name: string, { points, from, to }: { points: number; from?: number; to?: number }): Promise<Row[]> {
  const stretches = Math.max(1, Math.floor((points - 2) / 2));
  const { rows } = await sql<Row>`
    with numbered as (
      select run_id, key, value, timestamp, step, row_number() over w as n, count(*) over () as all_points from tracking_metric
      where run_id = ${runId} and key = ${name} and step between ${from ?? Number.MIN_SAFE_INTEGER} and ${to ?? Number.MAX_SAFE_INTEGER}
      window w as (order by step, timestamp, value)
    ), ranked as (
      select *, row_number() over (partition by (n - 1) * ${stretches} / all_points order by value, n) as low,
        row_number() over (partition by (n - 1) * ${stretches} / all_points order by value desc, n) as high from numbered
    )
    select run_id, key, value, timestamp::float8, step::float8 from ranked
    where all_points <= ${points} or (${points}::int > 2 and (low = 1 or high = 1)) or n = all_points or (n = 1 and ${points}::int > 1) order by n`.execute(db);
  return rows;
}

/** The moment, step and value of the last point of the page before. */
function readToken(token: string): [string, string, string] {
  const match = /^(-?[0-9]{1,18}) (-?[0-9]{1,18}) (NaN|-?Infinity|-?[0-9.]{1,400}(?:e[+-]?[0-9]{1,3})?)$/.exec(Buffer.from(token, "base64url").toString());
  const [, timestamp, step, value] = match ?? [];
  if (timestamp === undefined || step === undefined || value === undefined) throw invalidValue("Invalid page token: pass on the one of the last answer.");
  return [timestamp, step, value];
}
