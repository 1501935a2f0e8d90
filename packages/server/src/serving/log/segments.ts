import { mkdtemp, rm } from "node:fs/promises";
import path from "node:path";
import { sql, type Transaction } from "kysely";
import type { Digest, Platform } from "../../platform/index.js";
import type { Span } from "../types.js";
import type { Piece } from "./sealer.js";
import type { Sealing } from "./sealing.js";
import { removeSpoolFile, type SpoolFile } from "./spool.js";

export interface Segment {
  id: string;
  digest: string;
  rows: number;
  from_at: Date;
  to_at: Date;
}
type On = Pick<Platform, "db" | "objects" | "config"> & { sealing: Sealing };
/** Segments below this number of rows are merged with their neighbours, when there are so many of them. */
const smallRows = 20_000;
const mergeAt = 48;
/** A request that is sent again is known by its id among the endpoint's last predictions of about the same moment. */
const repeatRows = 200_000;
const repeatMs = 3_600_000;

/** Makes segments of a finished file, of those of its rows that are in no segment yet. What was sealed already is only cleaned up. */
export async function seal(on: On, file: SpoolFile): Promise<void> {
  await alone(on, file.endpoint, async (transaction) => {
    const done = await sql`select 1 from prediction_segment where spool = ${file.name}`.execute(transaction);
    if (done.rows.length > 0) return;
    await aside(on, async (into) => {
      const pieces = await on.sealing.ask({ what: "read", file: file.path, schema: file.schema, into });
      if (pieces.length === 0) return;
      const from = new Date(Math.min(...pieces.map((piece) => piece.from.getTime())) - repeatMs);
      const to = new Date(Math.max(...pieces.map((piece) => piece.to.getTime())) + repeatMs);
      const near = await segments({ db: transaction }, file.endpoint, { from, to, newest: repeatRows });
      const fresh = await on.sealing.ask({ what: "once", pieces, logged: await localPaths(on, near), into });
      await insert(on, transaction, { endpoint: file.endpoint, name: file.name }, fresh);
    });
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
    await aside(on, async (into) => {
      const merged = await on.sealing.ask({ what: "merge", files: await localPaths(on, small), into });
      const ids = small.map((segment) => segment.id);
      await insert(on, transaction, { endpoint, name: `merged-${ids[0]}-${ids.at(-1)}` }, merged);
      await sql`update prediction_segment set replaced_at = now() where id = any(${ids}::bigint[])`.execute(transaction);
    });
  });
}

/** One at a time changes an endpoint's segments, of all processes. */
function alone(on: On, endpoint: string, work: (transaction: Transaction<unknown>) => Promise<void>): Promise<void> {
  return on.db.transaction().execute(async (transaction) => {
    await sql`select pg_advisory_xact_lock(hashtext('prediction log'), hashtext(${endpoint}))`.execute(transaction);
    await work(transaction);
  });
}

/** Gives `work` the beginning of files' names. In the data folder: a finished file is moved into the object store, not copied. */
async function aside(on: On, work: (into: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(path.join(on.config.dataDir, "spill-segment-"));
  try {
    await work(path.join(folder, "segment"));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
async function insert(on: On, transaction: Transaction<unknown>, { endpoint, name }: { endpoint: string; name: string }, pieces: Piece[]): Promise<void> {
  for (const [at, piece] of pieces.entries()) {
    const { digest, size } = await on.objects.putFile(piece.path);
    await sql`
      insert into prediction_segment (endpoint, digest, rows, bytes, from_at, to_at, first_id, last_id, spool)
      values (${endpoint}, ${digest}, ${piece.rows}, ${size}, ${piece.from}, ${piece.to}, ${piece.firstId}, ${piece.lastId}, ${at === 0 ? name : `${name}/${at}`})`.execute(
      transaction,
    );
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
export async function forget({ db, objects }: Pick<Platform, "db" | "objects">, endpoint: string, before: Date | undefined): Promise<void> {
  const { rows } = await sql<{ digest: string }>`
    delete from prediction_segment where endpoint = ${endpoint}
      and (replaced_at < now() - interval '1 hour' ${before === undefined ? sql`` : sql`or to_at < ${before}`}) returning digest`.execute(db);
  for (const { digest } of rows) await objects.delete(digest as Digest);
  if (before !== undefined) await sql`delete from prediction_label where endpoint = ${endpoint} and at < ${before}`.execute(db);
}
