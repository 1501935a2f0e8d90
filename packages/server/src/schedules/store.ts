import type { ScheduleEdit, ScheduleFiring } from "@millrace/sdk/api";
import type { PlainValue, ScheduleSpec } from "@millrace/sdk/spec";
import { sql, type Transaction } from "kysely";
import type { Database } from "../platform/index.js";

type Db = Database | Transaction<unknown>;

export interface ScheduleRow {
  name: string;
  created: ScheduleSpec | null;
  edited: ScheduleEdit;
  paused: boolean | null;
  edited_by: string | null;
  looked_at: Date | null;
}
export interface FiringRow {
  id: string;
  schedule: string;
  moment: Date;
  due_at: Date;
  decided_at: Date | null;
  outcome: ScheduleFiring["outcome"];
  manual: boolean;
  reason: string;
  params: Record<string, PlainValue>;
  asked: boolean;
  run_state: string | null;
}
/** What is kept of a schedule's past. */
const firingsKept = 10_000;
const columns = sql`name, created, edited, paused, edited_by, looked_at`;
const firingColumns = sql`id, schedule, moment, due_at, decided_at, outcome, manual, reason, params, asked, run_state`;

export const blank = (name: string): ScheduleRow => ({ name, created: null, edited: {}, paused: null, edited_by: null, looked_at: null });

export async function readSchedules(db: Db): Promise<Map<string, ScheduleRow>> {
  const { rows } = await sql<ScheduleRow>`select ${columns} from schedule`.execute(db);
  return new Map(rows.map((row) => [row.name, row]));
}
export async function readSchedule(db: Db, name: string): Promise<ScheduleRow> {
  const { rows } = await sql<ScheduleRow>`select ${columns} from schedule where name = ${name}`.execute(db);
  return rows[0] ?? blank(name);
}
export async function lockSchedule(transaction: Transaction<unknown>, name: string): Promise<ScheduleRow> {
  await sql`insert into schedule (name) values (${name}) on conflict do nothing`.execute(transaction);
  const { rows } = await sql<ScheduleRow>`select ${columns} from schedule where name = ${name} for update`.execute(transaction);
  return rows[0] ?? blank(name);
}
export async function writeSchedule(transaction: Transaction<unknown>, row: ScheduleRow): Promise<void> {
  await sql`
    update schedule set created = ${row.created === null ? null : JSON.stringify(row.created)}::jsonb, edited = ${JSON.stringify(row.edited)}::jsonb,
      paused = ${row.paused}, edited_by = ${row.edited_by}, looked_at = ${row.looked_at} where name = ${row.name}`.execute(transaction);
}
/** What it has started stays in the list of runs; its moments go. */
export async function deleteSchedule(transaction: Transaction<unknown>, name: string): Promise<void> {
  await sql`delete from schedule where name = ${name}`.execute(transaction);
  await sql`delete from schedule_firing where schedule = ${name}`.execute(transaction);
}

/** One that is there already stays as it is. Answers whether it is new. */
export async function insertFiring(transaction: Transaction<unknown>, row: FiringRow): Promise<boolean> {
  const { rows } = await sql`
    insert into schedule_firing (${firingColumns}) values (${row.id}, ${row.schedule}, ${row.moment}, ${row.due_at}, ${row.decided_at}, ${row.outcome}, ${row.manual},
      ${row.reason}, ${JSON.stringify(row.params)}::jsonb, ${row.asked}, ${row.run_state})
    on conflict do nothing returning id`.execute(transaction);
  return rows.length > 0;
}
/** Only for one that waits: of two who decide, one does. */
export async function decide(transaction: Transaction<unknown>, id: string, outcome: FiringRow["outcome"], reason: string, now: Date): Promise<boolean> {
  const { rows } = await sql`
    update schedule_firing set outcome = ${outcome}, reason = ${reason}, decided_at = ${now}, asked = ${outcome !== "started"}
    where id = ${id} and outcome = 'waiting' returning id`.execute(transaction);
  return rows.length > 0;
}
export async function markAsked(db: Db, id: string): Promise<void> {
  await sql`update schedule_firing set asked = true where id = ${id}`.execute(db);
}
/** Its run can't be started. Answers whether that is news. */
export async function markFailed(transaction: Transaction<unknown>, id: string, reason: string): Promise<boolean> {
  const { rows } =
    await sql`update schedule_firing set asked = true, outcome = 'failed', reason = ${reason} where id = ${id} and not asked returning id`.execute(transaction);
  return rows.length > 0;
}
export async function markOver(db: Db, id: string, state: string): Promise<void> {
  await sql`update schedule_firing set run_state = ${state} where id = ${id} and run_state is null`.execute(db);
}
/** Those that wait, and those whose run is not known to be over, the oldest first. */
export async function openFirings(db: Db, schedule: string): Promise<FiringRow[]> {
  const { rows } = await sql<FiringRow>`
    select ${firingColumns} from schedule_firing
    where schedule = ${schedule} and (outcome = 'waiting' or (outcome = 'started' and run_state is null)) order by moment, id limit 2000`.execute(db);
  return rows;
}
export async function schedulesWithOpenFirings(db: Db): Promise<string[]> {
  const { rows } = await sql<{ schedule: string }>`
    select distinct schedule from schedule_firing where outcome = 'waiting' or (outcome = 'started' and run_state is null)`.execute(db);
  return rows.map((row) => row.schedule);
}
export async function forget(transaction: Transaction<unknown>, schedule: string): Promise<void> {
  await sql`
    delete from schedule_firing where schedule = ${schedule} and outcome <> 'waiting' and moment < (
      select moment from schedule_firing where schedule = ${schedule} order by moment desc offset ${firingsKept} limit 1)`.execute(transaction);
}
/** Newest first; `after` is a firing's id. */
export async function listFirings(db: Db, schedule: string, { limit, after }: { limit: number; after?: string | undefined }): Promise<FiringRow[]> {
  const below = after === undefined ? sql`true` : sql`(moment, id) < (select moment, id from schedule_firing where id = ${after})`;
  const { rows } = await sql<FiringRow>`
    select ${firingColumns} from schedule_firing where schedule = ${schedule} and ${below} order by moment desc, id desc limit ${limit}`.execute(db);
  return rows;
}
export async function findFiring(db: Db, id: string): Promise<FiringRow | undefined> {
  return (await sql<FiringRow>`select ${firingColumns} from schedule_firing where id = ${id}`.execute(db)).rows[0];
}

export const toFiring = (row: FiringRow): ScheduleFiring => ({
  id: row.id,
  schedule: row.schedule,
  moment: row.moment.toISOString(),
  dueAt: row.due_at.toISOString(),
  decidedAt: row.decided_at?.toISOString() ?? null,
  outcome: row.outcome,
  manual: row.manual,
  reason: row.reason,
  runId: row.outcome === "started" ? row.id : null,
  runState: row.outcome === "started" ? (row.run_state ?? "running") : null,
});
