import type { Release, ReleaseCheck, ReleaseManifest, Signature } from "@millrace/sdk/api";
import { sql, type Transaction } from "kysely";
import type { Database } from "../platform/index.js";

type Db = Database | Transaction<unknown>;

export interface ReleaseRow {
  digest: string;
  project: string;
  manifest: ReleaseManifest;
  authors: string[];
  created_by: string;
  created_at: Date;
  signed_by: string[];
}
const columns = sql`r.digest, r.project, r.manifest, r.authors, r.created_by, r.created_at,
  coalesce((select array_agg(distinct s.key order by s.key) from signature s where s.subject = r.digest), '{}') as signed_by`;

/** Answers whether it is new. */
export async function insertRelease(transaction: Transaction<unknown>, row: Omit<ReleaseRow, "signed_by">): Promise<boolean> {
  const { rows } = await sql`
    insert into release (digest, project, manifest, authors, created_by, created_at)
    values (${row.digest}, ${row.project}, ${JSON.stringify(row.manifest)}::jsonb, ${JSON.stringify(row.authors)}::jsonb, ${row.created_by}, ${row.created_at})
    on conflict do nothing returning digest`.execute(transaction);
  return rows.length > 0;
}
/** Who makes a release known again is one of its authors too. */
export async function addAuthors(transaction: Transaction<unknown>, digest: string, authors: string[]): Promise<void> {
  await sql`
    update release set authors = authors || (
      select coalesce(jsonb_agg(a), '[]') from jsonb_array_elements_text(${JSON.stringify(authors)}::jsonb) a where not authors @> to_jsonb(array[a])
    ) where digest = ${digest}`.execute(transaction);
}
export async function findRelease(db: Db, digest: string): Promise<ReleaseRow | undefined> {
  return (await sql<ReleaseRow>`select ${columns} from release r where digest = ${digest}`.execute(db)).rows[0];
}
/** Those whose digest begins so: at most two, to tell one from many. */
export async function findReleases(db: Db, beginning: string): Promise<ReleaseRow[]> {
  const { rows } = await sql<ReleaseRow>`select ${columns} from release r where starts_with(digest, ${beginning}) order by n limit 2`.execute(db);
  return rows;
}
/** Newest first; `after` is a release's digest. */
export async function listReleases(
  db: Db,
  { project, limit, after }: { project?: string | undefined; limit: number; after?: string | undefined },
): Promise<ReleaseRow[]> {
  const of = project === undefined ? sql`true` : sql`r.project = ${project}`;
  const below = after === undefined ? sql`true` : sql`r.n < (select n from release where digest = ${after})`;
  return (await sql<ReleaseRow>`select ${columns} from release r where ${of} and ${below} order by r.n desc limit ${limit}`.execute(db)).rows;
}

export async function releasedProjects(db: Db): Promise<string[]> {
  return (await sql<{ project: string }>`select distinct project from release`.execute(db)).rows.map(({ project }) => project);
}

interface CheckRow {
  passed: boolean;
  summary: string;
  report: string | null;
  added_by: string;
  added_at: Date;
}
export async function insertCheck(transaction: Transaction<unknown>, release: string, row: CheckRow): Promise<void> {
  await sql`
    insert into release_check (release, passed, summary, report, added_by, added_at)
    values (${release}, ${row.passed}, ${row.summary}, ${row.report}, ${row.added_by}, ${row.added_at})`.execute(transaction);
}
/** Newest first. */
export async function checksOf(db: Db, release: string): Promise<ReleaseCheck[]> {
  const { rows } = await sql<CheckRow>`
    select passed, summary, report, added_by, added_at from release_check where release = ${release} order by n desc limit 100`.execute(db);
  return rows.map(({ passed, summary, report, added_by, added_at }) => ({ passed, summary, report, addedBy: added_by, addedAt: added_at.toISOString() }));
}

interface SignatureRow {
  key: string;
  signature: unknown;
  added_by: string;
  added_at: Date;
}
export async function insertSignature(transaction: Transaction<unknown>, subject: string, digest: string, row: SignatureRow): Promise<boolean> {
  const { rows } = await sql`
    insert into signature (subject, digest, key, signature, added_by, added_at)
    values (${subject}, ${digest}, ${row.key}, ${JSON.stringify(row.signature)}::jsonb, ${row.added_by}, ${row.added_at})
    on conflict do nothing returning digest`.execute(transaction);
  return rows.length > 0;
}
export async function signaturesOf(db: Db, subject: string): Promise<Signature[]> {
  const { rows } = await sql<SignatureRow>`
    select key, signature, added_by, added_at from signature where subject = ${subject} order by added_at, digest limit 100`.execute(db);
  return rows.map(({ key, signature, added_by, added_at }) => ({ key, signature, addedBy: added_by, addedAt: added_at.toISOString() }));
}

export const toRelease = (row: ReleaseRow): Release => ({
  digest: row.digest,
  project: row.project,
  commit: row.manifest.commit,
  authors: row.authors,
  createdBy: row.created_by,
  createdAt: row.created_at.toISOString(),
  signedBy: row.signed_by,
});
