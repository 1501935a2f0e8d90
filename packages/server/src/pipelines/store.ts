/** The tables of runs and steps. Every write of an execution is fenced: it names its execution and attempt, and one that was superseded is refused. */
import type { Artifact, Run, RunState, Step, StepState } from "@millrace/sdk/api";
import type { PipelineSpec } from "@millrace/sdk/spec";
import { sql, type Transaction } from "kysely";
import type { Platform } from "../platform/index.js";
import type { ParamValue } from "./params.js";

/** The run is over, or another execution has it: what this one does no longer counts. */
export class Superseded extends Error {
  override readonly name = "Superseded";
}

export interface RunRow {
  id: string;
  n: string;
  pipeline: string;
  project: string;
  project_version: number;
  commit: string | null;
  spec: PipelineSpec;
  params: Record<string, ParamValue>;
  cause: Run["cause"];
  state: RunState;
  message: string | null;
  tracking_run_id: string | null;
  metrics: Record<string, number>;
  model_version: string | null;
  epoch: number;
  created_at: Date;
  started_at: Date | null;
  finished_at: Date | null;
  real_started_at: Date | null;
  real_finished_at: Date | null;
}
export interface StepRow {
  run: string;
  id: string;
  kind: string;
  state: StepState;
  attempt: number;
  started_at: Date | null;
  finished_at: Date | null;
  real_started_at: Date | null;
  real_finished_at: Date | null;
  cache_key: string | null;
  cached_from: string | null;
  error: string | null;
  outputs: Record<string, Artifact>;
}
export interface CacheRow {
  run: string;
  outputs: Record<string, Artifact>;
  metrics: Record<string, number>;
  model_version: string | null;
}
export type NewRun = Pick<RunRow, "id" | "pipeline" | "project" | "project_version" | "commit" | "spec" | "params" | "cause">;
/** How a step ended. */
export interface StepEnd {
  state: "succeeded" | "cached" | "refused" | "failed";
  outputs?: Record<string, Artifact>;
  error?: string;
  cacheKey?: string;
  cachedFrom?: string;
  metrics?: Record<string, number>;
  modelVersion?: string;
}
const over = (state: RunState): boolean => state !== "queued" && state !== "running";
const json = (value: unknown) => sql`${JSON.stringify(value)}::jsonb`;

export type PipelineStore = ReturnType<typeof openStore>;

export function openStore({ db, clock, events }: Platform) {
  const stepChanged = (transaction: Transaction<unknown>, run: string, step: string, state: StepState) =>
    events.append(transaction, "step.changed", `${run}/${step}`, { run, step, state });

  /** One transaction of the execution `epoch` of a run. */
  function fenced<T>(runId: string, epoch: number, work: (transaction: Transaction<unknown>) => Promise<T>): Promise<T> {
    return db.transaction().execute(async (transaction) => {
      const { rows } = await sql<{ state: RunState; epoch: number }>`select state, epoch from pipeline_run where id = ${runId} for update`.execute(transaction);
      const run = rows[0];
      if (run === undefined || over(run.state) || run.epoch !== epoch) throw new Superseded(`Execution ${epoch} of the run ${runId} no longer counts.`);
      return work(transaction);
    });
  }

  /** A run that is over has no step that waits or runs. */
  async function closeSteps(transaction: Transaction<unknown>, runId: string, running: "failed" | "cancelled"): Promise<void> {
    const steps = await sql<{ id: string; state: StepState }>`
      update pipeline_step set state = case state when 'running' then ${running} else 'skipped' end,
        finished_at = case state when 'running' then ${clock.now()}::timestamptz end,
        real_finished_at = case state when 'running' then clock_timestamp() end
      where run = ${runId} and state in ('waiting', 'running') returning id, state`.execute(transaction);
    for (const step of steps.rows) await stepChanged(transaction, runId, step.id, step.state);
  }

  return {
    /** False where the run is there already. */
    async insert(run: NewRun): Promise<boolean> {
      return db.transaction().execute(async (transaction) => {
        const { rows } = await sql`
          insert into pipeline_run (id, pipeline, project, project_version, commit, spec, params, cause, state, created_at)
          values (${run.id}, ${run.pipeline}, ${run.project}, ${run.project_version}, ${run.commit}, ${json(run.spec)}, ${json(run.params)},
            ${json(run.cause)}, 'queued', ${clock.now()})
          on conflict (id) do nothing returning id`.execute(transaction);
        if (rows.length === 0) return false;
        const steps = run.spec.nodes.map((node, position) => ({ id: node.id, kind: node.kind, position }));
        await sql`
          insert into pipeline_step (run, id, position, kind, state)
          select ${run.id}, id, position, kind, 'waiting' from jsonb_to_recordset(${json(steps)}) as s(id text, position int, kind text)`.execute(transaction);
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
    async steps(runId: string): Promise<StepRow[]> {
      return (await sql<StepRow>`select * from pipeline_step where run = ${runId} order by position`.execute(db)).rows;
    },
    async step(runId: string, id: string): Promise<StepRow | undefined> {
      return (await sql<StepRow>`select * from pipeline_step where run = ${runId} and id = ${id}`.execute(db)).rows[0];
    },
    async cached(key: string): Promise<CacheRow | undefined> {
      return (await sql<CacheRow>`select run, outputs, metrics, model_version from pipeline_cache where key = ${key}`.execute(db)).rows[0];
    },

    /** Begins a new execution of the run, which supersedes every older one. Undefined where the run is over. */
    async claim(runId: string, executor: string): Promise<RunRow | undefined> {
      const { rows } = await sql<RunRow>`
        update pipeline_run set epoch = epoch + 1, executor = ${executor}
        where id = ${runId} and state in ('queued', 'running') returning *`.execute(db);
      return rows[0];
    },
    async started(run: RunRow): Promise<void> {
      await fenced(run.id, run.epoch, async (transaction) => {
        const { rows } = await sql`
          update pipeline_run set state = 'running', started_at = ${clock.now()}, real_started_at = clock_timestamp()
          where id = ${run.id} and state = 'queued' returning id`.execute(transaction);
        if (rows.length > 0) await events.append(transaction, "run.started", run.id, { pipeline: run.pipeline, state: "running" });
      });
    },
    async tracked(run: RunRow, trackingRunId: string): Promise<void> {
      await fenced(run.id, run.epoch, async (transaction) => {
        await sql`update pipeline_run set tracking_run_id = ${trackingRunId} where id = ${run.id}`.execute(transaction);
      });
    },

    /** Begins an attempt of a step and answers its number. */
    async begin(run: RunRow, step: string): Promise<number> {
      return fenced(run.id, run.epoch, async (transaction) => {
        const { rows } = await sql<{ attempt: number }>`
          update pipeline_step set state = 'running', attempt = attempt + 1, started_at = ${clock.now()}, real_started_at = clock_timestamp(),
            finished_at = null, real_finished_at = null, error = null
          where run = ${run.id} and id = ${step} and state in ('waiting', 'running') returning attempt`.execute(transaction);
        const attempt = rows[0]?.attempt;
        if (attempt === undefined) throw new Superseded(`The step ${step} of the run ${run.id} is over.`);
        await stepChanged(transaction, run.id, step, "running");
        return attempt;
      });
    },
    async end(run: RunRow, step: string, attempt: number, end: StepEnd): Promise<void> {
      await fenced(run.id, run.epoch, async (transaction) => {
        const outputs = end.outputs ?? {};
        const { rows } = await sql`
          update pipeline_step set state = ${end.state}, outputs = ${json(outputs)}, error = ${end.error ?? null}, cache_key = ${end.cacheKey ?? null},
            cached_from = ${end.cachedFrom ?? null}, finished_at = ${clock.now()}, real_finished_at = clock_timestamp()
          where run = ${run.id} and id = ${step} and attempt = ${attempt} and state = 'running' returning id`.execute(transaction);
        if (rows.length === 0) throw new Superseded(`Attempt ${attempt} of the step ${step} of the run ${run.id} no longer counts.`);
        if (end.metrics !== undefined || end.modelVersion !== undefined) {
          await sql`
            update pipeline_run set metrics = metrics || ${json(end.metrics ?? {})}, model_version = coalesce(${end.modelVersion ?? null}, model_version)
            where id = ${run.id}`.execute(transaction);
        }
        if (end.state === "succeeded" && end.cacheKey !== undefined) {
          await sql`
            insert into pipeline_cache (key, run, step, outputs, metrics, model_version, created_at)
            values (${end.cacheKey}, ${run.id}, ${step}, ${json(outputs)}, ${json(end.metrics ?? {})}, ${end.modelVersion ?? null}, ${clock.now()})
            on conflict (key) do update set run = excluded.run, step = excluded.step, outputs = excluded.outputs, metrics = excluded.metrics,
              model_version = excluded.model_version, created_at = excluded.created_at`.execute(transaction);
        }
        await stepChanged(transaction, run.id, step, end.state);
      });
    },
    async skip(run: RunRow, step: string): Promise<void> {
      await fenced(run.id, run.epoch, async (transaction) => {
        const { rows } = await sql`
          update pipeline_step set state = 'skipped' where run = ${run.id} and id = ${step} and state = 'waiting' returning id`.execute(transaction);
        if (rows.length > 0) await stepChanged(transaction, run.id, step, "skipped");
      });
    },

    async finish(run: RunRow, state: RunState, message: string | null): Promise<void> {
      await fenced(run.id, run.epoch, async (transaction) => {
        const { rows } = await sql<{ model_version: string | null }>`
          update pipeline_run set state = ${state}, message = ${message}, finished_at = ${clock.now()}, real_finished_at = clock_timestamp()
          where id = ${run.id} returning model_version`.execute(transaction);
        await closeSteps(transaction, run.id, "failed");
        const modelVersion = rows[0]?.model_version ?? undefined;
        await events.append(transaction, "run.finished", run.id, { pipeline: run.pipeline, state, modelVersion, message: message ?? undefined });
      });
    },
    /** False where the run was over before. */
    async cancel(runId: string, message: string): Promise<boolean> {
      return db.transaction().execute(async (transaction) => {
        const { rows } = await sql<{ pipeline: string }>`
          update pipeline_run set state = 'cancelled', message = ${message}, finished_at = ${clock.now()}, real_finished_at = clock_timestamp()
          where id = ${runId} and state in ('queued', 'running') returning pipeline`.execute(transaction);
        const run = rows[0];
        if (run === undefined) return false;
        await closeSteps(transaction, runId, "cancelled");
        await events.append(transaction, "run.finished", runId, { pipeline: run.pipeline, state: "cancelled", message });
        return true;
      });
    },

    /** Whether the execution still counts: the run is not over, and no younger execution has it. */
    async counts(run: Pick<RunRow, "id" | "epoch">): Promise<boolean> {
      const { rows } = await sql`
        select 1 from pipeline_run where id = ${run.id} and epoch = ${run.epoch} and state in ('queued', 'running')`.execute(db);
      return rows.length > 0;
    },
    async over(runId: string): Promise<boolean> {
      const { rows } = await sql`select 1 from pipeline_run where id = ${runId} and state in ('queued', 'running')`.execute(db);
      return rows.length === 0;
    },
    async beat(executor: string): Promise<void> {
      await sql`
        insert into pipeline_worker (executor, seen_at) values (${executor}, clock_timestamp())
        on conflict (executor) do update set seen_at = excluded.seen_at`.execute(db);
    },
    /** Runs that nobody executes: never begun, or begun by a process that is silent for too long. By the database's clock, which is real. */
    async orphans(silentSeconds: number): Promise<string[]> {
      const { rows } = await sql<{ id: string }>`
        select r.id from pipeline_run r left join pipeline_worker w on w.executor = r.executor
        where r.state in ('queued', 'running') and (
          (r.executor is null and r.real_created_at < clock_timestamp() - interval '2 seconds')
          or (r.executor is not null and coalesce(w.seen_at, '-infinity') < clock_timestamp() - make_interval(secs => ${silentSeconds})))
        order by r.n limit 100`.execute(db);
      return rows.map((r) => r.id);
    },
    /** Ends a run that nothing executes any more, whatever execution had it. */
    async abandon(runId: string, message: string): Promise<void> {
      const { rows } = await sql<RunRow>`select * from pipeline_run where id = ${runId}`.execute(db);
      if (rows[0] !== undefined && !over(rows[0].state)) await this.finish(rows[0], "failed", message);
    },
  };
}

const time = (date: Date | null): string | null => date?.toISOString() ?? null;
const between = (from: Date | null, to: Date | null): number | null => (from === null || to === null ? null : to.getTime() - from.getTime());

export function toRun(row: RunRow): Run {
  return {
    id: row.id,
    pipeline: row.pipeline,
    project: row.project,
    projectVersion: row.project_version,
    commit: row.commit,
    state: row.state,
    params: row.params,
    cause: row.cause,
    message: row.message,
    trackingRunId: row.tracking_run_id,
    createdAt: row.created_at.toISOString(),
    startedAt: time(row.started_at),
    finishedAt: time(row.finished_at),
    durationMs: between(row.real_started_at, row.real_finished_at),
    metrics: row.metrics,
    modelVersion: row.model_version,
  };
}

export function toStep(row: StepRow): Step {
  return {
    id: row.id,
    kind: row.kind,
    state: row.state,
    attempt: row.attempt,
    startedAt: time(row.started_at),
    finishedAt: time(row.finished_at),
    durationMs: between(row.real_started_at, row.real_finished_at),
    cacheKey: row.cache_key,
    cachedFrom: row.cached_from,
    error: row.error,
    outputs: row.outputs,
  };
}
