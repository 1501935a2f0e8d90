import type { DatasetPart, DatasetVersion, ValidationReport } from "@millrace/sdk/api";
import { type Kysely, sql, type Transaction } from "kysely";

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
  part_digest: string;
  part_rows: number;
  part_bytes: number;
  file: string;
  part_from: Date | null;
  part_to: Date | null;
  rules: string;
  anomalies: number;
  created_at: Date;
}
// 64-bit counts come as text; all of these are far below 2^53.
const columns = sql`dataset, version, status, mode, digest, rows::float8 as rows, bytes::float8 as bytes, part_digest, part_rows::float8 as part_rows,
  part_bytes::float8 as part_bytes, file, part_from, part_to, rules, anomalies, created_at`;

export function partOf(row: VersionRow): DatasetPart {
  return {
    digest: row.part_digest,
    bytes: row.part_bytes,
    rows: row.part_rows,
    file: row.file,
    from: row.part_from?.toISOString() ?? null,
    to: row.part_to?.toISOString() ?? null,
  };
}
export function versionOf(row: VersionRow): DatasetVersion {
  const { dataset, version, digest, status, rows, bytes, anomalies } = row;
  return { dataset, version, digest, status, rows, bytes, added: partOf(row), anomalies, createdAt: row.created_at.toISOString() };
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

/** What makes up an accepted version: everything accepted up to it, from the last snapshot on. */
export async function partsOf(db: Db, row: VersionRow): Promise<VersionRow[]> {
  if (row.status === "quarantined" || row.mode === "snapshot") return [row];
  const { rows } = await sql<VersionRow>`
    select ${columns} from dataset_version where dataset = ${row.dataset} and status = 'accepted' and version <= ${row.version}
      and version >= coalesce((select max(version) from dataset_version where dataset = ${row.dataset} and status = 'accepted' and mode = 'snapshot'
        and version <= ${row.version}), 0)
    order by version`.execute(db);
  return rows;
}

/** Content of the same file that was refused under the same rules. */
export async function findRefused(db: Db, dataset: string, file: string, digest: string, rules: string): Promise<VersionRow | undefined> {
  const { rows } = await sql<VersionRow>`
    select ${columns} from dataset_version
    where dataset = ${dataset} and part_digest = ${digest} and status = 'quarantined' and file = ${file} and rules = ${rules}
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

export async function insertVersion(transaction: Tx, row: VersionRow, report: ValidationReport | null): Promise<void> {
  await sql`
    insert into dataset_version (dataset, version, status, mode, digest, rows, bytes, part_digest, part_rows, part_bytes, file, part_from, part_to, rules,
      anomalies, report, created_at)
    values (${row.dataset}, ${row.version}, ${row.status}, ${row.mode}, ${row.digest}, ${row.rows}, ${row.bytes}, ${row.part_digest}, ${row.part_rows},
      ${row.part_bytes}, ${row.file}, ${row.part_from}, ${row.part_to}, ${row.rules}, ${row.anomalies},
      ${report === null ? null : JSON.stringify(report)}::jsonb, ${row.created_at})`.execute(transaction);
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
