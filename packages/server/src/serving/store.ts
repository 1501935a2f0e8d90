import type { Rollout } from "@millrace/sdk/api";
import { sql, type Transaction } from "kysely";
import type { Database } from "../platform/index.js";

type Db = Database | Transaction<unknown>;

export interface EndpointState {
  stable: number | null;
  predictions: number;
  errors: number;
  rollout: RolloutRow | undefined;
}
export interface RolloutRow {
  id: string;
  endpoint: string;
  candidate: number;
  stable: number | null;
  state: Rollout["state"];
  weight: number;
  step: number;
  started_at: Date;
  step_started_at: Date;
  finished_at: Date | null;
  reason: string | null;
  requests: number;
  errors: number;
}
const rolloutColumns = sql`id, endpoint, candidate, stable, state, weight, step, started_at, step_started_at, finished_at, reason, requests::float8, errors::float8`;

export async function states(db: Db): Promise<Map<string, { stable: number | null; predictions: number; errors: number }>> {
  const { rows } = await sql<{ endpoint: string; stable: number | null; predictions: number; errors: number }>`
    select endpoint, stable, predictions::float8, errors::float8 from endpoint_state`.execute(db);
  return new Map(rows.map((row) => [row.endpoint, row]));
}
export async function lockState(transaction: Transaction<unknown>, endpoint: string): Promise<{ stable: number | null }> {
  await sql`insert into endpoint_state (endpoint) values (${endpoint}) on conflict do nothing`.execute(transaction);
  const { rows } = await sql<{ stable: number | null }>`select stable from endpoint_state where endpoint = ${endpoint} for update`.execute(transaction);
  return { stable: rows[0]?.stable ?? null };
}
export async function setStable(transaction: Transaction<unknown>, endpoint: string, version: number): Promise<void> {
  await sql`update endpoint_state set stable = ${version} where endpoint = ${endpoint}`.execute(transaction);
}
export async function addCounts(db: Db, endpoint: string, predictions: number, errors: number): Promise<void> {
  await sql`
    insert into endpoint_state (endpoint, predictions, errors) values (${endpoint}, ${predictions}, ${errors})
    on conflict (endpoint) do update set predictions = endpoint_state.predictions + ${predictions}, errors = endpoint_state.errors + ${errors}`.execute(db);
}

export async function runningRollouts(db: Db): Promise<RolloutRow[]> {
  const { rows } = await sql<RolloutRow>`select ${rolloutColumns} from rollout where state = 'running'`.execute(db);
  return rows;
}
export async function runningRollout(db: Db, endpoint: string): Promise<RolloutRow | undefined> {
  const { rows } = await sql<RolloutRow>`select ${rolloutColumns} from rollout where state = 'running' and endpoint = ${endpoint}`.execute(db);
  return rows[0];
}
export async function rolloutExists(db: Db, id: string): Promise<boolean> {
  return (await sql`select 1 from rollout where id = ${id}`.execute(db)).rows.length > 0;
}
export async function listRollouts(db: Db, endpoint: string, limit: number): Promise<RolloutRow[]> {
  const { rows } =
    await sql<RolloutRow>`select ${rolloutColumns} from rollout where endpoint = ${endpoint} order by started_at desc, id desc limit ${limit}`.execute(db);
  return rows;
}
export async function insertRollout(transaction: Transaction<unknown>, row: Omit<RolloutRow, "requests" | "errors">): Promise<void> {
  await sql`
    insert into rollout (id, endpoint, candidate, stable, state, weight, step, started_at, step_started_at, finished_at, reason)
    values (${row.id}, ${row.endpoint}, ${row.candidate}, ${row.stable}, ${row.state}, ${row.weight}, ${row.step}, ${row.started_at}, ${row.step_started_at},
      ${row.finished_at}, ${row.reason})`.execute(transaction);
}
/** Answers whether it was running until now. */
export async function finishRollout(transaction: Transaction<unknown>, id: string, state: Rollout["state"], reason: string, now: Date): Promise<boolean> {
  const { rows } = await sql`
    update rollout set state = ${state}, reason = ${reason}, finished_at = ${now} where id = ${id} and state = 'running' returning id`.execute(transaction);
  return rows.length > 0;
}
export async function advanceRollout(transaction: Transaction<unknown>, id: string, from: number, weight: number, now: Date): Promise<boolean> {
  const { rows } = await sql`
    update rollout set step = ${from + 1}, weight = ${weight}, step_started_at = ${now} where id = ${id} and state = 'running' and step = ${from} returning id`.execute(
    transaction,
  );
  return rows.length > 0;
}
export async function addRolloutCounts(db: Db, id: string, requests: number, errors: number): Promise<void> {
  await sql`update rollout set requests = requests + ${requests}, errors = errors + ${errors} where id = ${id}`.execute(db);
}

export async function writeLabels(db: Db, endpoint: string, labels: { id: string; label: number }[], at: Date): Promise<void> {
  const unique = new Map(labels.map(({ id, label }) => [id, label]));
  await sql`
    insert into prediction_label (endpoint, id, label, at)
    select ${endpoint}, id, label, ${at} from unnest(${[...unique.keys()]}::text[], ${[...unique.values()]}::float8[]) as told (id, label)
    on conflict (endpoint, id) do update set label = excluded.label where prediction_label.label <> excluded.label`.execute(db);
}

/** Labels that were told from a moment on. */
export async function countLabels(db: Db, endpoint: string, from: Date): Promise<number> {
  const { rows } = await sql<{
    labels: number;
  }>`select count(*)::float8 as labels from prediction_label where endpoint = ${endpoint} and at >= ${from}`.execute(db);
  return rows[0]?.labels ?? 0;
}

export function toRollout(row: RolloutRow): Rollout {
  return {
    id: row.id,
    endpoint: row.endpoint,
    candidate: row.candidate,
    stable: row.stable,
    state: row.state,
    weight: row.weight,
    step: row.step,
    startedAt: row.started_at.toISOString(),
    stepStartedAt: row.step_started_at.toISOString(),
    finishedAt: row.finished_at?.toISOString() ?? null,
    reason: row.reason,
    requests: row.requests,
    errors: row.errors,
  };
}
