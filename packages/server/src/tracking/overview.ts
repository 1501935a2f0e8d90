/** Experiments with what goes on in them, and one run with what is around it. */
import type { ExperimentSummary, RunFamily, RunMetric } from "@millrace/sdk/api";
import { sql } from "kysely";
import { attribute, key, ofView, readPage, type Sql } from "../mlflow/index.js";
import type { Platform } from "../platform/index.js";
import { tooSlow, within } from "./bounded.js";
import { runInfo } from "./runs.js";
import type { Settling } from "./settling.js";
import type { Overview } from "./table-types.js";

const waitMs = 20_000;
const most = { runs: 100_001, children: 1_000, metrics: 10_000 };

export function createOverview({ db }: Pick<Platform, "db">, { settle }: Pick<Settling, "settle">): Overview {
  return {
    async experiments({ search = "", view = "active", order = "activity", limit = 100, after }) {
      const orders: Record<typeof order, Sql> = { activity: sql`coalesce(a.activity, e.creation_time)`, created: sql`e.creation_time`, name: sql`e.name` };
      const keys = [key(order, attribute(orders[order], order === "name" ? "text" : "integer"), order !== "name"), key("id", attribute(sql`e.id`, "integer"))];
      const shown = ofView(view === "all" ? "ALL" : view === "deleted" ? "DELETED_ONLY" : "ACTIVE_ONLY", sql`e.lifecycle_stage`);
      const like = `%${search.replaceAll(/[\\%_]/g, "\\$&")}%`;
      const { items, next } = await readPage(keys, { limit, token: after, search: [search, view, order] }, async (page) => {
        const rows = await within(db, waitMs, async (transaction) => {
          // An experiment's newest run is one look into the index; its runs are counted only for the page that is shown.
          const read = await sql<ExperimentSummary & { position: (string | null)[] }>`
            select e.id::text, e.name, e.lifecycle_stage as stage, e.creation_time::float8 as "createdAt", e.activity::float8 as "lastActivity", e.tags, e.position,
              (select count(*)::int from (select 1 from tracking_run r where r.experiment_id = e.id and r.lifecycle_stage = e.lifecycle_stage limit ${most.runs}) x) as runs,
              (select count(*)::int from (select status from tracking_run r where r.experiment_id = e.id and r.lifecycle_stage = 'active'
                order by start_time desc, id limit 1000) x where x.status = 'RUNNING') as running
            from (
              select e.*, a.activity, ${page.position} as position from experiment e left join lateral (
                select greatest(start_time, end_time) as activity from tracking_run r where r.experiment_id = e.id order by start_time desc, id limit 1
              ) a on true
              where ${shown} and e.name ilike ${like} and ${page.where} order by ${page.orderBy} limit ${page.limit}
            ) e`.execute(transaction);
          return read.rows;
        });
        if (rows === undefined) throw tooSlow();
        return rows;
      });
      return { items: items.map(({ position: _, ...row }) => row), ...(next === undefined ? {} : { next }) };
    },
    async metrics(run) {
      await runInfo(db, run);
      await settle();
      const told = await within(db, waitMs, async (transaction) => {
        const { rows } = await sql<{ metrics: RunMetric[] }>`
          select coalesce(json_agg(json_build_object('key', l.key, 'value', l.value, 'step', l.step, 'timestamp', l.timestamp,
            'min', coalesce(m.min, l.value), 'max', coalesce(m.max, l.value), 'points', coalesce(m.points, 1)) order by l.key), '[]') as metrics
          from (select * from tracking_latest_metric where run_id = ${run} order by key limit ${most.metrics}) l left join lateral (
            select coalesce(min(value) filter (where value <> 'NaN'), 'NaN') as min, coalesce(max(value) filter (where value <> 'NaN'), 'NaN') as max, count(*) as points
            from tracking_metric m where m.run_id = l.run_id and m.key = l.key
          ) m on true`.execute(transaction);
        return rows[0]?.metrics ?? [];
      });
      if (told === undefined) throw tooSlow();
      return told;
    },
    async family(run) {
      await runInfo(db, run);
      const columns = sql`r.id, r.experiment_id::text as "experimentId", r.name, r.status`;
      const { rows: parents } = await sql<NonNullable<RunFamily["parent"]>>`
        select ${columns} from tracking_tag t join tracking_run r on r.id = t.value where t.run_id = ${run} and t.key = 'mlflow.parentRunId'`.execute(db);
      const { rows: children } = await sql<RunFamily["children"][number]>`
        select ${columns}, r.start_time::float8 as "startTime" from tracking_tag t join tracking_run r on r.id = t.run_id
        where t.key = 'mlflow.parentRunId' and t.value = ${run} and r.lifecycle_stage = 'active' order by r.start_time, r.id limit ${most.children + 1}`.execute(
        db,
      );
      return { parent: parents[0] ?? null, children: children.slice(0, most.children), more: children.length > most.children };
    },
  };
}
