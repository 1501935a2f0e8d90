import { mkdtemp, rm } from "node:fs/promises";
import path from "node:path";
import { sql } from "kysely";
import { type Digest, literal, type Platform, parquet } from "../../platform/index.js";
import type { Span } from "../index.js";
import { removeSpoolFile, type SpoolFile } from "./spool.js";

export interface Segment {
  id: string;
  digest: string;
  rows: number;
  from_at: Date;
  to_at: Date;
}
type On = Pick<Platform, "db" | "duckdb" | "objects" | "config">;
/** Segments below this number of rows are merged with their neighbours. */
const smallRows = 20_000;
const mergeAt = 48;

/** Makes a segment of a finished file. What was sealed already is only cleaned up. */
export async function seal(on: On, file: SpoolFile): Promise<void> {
  const rows = `read_json(${literal(file.path)}, format = 'newline_delimited', columns = {${file.schema.map(([name, type]) => `${literal(name)}: ${literal(type)}`).join(", ")}})`;
  await write(on, rows, file.endpoint, file.name, []);
  await removeSpoolFile(file);
}

/** Merges small segments of an endpoint when there are many. Readers of the old ones are not disturbed. */
export async function merge(on: On, endpoint: string): Promise<void> {
  const { rows: small } = await sql<Segment>`
    select id::text, digest, rows, from_at, to_at from prediction_segment
    where endpoint = ${endpoint} and replaced_at is null and rows < ${smallRows} order by from_at`.execute(on.db);
  if (small.length < mergeAt) return;
  const first = small[0];
  const last = small.at(-1);
  const paths = await localPaths(on, small);
  await write(
    on,
    `${parquet(paths).slice(0, -1)}, union_by_name = true)`,
    endpoint,
    `merged-${first?.id}-${last?.id}`,
    small.map((s) => s.id),
  );
}

async function write(on: On, relation: string, endpoint: string, name: string, replaces: string[]): Promise<void> {
  // In the data folder: a finished file is moved into the object store, not copied.
  const folder = await mkdtemp(path.join(on.config.dataDir, "spill-segment-"));
  try {
    const target = path.join(folder, "segment.parquet");
    const span = await on.duckdb.use(async (connection) => {
      await connection.run(`copy (select * from ${relation} order by "at", id) to ${literal(target)} (format parquet, compression zstd, row_group_size 20000)`);
      const [found] = await on.duckdb.rows<{ rows: number; from_at: Date | null; to_at: Date | null }>(
        `select count(*)::int as rows, min("at") as from_at, max("at") as to_at from ${parquet([target])}`,
        connection,
      );
      return found;
    });
    if (span === undefined || span.rows === 0 || span.from_at === null || span.to_at === null) return;
    const { digest, size } = await on.objects.putFile(target);
    await on.db.transaction().execute(async (transaction) => {
      const { rows } = await sql`
        insert into prediction_segment (endpoint, digest, rows, bytes, from_at, to_at, spool)
        values (${endpoint}, ${digest}, ${span.rows}, ${size}, ${span.from_at}, ${span.to_at}, ${name}) on conflict (spool) do nothing returning id`.execute(
        transaction,
      );
      if (rows.length > 0 && replaces.length > 0) {
        await sql`update prediction_segment set replaced_at = now() where id = any(${replaces}::bigint[])`.execute(transaction);
      }
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Segments with predictions of the span, oldest first; of the newest only so many as hold `newest` rows, where that is given. */
export async function segments({ db }: Pick<Platform, "db">, endpoint: string, { from, to }: Span, newest?: number): Promise<Segment[]> {
  const { rows } = await sql<Segment>`
    select id::text, digest, rows, from_at, to_at from (
      select *, coalesce(sum(rows) over (order by to_at desc, id desc rows between unbounded preceding and 1 preceding), 0) as newer from prediction_segment
      where endpoint = ${endpoint} and replaced_at is null
        ${from === undefined ? sql`` : sql`and to_at >= ${from}`} ${to === undefined ? sql`` : sql`and from_at < ${to}`}) s
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
