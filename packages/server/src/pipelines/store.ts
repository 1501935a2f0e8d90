/** The tables of runs, as they are asked for and read. What steps do is in queue.ts. */
import type { RunState, StepState } from "@millrace/sdk/api";
import { sql, type Transaction } from "kysely";
import type { Platform } from "../platform/index.js";
import type { Memory } from "./decide.js";
import { graphOf } from "./graph.js";
import type { ModelStep } from "./model.js";
import { channel, demandOf, json } from "./queue.js";
import type { AttemptRow, CacheRow, MadeRow, RunRow, StepRow } from "./rows.js";

export type NewRun = Pick<RunRow, "id" | "pipeline" | "project" | "project_version" | "commit" | "spec" | "params" | "cause" | "options">;
export type PipelineStore = ReturnType<typeof openStore>;

/** All but the items of maps, which may be many. */
const stepColumns = sql`run, id, n::text, node, parent, item_index, item, kind, state, attempt, failures, worker, backend, host, started_at, finished_at,
  real_started_at, real_finished_at, cache_key, key_parts, cached_from, reason, error, inputs, outputs, progress, usage, items_total, items_begun, items_done,
  asks, asks_until, metrics, model_version`;

export function openStore({ db, clock, events }: Pick<Platform, "db" | "clock" | "events">) {
  const memory: Memory = {
    async cached(keys) {
      if (keys.length === 0) return new Map();
      const { rows } = await sql<CacheRow>`
        select key, run, step, outputs, metrics, model_version, created_at from pipeline_cache where key = any(${keys}::text[])`.execute(db);
      return new Map(rows.map((row) => [row.key, row]));
    },
    async made(pipeline, steps) {
      const { rows } = await sql<MadeRow>`
        select step, run, project, project_version, parts from pipeline_made where pipeline = ${pipeline} and step = any(${steps}::text[])`.execute(db);
      return new Map(rows.map((row) => [row.step, row]));
    },
    async stepsOf(run, steps) {
      const { rows } = await sql<StepRow>`select ${stepColumns} from pipeline_step where run = ${run} and id = any(${steps}::text[])`.execute(db);
      return new Map(rows.map((row) => [row.id, row]));
    },
  };

  /** A run that is over has no step that is not. */
  async function closeSteps(transaction: Transaction<unknown>, runId: string): Promise<void> {
    const { rows } = await sql<{ id: string; state: StepState }>`
      with closed as (
        update pipeline_step set state = case when state in ('running', 'asking') then 'cancelled' else 'skipped' end, due = null,
          finished_at = case when state in ('running', 'asking') then ${clock.now()}::timestamptz end,
          real_finished_at = case when state in ('running', 'asking') then clock_timestamp() end
        where run = ${runId} and state in ('waiting', 'ready', 'running', 'asking') returning id, state
      ), attempts as (
        update pipeline_attempt a set outcome = 'cancelled', finished_at = ${clock.now()}, real_finished_at = clock_timestamp()
        from closed c where a.run = ${runId} and a.step = c.id and a.outcome is null
      )
      select id, state from closed`.execute(transaction);
    const changes = rows.map(({ id, state }) => ({ type: "step.changed", subject: `${runId}/${id}`, data: { run: runId, step: id, state } }));
    await events.appendAll(transaction, changes);
  }

  return {
    memory,
    /** False where the run is there already. */
    async insert(run: NewRun): Promise<boolean> {
      return db.transaction().execute(async (transaction) => {
        const { rows } = await sql`
          insert into pipeline_run (id, pipeline, project, project_version, commit, spec, params, cause, options, state, created_at)
          values (${run.id}, ${run.pipeline}, ${run.project}, ${run.project_version}, ${run.commit}, ${json(run.spec)}, ${json(run.params)},
            ${json(run.cause)}, ${json(run.options)}, 'queued', ${clock.now()})
          on conflict (id) do nothing returning id`.execute(transaction);
        if (rows.length === 0) return false;
        const graph = graphOf(run.spec);
        const steps = run.spec.nodes.map((node) => ({ id: node.id, kind: node.kind, position: graph.get(node.id)?.position ?? 0, ...demandOf(node) }));
        await sql`
          insert into pipeline_step (run, id, node, position, kind, state, place, backend)
          select ${run.id}, id, id, position, kind, 'waiting', place, backend
          from jsonb_to_recordset(${json(steps)}) as s(id text, position int, kind text, place text, backend text) order by position`.execute(transaction);
        await events.append(transaction, "run.queued", run.id, { pipeline: run.pipeline, state: "queued" });
        return true;
      });
    },

    async run(id: string): Promise<RunRow | undefined> {
      return (await sql<RunRow>`select * from pipeline_run where id = ${id}`.execute(db)).rows[0];
    },
    async runs(query: { pipeline?: string; states?: string[]; after?: string; limit: number }): Promise<RunRow[]> {
      const { rows } = await sql<RunRow>`
        select * from pipeline_run where true
        ${query.pipeline === undefined ? sql`` : sql`and pipeline = ${query.pipeline}`}
        ${query.states === undefined ? sql`` : sql`and state = any(${query.states})`}
        ${query.after === undefined ? sql`` : sql`and n < (select n from pipeline_run where id = ${query.after})`}
        order by n desc limit ${query.limit}`.execute(db);
      return rows;
    },
    async lastRuns(pipelines: string[]): Promise<RunRow[]> {
      const { rows } = await sql<RunRow>`
        select r.* from unnest(${pipelines}::text[]) as p(name)
        cross join lateral (select * from pipeline_run where pipeline = p.name order by n desc limit 1) r`.execute(db);
      return rows;
    },
    /** In the order in which they became steps: those of the definition, then those of maps. */
    async steps(runId: string, query: { parent?: string; state?: StepState; after?: string; limit: number }): Promise<StepRow[]> {
      const { rows } = await sql<StepRow>`
        select ${stepColumns} from pipeline_step where run = ${runId}
        ${query.parent === undefined ? sql`` : sql`and parent = ${query.parent}`}
        ${query.state === undefined ? sql`` : sql`and state = ${query.state}`}
        ${query.after === undefined ? sql`` : sql`and pipeline_step.n > (select a.n from pipeline_step a where a.run = ${runId} and a.id = ${query.after})`}
        order by pipeline_step.n limit ${query.limit}`.execute(db);
      return rows;
    },
    async stepCount(runId: string): Promise<number> {
      return (await sql<{ count: number }>`select count(*)::int as count from pipeline_step where run = ${runId}`.execute(db)).rows[0]?.count ?? 0;
    },
    /** All, with the items of maps. */
    async allSteps(transaction: Platform["db"], runId: string): Promise<StepRow[]> {
      return (await sql<StepRow>`select ${stepColumns}, items from pipeline_step where run = ${runId} order by pipeline_step.n`.execute(transaction)).rows;
    },
    async step(runId: string, id: string): Promise<StepRow | undefined> {
      return (await sql<StepRow>`select ${stepColumns} from pipeline_step where run = ${runId} and id = ${id}`.execute(db)).rows[0];
    },
    async attempts(runId: string, step: string): Promise<AttemptRow[]> {
      const { rows } = await sql<AttemptRow>`
        select attempt, worker, host, backend, started_at, finished_at, real_started_at, real_finished_at, outcome, exit_code, signal, message, peak_memory, cpu_seconds
        from pipeline_attempt where run = ${runId} and step = ${step} order by attempt`.execute(db);
      return rows;
    },

    /** One worker begins a run; where it dies over it, another one does. */
    async claimBegin(runId: string, worker: string): Promise<RunRow | undefined> {
      const { rows } = await sql<RunRow>`
        update pipeline_run set begun_by = ${worker}, begun_at = clock_timestamp()
        where id = ${runId} and state = 'queued' and (begun_at is null or begun_at < clock_timestamp() - interval '15 seconds') returning *`.execute(db);
      return rows[0];
    },
    /** Holds the run for the transaction. Undefined where it is over. */
    async lock(transaction: Transaction<unknown>, runId: string): Promise<{ state: RunState; version: string } | undefined> {
      const { rows } = await sql<{ state: RunState; version: string }>`
        select state, version::text from pipeline_run where id = ${runId} and state in ('queued', 'running') for update`.execute(transaction);
      return rows[0];
    },
    async lockedRun(transaction: Platform["db"], runId: string): Promise<RunRow | undefined> {
      return (await sql<RunRow>`select * from pipeline_run where id = ${runId}`.execute(transaction)).rows[0];
    },
    async started(transaction: Transaction<unknown>, run: RunRow): Promise<void> {
      await sql`
        update pipeline_run set state = 'running', started_at = ${clock.now()}, real_started_at = clock_timestamp(), tracking_run_id = ${run.tracking_run_id}
        where id = ${run.id}`.execute(transaction);
      await events.append(transaction, "run.started", run.id, { pipeline: run.pipeline, state: "running" });
    },
    /** What followed is there: what others have in memory of the run is old. */
    async changed(transaction: Transaction<unknown>, runId: string, metrics: Record<string, number>, modelVersion: string | null): Promise<string> {
      const { rows } = await sql<{ version: string }>`
        update pipeline_run set version = version + 1, metrics = metrics || ${json(metrics)}, model_version = coalesce(${modelVersion}, model_version)
        where id = ${runId} returning version::text`.execute(transaction);
      return rows[0]?.version ?? "";
    },
    async finish(transaction: Transaction<unknown>, run: Pick<RunRow, "id" | "pipeline">, state: RunState, message: string | null): Promise<void> {
      const { rows } = await sql<{ model_version: string | null }>`
        update pipeline_run set state = ${state}, message = ${message}, finished_at = ${clock.now()}, real_finished_at = clock_timestamp()
        where id = ${run.id} returning model_version`.execute(transaction);
      await closeSteps(transaction, run.id);
      const modelVersion = rows[0]?.model_version ?? undefined;
      await events.append(transaction, "run.finished", run.id, { pipeline: run.pipeline, state, modelVersion, message: message ?? undefined });
    },
    /** False where the run was over before. */
    async cancel(runId: string, message: string): Promise<boolean> {
      return db.transaction().execute(async (transaction) => {
        if ((await this.lock(transaction, runId)) === undefined) return false;
        const run = await this.lockedRun(transaction, runId);
        if (run === undefined) return false;
        await this.finish(transaction, run, "cancelled", message);
        await sql`select pg_notify(${channel}, ${`cancel ${runId}`})`.execute(transaction);
        return true;
      });
    },
    /** What steps that ran leave for later runs. */
    async remember(transaction: Transaction<unknown>, run: RunRow, steps: ModelStep[]): Promise<void> {
      const kept = steps.filter((step) => step.cacheKey !== null && step.parts !== null);
      if (kept.length === 0) return;
      const records = kept.map((step) => ({
        ...{ key: step.cacheKey, step: step.id, outputs: step.outputs, metrics: step.metrics, model_version: step.modelVersion, parts: step.parts },
        keeps: step.node.cache !== false,
      }));
      await sql`
        with made as (
          select * from jsonb_to_recordset(${json(records)}) as m(key text, step text, outputs jsonb, metrics jsonb, model_version text, parts jsonb, keeps boolean)
        ), cached as (
          insert into pipeline_cache (key, run, step, outputs, metrics, model_version, created_at)
          select distinct on (key) key, ${run.id}, step, outputs, coalesce(metrics, '{}'), model_version, ${clock.now()}::timestamptz from made where keeps order by key
          on conflict (key) do update set run = excluded.run, step = excluded.step, outputs = excluded.outputs, metrics = excluded.metrics,
            model_version = excluded.model_version, created_at = excluded.created_at
        )
        insert into pipeline_made (pipeline, step, key, run, project, project_version, parts)
        select ${run.pipeline}, step, key, ${run.id}, ${run.project}, ${run.project_version}, parts from made order by step
        on conflict (pipeline, step) do update set key = excluded.key, run = excluded.run, project = excluded.project,
          project_version = excluded.project_version, parts = excluded.parts`.execute(transaction);
    },

    /** Runs that were asked for and that nobody began. */
    async orphans(): Promise<string[]> {
      const { rows } = await sql<{ id: string }>`
        select id from pipeline_run where state = 'queued' and real_created_at < clock_timestamp() - interval '2 seconds'
          and (begun_at is null or begun_at < clock_timestamp() - interval '15 seconds') order by n limit 100`.execute(db);
      return rows.map((row) => row.id);
    },
    /** Runs of which nothing runs, is ready or asks: something of ours went wrong in the middle. */
    async stuck(): Promise<string[]> {
      const { rows } = await sql<{ id: string }>`
        select id from pipeline_run r where state = 'running' and not exists (
          select 1 from pipeline_step s where s.run = r.id and s.state in ('ready', 'running', 'asking') and s.items_total is null)
        order by n limit 100`.execute(db);
      return rows.map((row) => row.id);
    },
    /** Runs that are over, and whose tracking may not say so. */
    async untracked(seconds: number): Promise<string[]> {
      const { rows } = await sql<{ id: string }>`
        select id from pipeline_run where not tracked and state not in ('queued', 'running')
          and coalesce(real_finished_at, '-infinity') < clock_timestamp() - make_interval(secs => ${seconds}) order by n limit 100`.execute(db);
      return rows.map((row) => row.id);
    },
    async tracked(runId: string): Promise<void> {
      await sql`update pipeline_run set tracked = true where id = ${runId}`.execute(db);
    },
    /** What waits for an event, or for longer than it may. */
    async asking(): Promise<(Pick<StepRow, "run" | "id" | "asks"> & { asks_until: Date | null })[]> {
      const { rows } = await sql<Pick<StepRow, "run" | "id" | "asks"> & { asks_until: Date | null }>`
        select run, id, asks, asks_until from pipeline_step where state = 'asking' and (asks ->> 'kind' = 'event' or asks_until is not null)
        limit 1000`.execute(db);
      return rows;
    },
  };
}
