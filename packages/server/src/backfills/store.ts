import type { Backfill, BackfillItem } from "@millrace/sdk/api";
import type { PlainValue } from "@millrace/sdk/spec";
import { sql, type Transaction } from "kysely";
import type { Database } from "../platform/index.js";

type Db = Database | Transaction<unknown>;
type ItemState = BackfillItem["state"];

export interface BackfillRow {
  id: string;
  pipeline: string;
  param: string;
  params: Record<string, PlainValue>;
  at_once: number;
  state: Backfill["state"];
  message: string | null;
  created_by: string;
  created_at: Date;
  finished_at: Date | null;
}
type Told = BackfillRow & { progress: Backfill["progress"]; first: PlainValue | null; last: PlainValue | null };
export interface ItemRow {
  n: number;
  value: PlainValue;
  state: ItemState;
  attempt: number;
  run_id: string | null;
  asked: boolean;
  message: string | null;
}
const itemColumns = sql`n, value, state, attempt, run_id, asked, message`;

/** Answers whether it is new. */
export async function insertBackfill(transaction: Transaction<unknown>, row: BackfillRow, items: { value: PlainValue; skipped: boolean }[]): Promise<boolean> {
  const { rows } = await sql`
    insert into backfill (id, pipeline, param, params, at_once, state, created_by, created_at)
    values (${row.id}, ${row.pipeline}, ${row.param}, ${JSON.stringify(row.params)}::jsonb, ${row.at_once}, ${row.state}, ${row.created_by}, ${row.created_at})
    on conflict do nothing returning id`.execute(transaction);
  if (rows.length === 0) return false;
  await sql`
    insert into backfill_item (backfill, n, value, state)
    select ${row.id}, i.n - 1, i.item->'value', case when (i.item->>'skipped')::boolean then 'skipped' else 'waiting' end
    from jsonb_array_elements(${JSON.stringify(items)}::jsonb) with ordinality as i (item, n)`.execute(transaction);
  return true;
}

const told = sql`
  select b.*, i.progress, (select value from backfill_item f where f.backfill = b.id and f.n = 0) as first,
    (select value from backfill_item l where l.backfill = b.id order by l.n desc limit 1) as last
  from backfill b, lateral (
    select jsonb_build_object('total', count(*), 'waiting', count(*) filter (where state = 'waiting'), 'running', count(*) filter (where state = 'running'),
      'succeeded', count(*) filter (where state = 'succeeded'), 'refused', count(*) filter (where state = 'refused'), 'failed', count(*) filter (where state = 'failed'),
      'cancelled', count(*) filter (where state = 'cancelled'), 'skipped', count(*) filter (where state = 'skipped')) as progress
    from backfill_item where backfill = b.id
  ) i`;
export async function findBackfill(db: Db, id: string): Promise<Told | undefined> {
  return (await sql<Told>`${told} where b.id = ${id}`.execute(db)).rows[0];
}
/** Newest first. */
export async function listBackfills(
  db: Db,
  { pipeline, limit, after }: { pipeline?: string | undefined; limit: number; after?: string | undefined },
): Promise<Told[]> {
  const of = pipeline === undefined ? sql`true` : sql`b.pipeline = ${pipeline}`;
  const below = after === undefined ? sql`true` : sql`b.n < (select n from backfill where id = ${after})`;
  return (await sql<Told>`${told} where ${of} and ${below} order by b.n desc limit ${limit}`.execute(db)).rows;
}
export async function openBackfills(db: Db): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select id from backfill where state = 'running' or id in (select backfill from backfill_item where state = 'running') order by n`.execute(db);
  return rows.map((row) => row.id);
}
export async function lockBackfill(transaction: Transaction<unknown>, id: string): Promise<BackfillRow | undefined> {
  return (await sql<BackfillRow>`select * from backfill where id = ${id} for update`.execute(transaction)).rows[0];
}
export async function setState(
  transaction: Transaction<unknown>,
  id: string,
  state: BackfillRow["state"],
  message: string | null,
  finishedAt: Date | null,
): Promise<void> {
  await sql`update backfill set state = ${state}, message = ${message}, finished_at = ${finishedAt} where id = ${id}`.execute(transaction);
}

export async function listItems(
  db: Db,
  id: string,
  { state, limit, after }: { state?: ItemState | undefined; limit: number; after?: number | undefined },
): Promise<ItemRow[]> {
  const of = state === undefined ? sql`true` : sql`state = ${state}`;
  const { rows } = await sql<ItemRow>`
    select ${itemColumns} from backfill_item where backfill = ${id} and ${of} and n > ${after ?? -1} order by n limit ${limit}`.execute(db);
  return rows;
}
/** Gives the next of those that wait a run, as many as there are places. */
export async function takeItems(transaction: Transaction<unknown>, id: string, runIds: string[]): Promise<void> {
  await sql`
    with places as (select run_id, row_number() over (order by run_id) as place from unnest(${runIds}::text[]) as t (run_id)),
    next as (select n, row_number() over (order by n) as place from backfill_item where backfill = ${id} and state = 'waiting' order by n limit ${runIds.length})
    update backfill_item i set state = 'running', attempt = attempt + 1, run_id = places.run_id, asked = false, message = null
    from next join places using (place) where i.backfill = ${id} and i.n = next.n`.execute(transaction);
}
export async function markAsked(db: Db, id: string, n: number, runId: string): Promise<void> {
  await sql`update backfill_item set asked = true where backfill = ${id} and n = ${n} and run_id = ${runId}`.execute(db);
}
/** Only of the run that it has in hand. */
export async function endItem(db: Db, id: string, { n, run_id }: Pick<ItemRow, "n" | "run_id">, state: ItemState, message: string | null): Promise<void> {
  await sql`update backfill_item set state = ${state}, message = ${message}, asked = true where backfill = ${id} and n = ${n} and run_id = ${run_id} and state = 'running'`.execute(
    db,
  );
}
export async function cancelWaiting(transaction: Transaction<unknown>, id: string): Promise<void> {
  await sql`update backfill_item set state = 'cancelled' where backfill = ${id} and state = 'waiting'`.execute(transaction);
}
export async function waitAgain(transaction: Transaction<unknown>, id: string): Promise<number> {
  const { rows } = await sql`update backfill_item set state = 'waiting' where backfill = ${id} and state in ('failed', 'cancelled') returning n`.execute(
    transaction,
  );
  return rows.length;
}
