import type { SweepRun, Trial, TrialState } from "@millrace/sdk/api";
import type { SweepSpec } from "@millrace/sdk/spec";
import { sql, type Transaction } from "kysely";
import type { Database } from "../platform/index.js";
import type { Params } from "./search.js";

type Db = Database | Transaction<unknown>;
export interface SweepRow {
  id: string;
  definition: string | null;
  pipeline: string;
  spec: Omit<SweepSpec, "name">;
  trials: number;
  state: SweepRun["state"];
  message: string | null;
  tracking_run_id: string | null;
  experiment_id: string | null;
  tracked: boolean;
  created_by: string;
  created_at: Date;
  finished_at: Date | null;
}
export interface TrialRow {
  n: number;
  params: Params;
  state: TrialState;
  run_id: string;
  asked: boolean;
  linked: boolean;
  tracking_run_id: string | null;
  value: number | null;
  step: number | null;
  judged: number | null;
  stopping: string | null;
  message: string | null;
  started_at: Date;
  finished_at: Date | null;
}
export type Told = SweepRow & { progress: SweepRun["progress"]; best: TrialRow | null };
const trialColumns = sql`n, params, state, run_id, asked, linked, tracking_run_id, value, step::float8 as step, judged::float8 as judged, stopping, message, started_at, finished_at`;

/** Answers whether it is new. */
export async function insertSweep(
  transaction: Transaction<unknown>,
  row: Pick<SweepRow, "id" | "definition" | "pipeline" | "spec" | "trials" | "created_by" | "created_at">,
): Promise<boolean> {
  const { rows } = await sql`
    insert into sweep (id, definition, pipeline, spec, trials, state, created_by, created_at)
    values (${row.id}, ${row.definition}, ${row.pipeline}, ${JSON.stringify(row.spec)}::json, ${row.trials}, 'running', ${row.created_by}, ${row.created_at})
    on conflict do nothing returning id`.execute(transaction);
  return rows.length > 0;
}

const progress = sql`
  select jsonb_build_object('total', s.trials, 'running', count(*) filter (where state = 'running'), 'succeeded', count(*) filter (where state = 'succeeded'),
    'stopped', count(*) filter (where state = 'stopped'), 'failed', count(*) filter (where state = 'failed'), 'cancelled', count(*) filter (where state = 'cancelled')) as progress
  from sweep_trial t where t.sweep = s.id`;
const told = sql`select s.*, p.progress from sweep s, lateral (${progress}) p`;
/** A stopped trial is never the best: it was ended as others were better. */
async function withBest(db: Db, rows: Omit<Told, "best">[]): Promise<Told[]> {
  return Promise.all(
    rows.map(async (row) => {
      const order = row.spec.goal.direction === "maximize" ? sql`desc` : sql`asc`;
      const { rows: best } = await sql<TrialRow>`
        select ${trialColumns} from sweep_trial where sweep = ${row.id} and state = 'succeeded' and value is not null order by value ${order}, n limit 1`.execute(
        db,
      );
      return { ...row, best: best[0] ?? null };
    }),
  );
}
export async function findSweep(db: Db, id: string): Promise<Told | undefined> {
  const { rows } = await sql<Omit<Told, "best">>`${told} where s.id = ${id}`.execute(db);
  return (await withBest(db, rows))[0];
}
/** Newest first. */
export async function listSweeps(
  db: Db,
  { pipeline, limit, after }: { pipeline?: string | undefined; limit: number; after?: string | undefined },
): Promise<Told[]> {
  const of = pipeline === undefined ? sql`true` : sql`s.pipeline = ${pipeline}`;
  const below = after === undefined ? sql`true` : sql`s.n < (select n from sweep where id = ${after})`;
  const { rows } = await sql<Omit<Told, "best">>`${told} where ${of} and ${below} order by s.n desc limit ${limit}`.execute(db);
  return withBest(db, rows);
}
export async function openSweeps(db: Db): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select id from sweep where state = 'running' or (state <> 'paused' and not tracked) or id in (select sweep from sweep_trial where state = 'running') order by n`.execute(
    db,
  );
  return rows.map((row) => row.id);
}
export async function lockSweep(transaction: Transaction<unknown>, id: string): Promise<SweepRow | undefined> {
  return (await sql<SweepRow>`select * from sweep where id = ${id} for update`.execute(transaction)).rows[0];
}
export async function setState(
  transaction: Transaction<unknown>,
  id: string,
  state: SweepRow["state"],
  message: string | null,
  finishedAt: Date | null,
): Promise<void> {
  await sql`update sweep set state = ${state}, message = ${message}, finished_at = ${finishedAt} where id = ${id}`.execute(transaction);
}
export async function setMessage(db: Db, id: string, message: string | null): Promise<void> {
  await sql`update sweep set message = ${message} where id = ${id} and state = 'running' and message is distinct from ${message}`.execute(db);
}
export async function setTracking(db: Db, id: string, runId: string, experimentId: string): Promise<void> {
  await sql`update sweep set tracking_run_id = ${runId}, experiment_id = ${experimentId} where id = ${id} and tracking_run_id is null`.execute(db);
}
export async function markTracked(db: Db, id: string): Promise<void> {
  await sql`update sweep set tracked = true where id = ${id}`.execute(db);
}

/** By number; the newest so many. */
export async function listTrials(db: Db, id: string, { running = false, limit = 10_000 }: { running?: boolean; limit?: number } = {}): Promise<TrialRow[]> {
  const of = running ? sql`state = 'running'` : sql`true`;
  const { rows } = await sql<TrialRow>`
    select * from (select ${trialColumns} from sweep_trial where sweep = ${id} and ${of} order by n desc limit ${limit}) t order by n`.execute(db);
  return rows;
}
export async function insertTrials(
  transaction: Transaction<unknown>,
  id: string,
  rows: Pick<TrialRow, "n" | "params" | "run_id" | "started_at">[],
): Promise<void> {
  for (const { n, params, run_id, started_at } of rows) {
    await sql`
      insert into sweep_trial (sweep, n, params, state, run_id, started_at)
      values (${id}, ${n}, ${JSON.stringify(params)}::json, 'running', ${run_id}, ${started_at})`.execute(transaction);
  }
}
export async function markAsked(db: Db, id: string, n: number): Promise<void> {
  await sql`update sweep_trial set asked = true where sweep = ${id} and n = ${n}`.execute(db);
}
export async function markLinked(db: Db, id: string, n: number, trackingRunId: string): Promise<void> {
  await sql`update sweep_trial set linked = true, tracking_run_id = ${trackingRunId} where sweep = ${id} and n = ${n}`.execute(db);
}
export async function setSeen(db: Db, id: string, n: number, value: number, step: number): Promise<void> {
  await sql`update sweep_trial set value = ${value}, step = ${step} where sweep = ${id} and n = ${n} and state = 'running'`.execute(db);
}
export async function setJudged(db: Db, id: string, n: number, judged: number, stopping: string | null): Promise<void> {
  await sql`update sweep_trial set judged = ${judged}, stopping = coalesce(stopping, ${stopping}) where sweep = ${id} and n = ${n} and state = 'running'`.execute(
    db,
  );
}
/** Only once. */
export async function endTrial(
  db: Db,
  id: string,
  n: number,
  end: { state: TrialState; value: number | null; step: number | null; message: string | null; at: Date },
): Promise<void> {
  await sql`
    update sweep_trial set state = ${end.state}, value = ${end.value}, step = coalesce(${end.step}, step), message = ${end.message}, finished_at = ${end.at}, asked = true
    where sweep = ${id} and n = ${n} and state = 'running'`.execute(db);
}

export const toTrial = (row: TrialRow): Trial => ({
  ...{
    n: row.n,
    state: row.state,
    params: row.params,
    value: row.value,
    step: row.step,
    runId: row.run_id,
    trackingRunId: row.tracking_run_id,
    message: row.message,
  },
  startedAt: new Date(row.started_at).toISOString(),
  finishedAt: row.finished_at === null ? null : new Date(row.finished_at).toISOString(),
});
export const toSweep = (row: Told): SweepRun => ({
  ...{ id: row.id, sweep: row.definition, pipeline: row.pipeline, state: row.state, message: row.message, search: row.spec.search, over: row.spec.over },
  ...{ params: row.spec.params ?? {}, goal: row.spec.goal, stop: row.spec.stop ?? null, atOnce: row.spec.atOnce ?? 2, seed: row.spec.seed ?? 0 },
  ...{ maxFailed: row.spec.maxFailed ?? 10, progress: row.progress, best: row.best === null ? null : toTrial(row.best) },
  ...{ trackingRunId: row.tracking_run_id, experimentId: row.experiment_id, createdBy: row.created_by },
  createdAt: row.created_at.toISOString(),
  finishedAt: row.finished_at?.toISOString() ?? null,
});
