/** What the console draws of runs, as one statement each: how a run went, how long steps take, what workers do. */
import type { RunBar, RunningStep, RunTimeline, StepAverage } from "@millrace/sdk/api";
import { sql } from "kysely";
import type { Platform } from "../platform/index.js";

const mostBars = 5_000;
const mostRunning = 1_000;
const newestRuns = 20;

export interface PipelineViews {
  /** Undefined where there is no such run. */
  timeline(run: string): Promise<RunTimeline | undefined>;
  averages(pipeline: string): Promise<StepAverage[]>;
  running(): Promise<RunningStep[]>;
}

export function openViews({ db }: Pick<Platform, "db">): PipelineViews {
  const since = (from: string, to: string) => sql`(extract(epoch from ${sql.raw(to)} - ${sql.raw(from)}) * 1000)::double precision`;
  return {
    async timeline(id) {
      const [run] = (
        await sql<{ length: number }>`
          select coalesce(${since("real_started_at", "coalesce(real_finished_at, clock_timestamp())")}, 0) as length from pipeline_run where id = ${id}`.execute(
          db,
        )
      ).rows;
      if (run === undefined) return undefined;
      const { rows } = await sql<RunBar>`
        select step, node, parent, kind, b.state, attempt, worker, host, backend, outcome,
          greatest(0, ${since("r.real_started_at", "b.begun")}) as "fromMs", greatest(0, ${since("r.real_started_at", "b.ended")}) as "toMs"
        from (
          select s.run, s.id as step, s.n, s.node, s.parent, s.kind, s.state, a.attempt, a.worker, a.host, a.backend, a.outcome,
            a.real_started_at as begun, a.real_finished_at as ended
          from pipeline_step s join pipeline_attempt a on a.run = s.run and a.step = s.id where s.run = ${id}
          union all
          select s.run, s.id, s.n, s.node, s.parent, s.kind, s.state, 0, null, null, s.backend, null, s.real_started_at,
            case when s.state <> 'asking' then s.real_finished_at end
          from pipeline_step s where s.run = ${id} and s.real_started_at is not null
            and not exists (select 1 from pipeline_attempt a where a.run = s.run and a.step = s.id)
        ) b join pipeline_run r on r.id = b.run
        order by b.begun, b.n, b.attempt limit ${mostBars + 1}`.execute(db);
      const counts = await sql<RunTimeline["counts"][number]>`
        select parent, node, state, count(*)::int as count from pipeline_step where run = ${id} and parent is not null
        group by parent, node, state order by parent, node, state limit ${mostBars}`.execute(db);
      return { lengthMs: run.length, bars: rows.slice(0, mostBars), more: rows.length > mostBars, counts: counts.rows };
    },
    async averages(pipeline) {
      const { rows } = await sql<StepAverage>`
        with newest as (
          select id from pipeline_run where pipeline = ${pipeline} and state not in ('queued', 'running') order by n desc limit ${newestRuns}
        ), steps as (
          select s.node, s.kind, s.state, case when s.state = 'succeeded' then ${since("s.real_started_at", "s.real_finished_at")} end as ms
          from newest join pipeline_step s on s.run = newest.id
        )
        select node, min(kind) as kind, (count(*) filter (where state = 'succeeded'))::int as ran, (count(*) filter (where state = 'cached'))::int as cached,
          (count(*) filter (where state = 'failed'))::int as failed, avg(ms) as "meanMs",
          percentile_cont(0.5) within group (order by ms) as "medianMs", max(ms) as "longestMs"
        from steps group by node order by node`.execute(db);
      return rows;
    },
    async running() {
      const { rows } = await sql<RunningStep>`
        select s.run, r.pipeline, s.id as step, s.worker, s.backend, ${since("s.real_started_at", "clock_timestamp()")} as "forMs", s.progress, s.usage
        from pipeline_step s join pipeline_run r on r.id = s.run
        where s.state = 'running' and s.worker is not null and s.real_started_at is not null
        order by s.real_started_at limit ${mostRunning}`.execute(db);
      return rows;
    },
  };
}
