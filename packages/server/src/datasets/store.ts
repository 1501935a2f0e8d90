import type { DatasetOrigin, DatasetPart, DatasetVersion, TableColumn, ValidationReport } from "@millrace/sdk/api";
import { type Kysely, type RawBuilder, sql, type Transaction } from "kysely";

type Db = Kysely<unknown>;
type Tx = Transaction<unknown>;

export interface VersionRow {
  dataset: string;
  version: number;
  status: "accepted" | "quarantined";
  mode: "append" | "snapshot";
  digest: string;
  rows: number;
  bytes: number;
  added_digest: string;
  added_rows: number;
  added_bytes: number;
  file: string;
  added_from: Date | null;
  added_to: Date | null;
  rules: string;
  anomalies: number;
  created_at: Date;
  source: string;
  origin: DatasetOrigin | null;
  columns: TableColumn[] | null;
}
export interface PartRow {
  version: number;
  digest: string;
  rows: number;
  bytes: number;
  file: string;
  partition: string | null;
  from_at: Date | null;
  to_at: Date | null;
}
// 64-bit counts come as text; all of these are far below 2^53.
const columns = sql`dataset, version, status, mode, digest, rows::float8 as rows, bytes::float8 as bytes, added_digest, added_rows::float8 as added_rows,
  added_bytes::float8 as added_bytes, file, added_from, added_to, rules, anomalies, created_at, source, origin, columns`;

export function partOf(row: PartRow): DatasetPart {
  const { digest, bytes, rows, file, partition } = row;
  return { digest, bytes, rows, file, partition, from: row.from_at?.toISOString() ?? null, to: row.to_at?.toISOString() ?? null };
}
export function versionOf(row: VersionRow): DatasetVersion {
  const { dataset, version, digest, status, rows, bytes, anomalies, origin, added_digest, added_bytes, added_rows, file } = row;
  const [from, to] = [row.added_from?.toISOString() ?? null, row.added_to?.toISOString() ?? null];
  const added = { digest: added_digest, bytes: added_bytes, rows: added_rows, file, partition: null, from, to };
  return { dataset, version, digest, status, rows, bytes, added, origin, anomalies, createdAt: row.created_at.toISOString() };
}

/** Versions of a dataset are made one after the other. */
export async function lockDataset(transaction: Tx, dataset: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtext('dataset'), hashtext(${dataset}))`.execute(transaction);
}

export async function findVersion(db: Db, dataset: string, version: number | "latest"): Promise<VersionRow | undefined> {
  const which = version === "latest" ? sql`status = 'accepted'` : sql`version = ${version}`;
  const { rows } = await sql<VersionRow>`select ${columns} from dataset_version where dataset = ${dataset} and ${which} order by version desc limit 1`.execute(
    db,
  );
  return rows[0];
}

/** The newest accepted version that was there at a moment. */
export async function findVersionAt(db: Db, dataset: string, at: Date): Promise<VersionRow | undefined> {
  const { rows } = await sql<VersionRow>`
    select ${columns} from dataset_version where dataset = ${dataset} and status = 'accepted' and created_at <= ${at}
    order by version desc limit 1`.execute(db);
  return rows[0];
}

/** Which versions make up an accepted one: everything accepted up to it, from the last snapshot on. */
const makingUp = (row: Pick<VersionRow, "dataset" | "version" | "status" | "mode">) =>
  row.status === "quarantined" || row.mode === "snapshot"
    ? sql`dataset = ${row.dataset} and version = ${row.version}`
    : sql`dataset = ${row.dataset} and status = 'accepted' and version <= ${row.version}
        and version >= coalesce((select max(version) from dataset_version where dataset = ${row.dataset} and status = 'accepted' and mode = 'snapshot'
          and version <= ${row.version}), 0)`;

export const partsOf = (db: Db, row: VersionRow): Promise<PartRow[]> =>
  readParts(db, row.dataset, sql`version in (select version from dataset_version where ${makingUp(row)})`);
/** What the version itself brought. */
export const addedParts = (db: Db, row: VersionRow): Promise<PartRow[]> => readParts(db, row.dataset, sql`version = ${row.version}`);
async function readParts(db: Db, dataset: string, which: RawBuilder<unknown>): Promise<PartRow[]> {
  const { rows } = await sql<PartRow>`
    select version, digest, rows::float8 as rows, bytes::float8 as bytes, file, partition, from_at, to_at from dataset_part
    where dataset = ${dataset} and ${which} order by version, place`.execute(db);
  return rows;
}

/** The arrival of this content, or of this name, among those that make up a version. */
export async function findArrival(db: Db, of: VersionRow, { source, file }: { source?: string; file?: string }): Promise<VersionRow | undefined> {
  const which = source === undefined ? sql`file = ${file ?? ""}` : sql`source = ${source}`;
  const { rows } = await sql<VersionRow>`select ${columns} from dataset_version where ${makingUp(of)} and ${which} order by version desc limit 1`.execute(db);
  return rows[0];
}

/** Content of the same file that was refused under the same rules. */
export async function findRefused(db: Db, dataset: string, file: string, source: string, rules: string): Promise<VersionRow | undefined> {
  const { rows } = await sql<VersionRow>`
    select ${columns} from dataset_version
    where dataset = ${dataset} and source = ${source} and status = 'quarantined' and file = ${file} and rules = ${rules}
    order by version desc limit 1`.execute(db);
  return rows[0];
}

export async function reportOf(db: Db, dataset: string, version: number): Promise<ValidationReport | null> {
  const { rows } = await sql<{ report: ValidationReport | null }>`
    select report from dataset_version where dataset = ${dataset} and version = ${version}`.execute(db);
  return rows[0]?.report ?? null;
}

export async function listVersions(
  db: Db,
  dataset: string,
  { status, before, limit }: { status?: string | undefined; before?: number | undefined; limit: number },
): Promise<VersionRow[]> {
  const { rows } = await sql<VersionRow>`
    select ${columns} from dataset_version where dataset = ${dataset}
      ${status === undefined ? sql`` : sql`and status = ${status}`} ${before === undefined ? sql`` : sql`and version < ${before}`}
    order by version desc limit ${limit}`.execute(db);
  return rows;
}

export async function countVersions(db: Db): Promise<Map<string, { accepted: number; quarantined: number }>> {
  const { rows } = await sql<{ dataset: string; accepted: number; quarantined: number }>`
    select dataset, count(*) filter (where status = 'accepted')::int as accepted, count(*) filter (where status = 'quarantined')::int as quarantined
    from dataset_version group by dataset`.execute(db);
  return new Map(rows.map((row) => [row.dataset, row]));
}

export async function nextVersion(transaction: Tx, dataset: string): Promise<number> {
  const { rows } = await sql<{ version: number }>`
    select coalesce(max(version), 0)::int + 1 as version from dataset_version where dataset = ${dataset}`.execute(transaction);
  return rows[0]?.version ?? 1;
}

export async function insertVersion(transaction: Tx, row: VersionRow, parts: Omit<PartRow, "version">[], report: ValidationReport | null): Promise<void> {
  await sql`
    insert into dataset_version (dataset, version, status, mode, digest, rows, bytes, added_digest, added_rows, added_bytes, file, added_from, added_to,
      rules, anomalies, report, created_at, source, origin, columns)
    values (${row.dataset}, ${row.version}, ${row.status}, ${row.mode}, ${row.digest}, ${row.rows}, ${row.bytes}, ${row.added_digest}, ${row.added_rows},
      ${row.added_bytes}, ${row.file}, ${row.added_from}, ${row.added_to}, ${row.rules}, ${row.anomalies},
      ${report === null ? null : JSON.stringify(report)}::jsonb, ${row.created_at}, ${row.source},
      ${row.origin === null ? null : JSON.stringify(row.origin)}::jsonb, ${row.columns === null ? null : JSON.stringify(row.columns)}::jsonb)`.execute(
    transaction,
  );
  await sql`
    insert into dataset_part (dataset, version, place, digest, rows, bytes, file, partition, from_at, to_at)
    select ${row.dataset}, ${row.version}, place - 1, digest, rows, bytes, file, partition, from_at, to_at
    from rows from (jsonb_to_recordset(${JSON.stringify(parts)}::jsonb)
      as (digest text, rows bigint, bytes bigint, file text, partition text, from_at timestamptz, to_at timestamptz))
      with ordinality as p (digest, rows, bytes, file, partition, from_at, to_at, place)`.execute(transaction);
}

export interface WatchedFile {
  file: string;
  stamp: string;
  taken: string | null;
}
export async function watchedFiles(db: Db, dataset: string): Promise<Map<string, WatchedFile>> {
  const { rows } = await sql<WatchedFile>`select file, stamp, taken from dataset_watched_file where dataset = ${dataset}`.execute(db);
  return new Map(rows.map((row) => [row.file, row]));
}
export async function saw(db: Db, dataset: string, file: string, stamp: string): Promise<void> {
  await sql`
    insert into dataset_watched_file (dataset, file, stamp) values (${dataset}, ${file}, ${stamp})
    on conflict (dataset, file) do update set stamp = excluded.stamp, taken = null`.execute(db);
}
export async function took(db: Db, dataset: string, file: string, stamp: string, rules: string): Promise<void> {
  await sql`update dataset_watched_file set taken = ${rules} where dataset = ${dataset} and file = ${file} and stamp = ${stamp}`.execute(db);
}
