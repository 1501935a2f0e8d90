import type { ProjectSpec } from "@millrace/sdk/spec";
import { type Kysely, sql, type Transaction } from "kysely";
import type { NamedSpec } from "./plan.js";
import type { DefinitionKind } from "./types.js";

type Db = Kysely<unknown>;

export interface VersionRow {
  project: string;
  version: number;
  digest: string;
  spec: ProjectSpec;
  commit: string | null;
  dirty: boolean;
  applied_at: Date;
  applied_by: string;
}
export interface DefinitionRow {
  kind: DefinitionKind;
  name: string;
  project: string;
  project_version: number;
  spec: unknown;
}

/** Applies follow one another, so that the newest row's id tells whether anything changed. */
export async function lockApplies(transaction: Transaction<unknown>): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtext('projects'), 0)`.execute(transaction);
}

/** Grows with every apply. */
export async function stamp(db: Db): Promise<string> {
  const { rows } = await sql<{ stamp: string }>`select coalesce(max(id), 0)::text as stamp from project_version`.execute(db);
  return rows[0]?.stamp ?? "0";
}

export async function allDefinitions(db: Db): Promise<DefinitionRow[]> {
  return (await sql<DefinitionRow>`select kind, name, project, project_version, spec from definition order by kind, name`.execute(db)).rows;
}

export async function newestVersions(db: Db): Promise<Omit<VersionRow, "spec">[]> {
  const { rows } = await sql<Omit<VersionRow, "spec">>`
    select distinct on (project) project, version, digest, commit, dirty, applied_at, applied_by
    from project_version order by project, version desc`.execute(db);
  return rows;
}

export async function findVersion(db: Db, project: string, version: number | "newest"): Promise<VersionRow | undefined> {
  const which = version === "newest" ? sql`` : sql`and version = ${version}`;
  const { rows } = await sql<VersionRow>`
    select project, version, digest, spec, commit, dirty, applied_at, applied_by
    from project_version where project = ${project} ${which} order by version desc limit 1`.execute(db);
  return rows[0];
}

export async function insertVersion(transaction: Transaction<unknown>, row: VersionRow): Promise<void> {
  await sql`
    insert into project_version (project, version, digest, spec, commit, dirty, applied_at, applied_by)
    values (${row.project}, ${row.version}, ${row.digest}, ${JSON.stringify(row.spec)}::jsonb, ${row.commit}, ${row.dirty}, ${row.applied_at}, ${row.applied_by})`.execute(
    transaction,
  );
}

/** `changed` says whether the definition itself is another one, or only stands in another line. */
export async function writeDefinition(transaction: Transaction<unknown>, project: string, version: number, one: NamedSpec, changed: boolean): Promise<void> {
  await sql`
    insert into definition (kind, name, project, project_version, spec)
    values (${one.kind}, ${one.name}, ${project}, ${version}, ${JSON.stringify(one.spec)}::jsonb)
    on conflict (kind, name) do update set
      spec = excluded.spec, project_version = case when ${changed} then excluded.project_version else definition.project_version end`.execute(transaction);
}

export async function deleteDefinition(transaction: Transaction<unknown>, kind: DefinitionKind, name: string): Promise<void> {
  await sql`delete from definition where kind = ${kind} and name = ${name}`.execute(transaction);
}
