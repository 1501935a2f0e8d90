import type { EvaluationReport, GateResult } from "@millrace/sdk/api";
import { sql, type Transaction } from "kysely";
import type { Database } from "../platform/index.js";

export interface VersionRow {
  model: string;
  version: number;
  digest: string;
  files: { path: string; digest: string; size: number }[];
  service: string | null;
  run_id: string | null;
  tracking_run_id: string | null;
  metrics: Record<string, number>;
  gates: GateResult[];
  created_at: Date;
  aliases: string[];
}
export interface ModelRow {
  name: string;
  versions: number;
  aliases: Record<string, number>;
}
type Db = Database | Transaction<unknown>;

const versionColumns = sql`v.model, v.version, v.digest, v.files, v.service, v.run_id, v.tracking_run_id, v.metrics, v.gates, v.created_at,
  coalesce((select array_agg(a.alias order by a.alias) from model_alias a where a.model = v.model and a.version = v.version), '{}') as aliases`;

/** Makes the model where there is none. Answers the version number that was given out last. */
export async function lockModel(transaction: Transaction<unknown>, model: string, now: Date): Promise<{ last: number; made: boolean }> {
  for (;;) {
    const inserted =
      await sql`insert into model (name, created_at, updated_at) values (${model}, ${now}, ${now}) on conflict do nothing returning name`.execute(transaction);
    const { rows } = await sql<{ last_version: number }>`select last_version from model where name = ${model} for update`.execute(transaction);
    // Another client may delete it between the two.
    if (rows[0] !== undefined) return { last: rows[0].last_version, made: inserted.rows.length > 0 };
  }
}

export async function insertVersion(
  transaction: Transaction<unknown>,
  row: Omit<VersionRow, "aliases"> & { source: string | null; report: EvaluationReport | null },
): Promise<void> {
  const json = (value: unknown) => sql`${JSON.stringify(value)}::jsonb`;
  await sql`
    insert into model_version (model, version, digest, files, service, run_id, source, tracking_run_id, metrics, gates, report, created_at, updated_at)
    values (${row.model}, ${row.version}, ${row.digest}, ${json(row.files)}, ${row.service}, ${row.run_id}, ${row.source}, ${row.tracking_run_id},
      ${json(row.metrics)}, ${json(row.gates)}, ${row.report === null ? null : json(row.report)}, ${row.created_at}, ${row.created_at})`.execute(transaction);
  await sql`update model set last_version = ${row.version}, updated_at = ${row.created_at} where name = ${row.model}`.execute(transaction);
}

export async function findVersion(db: Db, model: string, version: number): Promise<(VersionRow & { report: EvaluationReport | null }) | undefined> {
  const { rows } = await sql<VersionRow & { report: EvaluationReport | null }>`
    select ${versionColumns}, v.report from model_version v where v.model = ${model} and v.version = ${version}`.execute(db);
  return rows[0];
}
export async function findByAlias(db: Db, model: string, alias: string): Promise<VersionRow | undefined> {
  const { rows } = await sql<VersionRow>`
    select ${versionColumns} from model_version v join model_alias using (model, version) where v.model = ${model} and alias = ${alias}`.execute(db);
  return rows[0];
}
/** What a run registered, or what came from another place: at most one version of equal files. */
export async function findFrom(
  db: Db,
  { model, digest, runId, source }: { model: string; digest: string; runId: string | null; source?: string },
): Promise<number | undefined> {
  if (runId === null && source === undefined) return undefined;
  const from = runId === null ? sql`source = ${source}` : sql`run_id = ${runId}`;
  const { rows } = await sql<{ version: number }>`
    select version from model_version where model = ${model} and digest = ${digest} and ${from} order by version limit 1`.execute(db);
  return rows[0]?.version;
}
/** The oldest of equal ones. */
export async function findByDigest(db: Db, model: string, digest: string): Promise<VersionRow | undefined> {
  const { rows } = await sql<VersionRow>`
    select ${versionColumns} from model_version v where v.model = ${model} and v.digest = ${digest} order by version limit 1`.execute(db);
  return rows[0];
}
export async function listVersions(db: Db, model: string, limit: number, before: number): Promise<VersionRow[]> {
  const { rows } = await sql<VersionRow>`
    select ${versionColumns} from model_version v where v.model = ${model} and v.version < ${before} order by v.version desc limit ${limit}`.execute(db);
  return rows;
}

const modelColumns = sql`m.name, (select count(*)::int from model_version v where v.model = m.name) as versions,
  coalesce((select jsonb_object_agg(a.alias, a.version) from model_alias a where a.model = m.name), '{}') as aliases`;
export async function findModel(db: Db, name: string): Promise<ModelRow | undefined> {
  const { rows } = await sql<ModelRow>`select ${modelColumns} from model m where m.name = ${name}`.execute(db);
  return rows[0];
}
/** Without the prompts that MLflow's clients keep beside models. */
export async function listModels(db: Db): Promise<ModelRow[]> {
  const { rows } = await sql<ModelRow>`
    select ${modelColumns} from model m where not m.tags @> '{"mlflow.prompt.is_prompt": "true"}' order by m.name limit 10000`.execute(db);
  return rows;
}

/** Answers whether it was another version before. */
export async function writeAlias(transaction: Transaction<unknown>, model: string, alias: string, version: number, now: Date): Promise<boolean> {
  const { rows } = await sql`
    insert into model_alias (model, alias, version, set_at) values (${model}, ${alias}, ${version}, ${now})
    on conflict (model, alias) do update set version = excluded.version, set_at = excluded.set_at where model_alias.version <> excluded.version
    returning alias`.execute(transaction);
  return rows.length > 0;
}
export async function removeAlias(transaction: Transaction<unknown>, model: string, alias: string): Promise<number | undefined> {
  const { rows } = await sql<{ version: number }>`delete from model_alias where model = ${model} and alias = ${alias} returning version`.execute(transaction);
  return rows[0]?.version;
}
