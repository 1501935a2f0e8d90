import type { Build, Repository } from "@millrace/sdk/api";
import { sql, type Transaction } from "kysely";
import type { Database } from "../../platform/index.js";

type Db = Database | Transaction<unknown>;

export interface RepositoryRow {
  name: string;
  url: string;
  folder: string;
  branch: string;
  tags: string;
  poll_seconds: number;
  webhook_secret: string | null;
  token: string | null;
  checked: boolean;
  project: string | null;
  looked_at: Date | null;
  problem: string | null;
  created_by: string;
}
export interface BuildRow {
  id: string;
  repository: string;
  ref: string;
  commit: string;
  state: Build["state"];
  message: string | null;
  release: string | null;
  log: string | null;
  found_at: Date;
  finished_at: Date | null;
}
const columns = sql`name, url, folder, branch, tags, poll_seconds, webhook_secret, token, checked, project, looked_at, problem, created_by`;
const buildColumns = sql`id, repository, ref, commit, state, message, release, log, found_at, finished_at`;

/** One that is there is changed, and looked at again; whose releases come from it stays. */
export async function writeRepository(db: Db, row: Omit<RepositoryRow, "project" | "looked_at" | "problem">): Promise<void> {
  await sql`
    insert into repository (name, url, folder, branch, tags, poll_seconds, webhook_secret, token, checked, created_by)
    values (${row.name}, ${row.url}, ${row.folder}, ${row.branch}, ${row.tags}, ${row.poll_seconds}, ${row.webhook_secret}, ${row.token}, ${row.checked}, ${row.created_by})
    on conflict (name) do update set url = excluded.url, folder = excluded.folder, branch = excluded.branch, tags = excluded.tags, poll_seconds = excluded.poll_seconds,
      webhook_secret = excluded.webhook_secret, token = excluded.token, checked = excluded.checked, asked = true, problem = null`.execute(db);
}
export async function deleteRepository(db: Db, name: string): Promise<boolean> {
  return (await sql`delete from repository where name = ${name} returning name`.execute(db)).rows.length > 0;
}
export async function listRepositories(db: Db): Promise<RepositoryRow[]> {
  return (await sql<RepositoryRow>`select ${columns} from repository order by name limit 1000`.execute(db)).rows;
}
export async function findRepository(db: Db, name: string): Promise<RepositoryRow | undefined> {
  return (await sql<RepositoryRow>`select ${columns} from repository where name = ${name}`.execute(db)).rows[0];
}
/** Those that are to be looked at, by the database's clock. */
export async function dueRepositories(db: Db): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select name from repository where asked or looked_at is null or (poll_seconds > 0 and looked_at < now() - make_interval(secs => poll_seconds)) order by name`.execute(
    db,
  );
  return rows.map(({ name }) => name);
}
export async function askFor(db: Db, name: string): Promise<boolean> {
  return (await sql`update repository set asked = true where name = ${name} returning name`.execute(db)).rows.length > 0;
}
/** A look begins: what is asked for from here on asks for another one. */
export async function beginLook(db: Db, name: string): Promise<void> {
  await sql`update repository set asked = false, looked_at = now() where name = ${name}`.execute(db);
}
export async function setProblem(db: Db, name: string, problem: string | null): Promise<void> {
  await sql`update repository set problem = ${problem} where name = ${name}`.execute(db);
}
/** Answers whether it is this project's, which it is from the first release on. */
export async function claimProject(db: Db, name: string, project: string): Promise<boolean> {
  const { rows } =
    await sql`update repository set project = ${project} where name = ${name} and (project is null or project = ${project}) returning name`.execute(db);
  return rows.length > 0;
}

export async function hasBuilds(db: Db, repository: string): Promise<boolean> {
  return (await sql`select 1 from repository_build where repository = ${repository} limit 1`.execute(db)).rows.length > 0;
}
/** A commit comes to a ref once. Those of the same ref that wait are not waited for any more. */
export async function insertBuild(
  transaction: Transaction<unknown>,
  row: Pick<BuildRow, "id" | "repository" | "ref" | "commit" | "state" | "found_at">,
): Promise<boolean> {
  const { rows } = await sql`
    insert into repository_build (id, repository, ref, commit, state, found_at)
    values (${row.id}, ${row.repository}, ${row.ref}, ${row.commit}, ${row.state}, ${row.found_at}) on conflict do nothing returning id`.execute(transaction);
  if (rows.length === 0) return false;
  await sql`
    update repository_build set state = 'superseded', message = 'A newer commit came before its turn.', finished_at = ${row.found_at}
    where repository = ${row.repository} and ref = ${row.ref} and state = 'waiting' and id <> ${row.id}`.execute(transaction);
  return true;
}
/** Oldest first. */
export async function openBuilds(db: Db): Promise<string[]> {
  return (await sql<{ id: string }>`select id from repository_build where state in ('waiting', 'building') order by n`.execute(db)).rows.map(({ id }) => id);
}
export async function findBuild(db: Db, id: string): Promise<BuildRow | undefined> {
  return (await sql<BuildRow>`select ${buildColumns} from repository_build where id = ${id}`.execute(db)).rows[0];
}
export async function beginBuild(db: Db, id: string): Promise<boolean> {
  return (
    (await sql`update repository_build set state = 'building' where id = ${id} and state in ('waiting', 'building') returning id`.execute(db)).rows.length > 0
  );
}
export async function endBuild(
  transaction: Transaction<unknown>,
  id: string,
  { state, message, release, log }: Pick<BuildRow, "state" | "message" | "release" | "log">,
  now: Date,
): Promise<boolean> {
  const { rows } = await sql`
    update repository_build set state = ${state}, message = ${message}, release = ${release}, log = ${log}, finished_at = ${now}
    where id = ${id} and state = 'building' returning id`.execute(transaction);
  return rows.length > 0;
}
/** Newest first; `after` is a build's id. */
export async function listBuilds(db: Db, repository: string, { limit, after }: { limit: number; after?: string | undefined }): Promise<BuildRow[]> {
  const below = after === undefined ? sql`true` : sql`n < (select n from repository_build where id = ${after})`;
  const { rows } = await sql<BuildRow>`
    select ${buildColumns} from repository_build where repository = ${repository} and ${below} order by n desc limit ${limit}`.execute(db);
  return rows;
}

/** Made by whoever is first. */
export async function deliveryKey(db: Db, make: () => Promise<Buffer>): Promise<Buffer> {
  const read = async () => (await sql<{ sealed: Buffer }>`select sealed from delivery_key where id = 1`.execute(db)).rows[0]?.sealed;
  const known = await read();
  if (known !== undefined) return known;
  const made = await make();
  await sql`insert into delivery_key (id, sealed) values (1, ${made}) on conflict do nothing`.execute(db);
  return (await read()) ?? made;
}

export const toRepository = (row: RepositoryRow): Repository => ({
  name: row.name,
  url: row.url,
  folder: row.folder,
  branch: row.branch,
  tags: row.tags,
  pollSeconds: row.poll_seconds,
  webhookSecret: row.webhook_secret,
  token: row.token,
  check: row.checked,
  project: row.project,
  lookedAt: row.looked_at?.toISOString() ?? null,
  problem: row.problem,
  createdBy: row.created_by,
});
export const toBuild = (row: BuildRow): Build => ({
  id: row.id,
  repository: row.repository,
  ref: row.ref,
  commit: row.commit,
  state: row.state,
  message: row.message,
  release: row.release,
  log: row.log,
  foundAt: row.found_at.toISOString(),
  finishedAt: row.finished_at?.toISOString() ?? null,
});
