import type { Firing } from "@millrace/sdk/api";
import { sql, type Transaction } from "kysely";
import type { Database } from "../platform/index.js";

type Db = Database | Transaction<unknown>;
export interface TriggerState {
  paused: boolean;
  looked_at: Date | null;
  cool_down_until: Date | null;
  deferred: string[];
}
export interface FiringRow {
  id: string;
  trigger: string;
  at: Date;
  condition: string;
  outcome: string;
  reason: string;
  run_id: string | null;
}

export async function lockState(transaction: Transaction<unknown>, trigger: string): Promise<TriggerState> {
  await sql`insert into trigger_state (trigger) values (${trigger}) on conflict do nothing`.execute(transaction);
  const { rows } = await sql<TriggerState>`
    select paused, looked_at, cool_down_until, deferred from trigger_state where trigger = ${trigger} for update`.execute(transaction);
  return rows[0] ?? { paused: false, looked_at: null, cool_down_until: null, deferred: [] };
}
export async function readState(db: Db, trigger: string): Promise<TriggerState> {
  const { rows } = await sql<TriggerState>`select paused, looked_at, cool_down_until, deferred from trigger_state where trigger = ${trigger}`.execute(db);
  return rows[0] ?? { paused: false, looked_at: null, cool_down_until: null, deferred: [] };
}
export async function writeState(transaction: Transaction<unknown>, trigger: string, state: TriggerState): Promise<void> {
  await sql`
    update trigger_state set paused = ${state.paused}, looked_at = ${state.looked_at}, cool_down_until = ${state.cool_down_until}, deferred = ${state.deferred}
    where trigger = ${trigger}`.execute(transaction);
}

export async function insertFiring(transaction: Transaction<unknown>, row: FiringRow & { asked: boolean }): Promise<void> {
  await sql`
    insert into firing (id, trigger, at, condition, outcome, reason, run_id, asked)
    values (${row.id}, ${row.trigger}, ${row.at}, ${row.condition}, ${row.outcome}, ${row.reason}, ${row.run_id}, ${row.asked})`.execute(transaction);
}
/** Firings whose run was not asked for yet: the server ended in between. */
export async function unasked(db: Db, trigger: string): Promise<FiringRow[]> {
  const { rows } = await sql<FiringRow>`
    select id, trigger, at, condition, outcome, reason, run_id from firing where trigger = ${trigger} and not asked order by at`.execute(db);
  return rows;
}
export async function markAsked(db: Db, id: string): Promise<void> {
  await sql`update firing set asked = true where id = ${id}`.execute(db);
}
/** The run can't be started. The firing keeps its run's id: it was an attempt, unlike a moment that fell into the cool-down. Answers whether it was open until now. */
export async function markImpossible(transaction: Transaction<unknown>, id: string, reason: string): Promise<boolean> {
  const { rows } = await sql`
    update firing set asked = true, outcome = 'skipped', reason = ${reason} where id = ${id} and not asked returning id`.execute(transaction);
  return rows.length > 0;
}
export async function listFirings(db: Db, trigger: string, limit: number): Promise<FiringRow[]> {
  const { rows } = await sql<FiringRow>`
    select id, trigger, at, condition, outcome, reason, run_id from firing where trigger = ${trigger} order by at desc, id desc limit ${limit}`.execute(db);
  return rows;
}
/** The newest firing that was to start a run. */
export async function lastAttempt(db: Db, trigger: string): Promise<FiringRow | undefined> {
  const { rows } = await sql<FiringRow>`
    select id, trigger, at, condition, outcome, reason, run_id from firing
    where trigger = ${trigger} and run_id is not null order by at desc, id desc limit 1`.execute(db);
  return rows[0];
}

export const toFiring = (row: FiringRow): Firing => ({
  id: row.id,
  trigger: row.trigger,
  at: row.at.toISOString(),
  condition: row.condition,
  outcome: row.outcome,
  reason: row.reason,
  runId: row.outcome === "started" ? row.run_id : null,
});
