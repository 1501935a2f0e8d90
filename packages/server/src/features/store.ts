import { type Kysely, sql, type Transaction } from "kysely";
import { ApiError, type Platform } from "../platform/index.js";
import { takeBack } from "./sole-reader.js";
import type { Micros } from "./times.js";
import type { View } from "./views.js";

type Db = Kysely<unknown>;
type Tx = Transaction<unknown>;

/** The number under which a view's rows are kept; made at the first use. */
export async function onlineId(db: Db, view: View): Promise<number> {
  const find = async () =>
    (await sql<{ id: number }>`select id from feature_online where view = ${view.name} and digest = ${view.digest}`.execute(db)).rows[0]?.id;
  const found = await find();
  if (found !== undefined) return found;
  await sql`insert into feature_online (view, digest) values (${view.name}, ${view.digest}) on conflict do nothing`.execute(db);
  const made = await find();
  if (made === undefined) throw new Error(`The view ${view.name} was changed at this moment.`);
  return made;
}

/** What tells this database from others. */
export async function identity(db: Db): Promise<string> {
  const { rows } = await sql<{ identity: string }>`select identity from feature_store`.execute(db);
  return rows[0]?.identity ?? "";
}

/** Rows of earlier definitions of the view, when no process reads them from its memory any more: defined again, they begin anew. */
export async function forgetOthers(db: Db, view: View): Promise<void> {
  const others = sql`view = ${view.name} and digest <> ${view.digest}`;
  const { rows } = await sql<{ id: number }>`select id from feature_online where ${others}`.execute(db);
  for (const { id } of rows) await takeBack(db, id, "nobody");
  await sql`delete from feature_online where ${others} and sole_reader is null`.execute(db);
}

export async function statistics(db: Db, view: View): Promise<{ rows: number; newest: Micros | null }> {
  const { rows } = await sql<{ rows: number; newest: number | null }>`
    select rows::float8 as rows, newest::float8 as newest from feature_online where view = ${view.name} and digest = ${view.digest}`.execute(db);
  return rows[0] ?? { rows: 0, newest: null };
}

/** Whether the materialization of a moment is still to be done. */
export async function isDue(db: Db, view: View, due: number): Promise<boolean> {
  const { rows } = await sql`
    select 1 from feature_online where view = ${view.name} and digest = ${view.digest} and materialized_for >= ${due}::bigint`.execute(db);
  return rows.length === 0;
}
export async function markDue(db: Db, view: View, due: number): Promise<void> {
  await sql`
    update feature_online set materialized_for = greatest(materialized_for, ${due}::bigint) where view = ${view.name} and digest = ${view.digest}`.execute(db);
}

/** Rows by column. */
export interface RowArrays {
  entity: string[];
  at: Micros[];
  key: string[];
  values: string[];
  n: number[];
  /** When each became known; null: at its moment. */
  known: (Micros | null)[];
}

const keptChanges = 1_000;

/**
 * Adds rows that a client told of, in one statement. What is there already is not added again: of rows that are equal in entity, moment
 * and values there are as many as the largest push or the dataset had; of a latest view's rows of one moment the dataset's is used,
 * else the one pushed last. Rows are locked in one order, so that pushes at once wait for each other instead of failing.
 */
export async function pushRows(
  { db, prepared }: Pick<Platform, "db" | "prepared">,
  id: number,
  kind: View["kind"],
  rows: RowArrays,
  writer: string,
): Promise<Change> {
  const update =
    kind === "window"
      ? sql`do update set pushed = excluded.pushed where feature_row.pushed < excluded.pushed`
      : sql`do update set row_values = excluded.row_values, pushed = 1
          where feature_row.stored = 0 and feature_row.row_values <> excluded.row_values`;
  const made = await prepared(
    `push to a ${kind} view`,
    sql<Change>`
    with put as (
      insert into feature_row (view, entity, at, key, row_values, pushed, stored, known)
      select ${id}::int, u.entity, u.at, u.key, u.row_values, u.n, 0, u.known
      from unnest(${rows.entity}::text[], ${rows.at}::bigint[], ${rows.key}::text[], ${rows.values}::text[], ${rows.n}::int[], ${rows.known}::bigint[])
        as u (entity, at, key, row_values, n, known)
      order by u.entity, u.at, u.key
      on conflict (view, entity, at, key) ${update}
      returning entity, at, key, row_values, greatest(pushed, stored) as n, (xmax = 0) as added
    ), bump as (
      update feature_online set change = ${nextChange(writer)}, rows = rows + (select count(*) from put where added),
        newest = greatest(newest, (select max(at) from put))
      where id = ${id} returning change
    )
    insert into feature_change (view, change, rows)
    select ${id}::int, change, (select coalesce(jsonb_agg(jsonb_build_array(entity, at, key, row_values, n)), '[]') from put) from bump
    returning change::float8 as change, rows`,
  );
  const change = made[0];
  if (change === undefined) throw new ApiError(503, "CHANGED", "The view was defined anew at this moment. Repeat the request.");
  if (change.change % 256 === 0) await sql`delete from feature_change where view = ${id} and change < ${change.change - keptChanges}`.execute(db);
  return change;
}

export interface Change {
  change: number;
  /** null: too much to tell. */
  rows: [entity: string, at: Micros, key: string, values: string, n: number][] | null;
}
/** Refused where another process reads the view from its memory, as the row says when it is updated. */
const nextChange = (writer: string) =>
  sql`case when sole_reader is null or starts_with(sole_reader, ${writer}) then change + 1 else feature_refuse_change() end`;

/** How far each view's rows have changed. */
export async function changeNumbers(db: Db): Promise<Map<number, number>> {
  const { rows } = await sql<{ id: number; change: number }>`select id, change::float8 as change from feature_online`.execute(db);
  return new Map(rows.map((row) => [row.id, row.change]));
}
export async function changesSince(db: Db, id: number, change: number): Promise<Change[]> {
  const { rows } = await sql<Change>`
    select change::float8 as change, rows from feature_change where view = ${id} and change > ${change} order by change limit ${keptChanges}`.execute(db);
  return rows;
}

export interface LoadedEntity {
  entity: string;
  /** All rows from here on were read; null: all there are. */
  first: number | null;
  /** They answer for moments from here on. */
  from: number | null;
  at: number[];
  key: string[];
  row_values: string[];
  n: number[];
  /** The state of the view that was read. */
  change: number;
}
/**
 * Rows of entities: all after `since` (window views), or from the newest at or before `since` on (latest views).
 */
export async function loadEntities(db: Db, id: number, kind: View["kind"], entities: string[], since: Micros[]): Promise<LoadedEntity[]> {
  const newest = sql`from feature_row r where r.view = ${id} and r.entity = q.entity and r.at <= q.since and coalesce(r.known, r.at) <= q.since
          order by r.at desc, r.known desc limit 1`;
  const found =
    kind === "window" ? sql`select q.since + 1 as first, q.since + 1 as "from"` : sql`select r.at as first, coalesce(r.known, r.at) as "from" ${newest}`;
  const { rows } = await sql<LoadedEntity>`
    select q.entity, f.first::float8 as first, f."from"::float8 as "from", l.at, l.key, l.row_values, l.n, o.change::float8 as change
    from unnest(${entities}::text[], ${since}::bigint[]) as q (entity, since)
    join feature_online o on o.id = ${id}
    left join lateral (${found}) f on true
    cross join lateral (
      select coalesce(array_agg(r.at::float8 order by r.at, r.key), '{}') as at, coalesce(array_agg(r.key order by r.at, r.key), '{}') as key,
        coalesce(array_agg(r.row_values order by r.at, r.key), '{}') as row_values,
        coalesce(array_agg(greatest(r.pushed, r.stored) order by r.at, r.key), '{}') as n
      from feature_row r where r.view = ${id} and r.entity = q.entity and r.at >= coalesce(f.first, -9e18::bigint)
    ) l`.execute(db);
  return rows;
}

// ------------------------------------------------------------------------------------ materialization

export interface PartRow {
  part: string;
  rows: number;
}
export async function materializedParts(db: Db, id: number): Promise<PartRow[]> {
  return (await sql<PartRow>`select part, rows::float8 as rows from feature_part where view = ${id}`.execute(db)).rows;
}

/** One materialization of a view at a time; pushes go on meanwhile. */
export async function lockMaterialization(transaction: Tx, id: number): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtext('feature materialization'), ${id})`.execute(transaction);
}
export async function createStage(transaction: Tx): Promise<void> {
  await sql`create temp table staged (entity text, at bigint, key text, row_values text, n int, known bigint) on commit drop`.execute(transaction);
}
export async function stageRows(transaction: Tx, rows: RowArrays): Promise<void> {
  await sql`
    insert into staged select * from
      unnest(${rows.entity}::text[], ${rows.at}::bigint[], ${rows.key}::text[], ${rows.values}::text[], ${rows.n}::int[], ${rows.known}::bigint[])`.execute(
    transaction,
  );
}

/** What the dataset gave is not the dataset's any more; what was pushed stays. */
export async function clearStored(transaction: Tx, id: number, kind: View["kind"]): Promise<void> {
  await sql`delete from feature_row where view = ${id} and stored > 0 ${kind === "latest" ? sql`` : sql`and pushed = 0`}`.execute(transaction);
  if (kind === "window") await sql`update feature_row set stored = 0 where view = ${id} and stored > 0`.execute(transaction);
  await sql`delete from feature_part where view = ${id}`.execute(transaction);
}

/** Makes the staged rows the dataset's. */
export async function mergeStage(transaction: Tx, id: number, kind: View["kind"], part: { digest: string; rows: number }): Promise<void> {
  const update =
    kind === "window" ? sql`do update set stored = feature_row.stored + excluded.stored` : sql`do update set stored = 1, row_values = excluded.row_values`;
  await sql`
    insert into feature_row (view, entity, at, key, row_values, pushed, stored, known)
    select ${id}::int, entity, at, key, row_values, 0, n, known from staged order by entity, at, key
    on conflict (view, entity, at, key) ${update}`.execute(transaction);
  await sql`
    insert into feature_part (view, part, first, last, rows)
    select ${id}::int, ${part.digest}, min(coalesce(known, at)), max(coalesce(known, at)), ${part.rows}::bigint from staged`.execute(transaction);
  await sql`truncate staged`.execute(transaction);
}

/**
 * Pushed rows give way to the dataset where it has passed them: within the moments that a part covers, and before the newest part
 * begins. A part's last hours may still lack rows of the next one (flights that leave on the last day of a month land on the first of
 * the next, among others), so pushed rows count there until the next part has come. `whole`: one arrival holds everything.
 */
export async function settlePushed(transaction: Tx, id: number, whole: boolean): Promise<void> {
  const passed = sql`exists (select 1 from feature_part p where p.view = ${id} and coalesce(r.known, r.at) between p.first and p.last)
    and coalesce(r.known, r.at) ${whole ? sql`<= (select max(last)` : sql`< (select max(first)`} from feature_part where view = ${id})`;
  await sql`delete from feature_row r where r.view = ${id} and r.stored = 0 and ${passed}`.execute(transaction);
  await sql`update feature_row r set pushed = 0 where r.view = ${id} and r.stored > 0 and r.pushed > r.stored and ${passed}`.execute(transaction);
}

/** Tells those who keep rows in memory to read them again. Comes last: it makes others wait until the end of the transaction. */
export async function announceAll(transaction: Tx, id: number, writer: string): Promise<number> {
  const { rows } = await sql<{ change: number }>`
    with bump as (
      update feature_online set change = ${nextChange(writer)}, rows = (select count(*) from feature_row where view = ${id}),
        newest = (select max(at) from feature_row where view = ${id})
      where id = ${id} returning change
    )
    insert into feature_change (view, change, rows) select ${id}::int, change, null from bump
    returning change::float8 as change`.execute(transaction);
  return rows[0]?.change ?? 0;
}
