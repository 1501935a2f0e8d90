import { mkdtemp, rm } from "node:fs/promises";
import path from "node:path";
import type { DuckDBConnection } from "@duckdb/node-api";
import { sql, type Transaction } from "kysely";
import { type Digest, literal, type Platform, parquet } from "../../platform/index.js";
import type { Span } from "../types.js";
import { removeSpoolFile, type SpoolFile } from "./spool.js";
import { withRows } from "./unpacked.js";

export interface Segment {
  id: string;
  digest: string;
  rows: number;
  from_at: Date;
  to_at: Date;
}
type On = Pick<Platform, "db" | "duckdb" | "objects" | "config">;
/** Segments below this number of rows are merged with their neighbours, when there are so many of them. */
const smallRows = 20_000;
const mergeAt = 48;
/** A request that is sent again is known by its id among the endpoint's last predictions of about the same moment. */
const repeatRows = 200_000;
const repeatMs = 3_600_000;

/** Makes a segment of a finished file, of those of its rows that are in no segment yet. What was sealed already is only cleaned up. */
export async function seal(on: On, file: SpoolFile): Promise<void> {
  await alone(on, file.endpoint, async (transaction) => {
    const done = await sql`select 1 from prediction_segment where spool = ${file.name}`.execute(transaction);
    if (done.rows.length > 0) return;
    const named = { endpoint: file.endpoint, name: file.name };
    await withRows(file, (rows) =>
      write(on, transaction, named, async (connection) => {
        await connection.run(`create temp table arrived as select * from ${rows}`);
        const [span] = await on.duckdb.rows<{ from: Date | null; to: Date | null }>(`select min("at") as "from", max("at") as "to" from arrived`, connection);
        if (span === undefined || span.from === null || span.to === null) return undefined;
        const near = await segments({ db: transaction }, file.endpoint, {
          ...{ from: new Date(span.from.getTime() - repeatMs), to: new Date(span.to.getTime() + repeatMs) },
          newest: repeatRows,
        });
        const before = near.length === 0 ? "" : `where id not in (select id from ${parquet(await localPaths(on, near))})`;
        return `select * exclude (line) from arrived ${before} qualify row_number() over (partition by id order by line) = 1`;
      }),
    );
  });
  await removeSpoolFile(file);
}

/** Merges small segments of an endpoint when there are many. Readers of the old ones are not disturbed. */
export async function merge(on: On, endpoint: string): Promise<void> {
  await alone(on, endpoint, async (transaction) => {
    const { rows: small } = await sql<Segment>`
      select id::text, digest, rows, from_at, to_at from prediction_segment
      where endpoint = ${endpoint} and replaced_at is null and rows < ${smallRows} order by from_at`.execute(transaction);
    if (small.length < mergeAt) return;
    const all = `select * from ${parquet(await localPaths(on, small)).slice(0, -1)}, union_by_name = true)`;
    const ids = small.map((segment) => segment.id);
    await write(on, transaction, { endpoint, name: `merged-${ids[0]}-${ids.at(-1)}` }, async () => all);
    await sql`update prediction_segment set replaced_at = now() where id = any(${ids}::bigint[])`.execute(transaction);
  });
}

/** One at a time changes an endpoint's segments, of all processes. */
function alone(on: On, endpoint: string, work: (transaction: Transaction<unknown>) => Promise<void>): Promise<void> {
  return on.db.transaction().execute(async (transaction) => {
    await sql`select pg_advisory_xact_lock(hashtext('prediction log'), hashtext(${endpoint}))`.execute(transaction);
    await work(transaction);
  });
}

/** Writes what a query gives as a segment. */
async function write(
  on: On,
  transaction: Transaction<unknown>,
  { endpoint, name }: { endpoint: string; name: string },
  query: (connection: DuckDBConnection) => Promise<string | undefined>,
): Promise<void> {
  // In the data folder: a finished file is moved into the object store, not copied.
  const folder = await mkdtemp(path.join(on.config.dataDir, "spill-segment-"));
  try {
    const target = path.join(folder, "segment.parquet");
    const found = await on.duckdb.use(async (connection) => {
      const rows = await query(connection);
      if (rows === undefined) return undefined;
      await connection.run(`copy (select * from (${rows}) order by "at", id) to ${literal(target)} (format parquet, compression zstd, row_group_size 20000)`);
      const [summary] = await on.duckdb.rows<{ rows: number; from_at: Date; to_at: Date; first_id: string; last_id: string }>(
        `select count(*)::int as rows, min("at") as from_at, max("at") as to_at, min(id) as first_id, max(id) as last_id from ${parquet([target])}`,
        connection,
      );
      return summary;
    });
    if (found === undefined || found.rows === 0) return;
    const { digest, size } = await on.objects.putFile(target);
    await sql`
      insert into prediction_segment (endpoint, digest, rows, bytes, from_at, to_at, first_id, last_id, spool)
      values (${endpoint}, ${digest}, ${found.rows}, ${size}, ${found.from_at}, ${found.to_at}, ${found.first_id}, ${found.last_id}, ${name})`.execute(
      transaction,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Which segments are meant: those with predictions of the span, that may hold the id, that hold the newest so many rows. */
export interface Sought extends Span {
  id?: string | undefined;
  newest?: number | undefined;
}
/** Oldest first. */
export async function segments({ db }: Pick<Platform, "db">, endpoint: string, { from, to, id, newest }: Sought): Promise<Segment[]> {
  const { rows } = await sql<Segment>`
    select id::text, digest, rows, from_at, to_at from (
      select *, coalesce(sum(rows) over (order by to_at desc, id desc rows between unbounded preceding and 1 preceding), 0) as newer from prediction_segment
      where endpoint = ${endpoint} and replaced_at is null
        ${from === undefined ? sql`` : sql`and to_at >= ${from}`} ${to === undefined ? sql`` : sql`and from_at < ${to}`}
        ${id === undefined ? sql`` : sql`and first_id <= ${id} and last_id >= ${id}`}) s
    ${newest === undefined ? sql`` : sql`where newer < ${newest}`} order by from_at, id`.execute(db);
  return rows;
}
export const localPaths = ({ objects }: Pick<Platform, "objects">, list: Segment[]): Promise<string[]> =>
  Promise.all(list.map((segment) => objects.localPath(segment.digest as Digest)));

/** Forgets what is older than the endpoint keeps, and objects that were merged into others a while ago. */
export async function forget({ db, objects }: On, endpoint: string, before: Date | undefined): Promise<void> {
  const { rows } = await sql<{ digest: string }>`
    delete from prediction_segment where endpoint = ${endpoint}
      and (replaced_at < now() - interval '1 hour' ${before === undefined ? sql`` : sql`or to_at < ${before}`}) returning digest`.execute(db);
  for (const { digest } of rows) await objects.delete(digest as Digest);
  if (before !== undefined) await sql`delete from prediction_label where endpoint = ${endpoint} and at < ${before}`.execute(db);
}
