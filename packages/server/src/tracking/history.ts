/** Every value that a metric had. */
import { sql } from "kysely";
import { attribute, key, readPage } from "../mlflow/index.js";
import type { Database, Platform } from "../platform/index.js";
import { runInfo } from "./runs.js";
import type { Metric, Tracking } from "./types.js";

const inTime = [
  key("timestamp", attribute(sql`timestamp`, "integer")),
  key("step", attribute(sql`step`, "integer")),
  key("value", { ...attribute(sql`value`, "number"), sort: { value: sql`value`, nullable: false } }),
];
type Row = Metric & { run_id: string };

export function createHistory({ db }: Pick<Platform, "db">): Pick<Tracking, "history" | "histories" | "sampledHistories"> {
  return {
    async history(runId, name, { limit, token }) {
      await runInfo(db, runId);
      return readPage(inTime, { limit, token, search: [runId, name] }, async (page) => {
        const { rows } = await sql<Metric & { position: string[] }>`
          select key, value, timestamp::float8, step::float8, array[timestamp::text, step::text, value::text] as position from tracking_metric
          where run_id = ${runId} and key = ${name} and ${page.where} order by ${page.orderBy} limit ${page.limit}`.execute(db);
        return rows;
      });
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
