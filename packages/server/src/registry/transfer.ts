/**
 * Moving registered models in and out, with their version numbers. A batch is taken as a whole or not at all; taken again, it changes nothing.
 * Who listens here hears of it; webhooks don't: to those who set them it is no news.
 */
import type { ModelPlace, MovedAlias, MovedFile, MovedModel, MovedVersion, TransferCounts } from "@millrace/sdk/api";
import { sql, type Transaction } from "kysely";
import { checkStrings, invalidValue, type Page } from "../mlflow/index.js";
import { type Digest, invalid, notFound, type Platform } from "../platform/index.js";
import { type After, type ArtifactFile, hold, paged, type Tracking } from "../tracking/index.js";
import { digestOf, readSource, renewFiles } from "./sources.js";
import { writeAlias } from "./store.js";
import { promptTag } from "./told.js";
import type { Registry } from "./types.js";

export interface RegistryTransfer {
  /** As experiments: one that came before is found again, and one whose name is taken by another with versions is called `<name> (imported)`. */
  takeModels(models: MovedModel[]): Promise<ModelPlace[]>;
  /** In the order in which one was made from another. Answers how many files each has. */
  takeVersions(versions: MovedVersion[]): Promise<number[]>;
  takeAliases(aliases: MovedAlias[]): Promise<void>;

  counts(): Promise<Pick<TransferCounts, "models" | "versions">>;
  models(page: After): Promise<Page<MovedModel>>;
  versions(page: After): Promise<Page<MovedVersion>>;
  aliases(page: After): Promise<Page<MovedAlias>>;
}
type Tx = Transaction<unknown>;

export function createRegistryTransfer(
  { db, events, objects }: Pick<Platform, "db" | "events" | "objects">,
  { registry, tracking }: { registry: Registry; tracking: Tracking },
): RegistryTransfer {
  const inTransaction = <T>(work: (transaction: Tx) => Promise<T>): Promise<T> => db.transaction().execute(work);

  /** What lies at a version's source now, or at that of a version of the same batch. A source that leads nowhere here has no files. */
  async function filesOf(version: MovedVersion, batch: ReadonlyMap<string, MovedFile[]>): Promise<MovedFile[]> {
    if (version.files !== undefined) {
      for (const { digest, size } of version.files) {
        if ((await objects.renew(digest as Digest))?.size !== size)
          throw invalid(`The files of ${version.model}/${version.version} are not here: there is no object ${digest} of ${size} bytes.`);
      }
      return version.files;
    }
    if (version.source === null || version.tags[promptTag] === "true") return [];
    try {
      const { files } = await readSource(version.source, tracking, async (model, which) => {
        const same = batch.get(`${model}/${which}`);
        if (same !== undefined) return { files: same, run_id: null, model_id: null };
        const found = which.startsWith("@") ? await registry.byAlias(model, which.slice(1)) : await registry.registered(model, versionNumber(which));
        return { files: (found?.files ?? []) as ArtifactFile[], run_id: null, model_id: null };
      });
      await renewFiles(objects, files);
      return files;
    } catch (error) {
      if (error instanceof Error && "status" in error) return [];
      throw error;
    }
  }

  return {
    takeModels: (models) =>
      inTransaction(async (transaction) => {
        await sql`select pg_advisory_xact_lock(hashtext('millrace.transfer'))`.execute(transaction);
        const places: ModelPlace[] = [];
        for (const model of models) places.push(await takeModel(transaction, model));
        return places;
      }),
    takeVersions: async (versions) => {
      const files = new Map<string, MovedFile[]>();
      for (const version of versions) files.set(`${version.model}/${version.version}`, await filesOf(version, files));
      await inTransaction(async (transaction) => {
        await mustHaveModels(transaction, versions);
        const sorted = [...versions].sort((a, b) => (a.model === b.model ? a.version - b.version : a.model < b.model ? -1 : 1));
        for (const version of sorted) {
          await hold(transaction, { run: version.run, model: version.loggedModel });
          const made = await takeVersion(transaction, version, files.get(`${version.model}/${version.version}`) ?? []);
          if (made && version.tags[promptTag] !== "true") {
            const { model, version: number } = version;
            await events.append(transaction, "model_version.registered", `${model}/${number}`, { model, version: number, runId: null });
          }
        }
      });
      return versions.map(({ model, version }) => files.get(`${model}/${version}`)?.length ?? 0);
    },
    takeAliases: (aliases) =>
      inTransaction(async (transaction) => {
        await mustHaveModels(transaction, aliases);
        for (const { model, alias, version } of [...aliases].sort((a, b) => (`${a.model}\n${a.alias}` < `${b.model}\n${b.alias}` ? -1 : 1))) {
          if (!/^[\p{L}\p{N}_-]{1,255}$/u.test(alias) || /^v[0-9]+$/i.test(alias) || alias.toLowerCase() === "latest")
            throw invalid(`"${alias}" of the model "${model}" can't be an alias.`);
          const { rows } = await sql`select 1 from model_version where model = ${model} and version = ${version}`.execute(transaction);
          if (rows.length === 0) throw notFound(`version of the model "${model}"`, String(version));
          if (await writeAlias(transaction, model, alias, version, new Date())) await events.append(transaction, "alias.set", model, { model, alias, version });
        }
      }),

    async counts() {
      const { rows } = await sql<{ models: number; versions: number }>`
        select (select count(*)::float8 from model) as models, (select count(*)::float8 from model_version) as versions`.execute(db);
      return rows[0] ?? { models: 0, versions: 0 };
    },
    async models({ limit, after }) {
      const { rows } = await sql<MovedModel>`
        select name, description, ${millis("created_at")} as "creationTime", ${millis("updated_at")} as "updateTime", tags, last_version as "lastVersion"
        from model where name > ${after ?? ""} order by name limit ${limit}`.execute(db);
      return paged(rows, limit, (row) => row.name);
    },
    async versions({ limit, after }) {
      const place = /^([0-9]+):([0-9]+):(.*)$/s.exec(after ?? "0:0:");
      if (place === null) throw invalid("`after` is not of an answer of this route: pass on the `next` of the last one.");
      // By time, so that what was copied from another version comes after that.
      const { rows } = await sql<MovedVersion & { micros: string }>`
        select * from (
          select model, version, ${millis("created_at")} as "creationTime", ${millis("updated_at")} as "updateTime", description, user_id as user, stage, source,
            tracking_run_id as run, run_link as "runLink", logged_model_id as "loggedModel", tags, files,
            floor(extract(epoch from created_at) * 1000000)::bigint::text as micros
          from model_version) v
        where (v.micros::bigint, v.version, v.model) > (${place[1]}::bigint, ${place[2]}::bigint, ${place[3]}::text)
        order by v.micros::bigint, v.version, v.model limit ${limit}`.execute(db);
      const page = paged(rows, limit, (row) => `${row.micros}:${row.version}:${row.model}`);
      return { ...page, items: page.items.map(({ micros: _, ...version }) => version) };
    },
    async aliases({ limit, after }) {
      const [model = "", alias = ""] = (after ?? "").split("\n");
      const { rows } = await sql<MovedAlias>`
        select model, alias, version from model_alias where (model, alias) > (${model}, ${alias}) order by model, alias limit ${limit}`.execute(db);
      return paged(rows, limit, (row) => `${row.model}\n${row.alias}`);
    },
  };
}

async function takeModel(transaction: Tx, model: MovedModel): Promise<ModelPlace> {
  if (/[/:]/.test(model.name) || model.name === "." || model.name === "..") throw invalidValue(`Invalid model name '${model.name}'.`);
  const name = await nameOf(transaction, model);
  await sql`
    insert into model as m (name, description, tags, created_at, updated_at, last_version, imported_from)
    values (${name}, ${model.description}, ${JSON.stringify(model.tags)}::jsonb, ${new Date(model.creationTime)}, ${new Date(model.updateTime)}, ${model.lastVersion}, ${originOf(model)})
    on conflict (name) do update set description = coalesce(excluded.description, m.description), tags = m.tags || excluded.tags,
      updated_at = greatest(m.updated_at, excluded.updated_at), last_version = greatest(m.last_version, excluded.last_version),
      imported_from = coalesce(m.imported_from, excluded.imported_from)`.execute(transaction);
  return { from: model.name, name };
}
const originOf = (model: MovedModel): string => `${model.name}@${model.creationTime}`;
async function nameOf(transaction: Tx, model: MovedModel): Promise<string> {
  const before = await sql<{ name: string }>`select name from model where imported_from = ${originOf(model)}`.execute(transaction);
  if (before.rows[0] !== undefined) return before.rows[0].name;
  for (let n = 0; ; n++) {
    const name = n === 0 ? model.name : `${model.name.slice(0, 235)} (imported${n === 1 ? "" : ` ${n}`})`;
    const { rows } = await sql<{ free: boolean }>`
      select imported_from is null and not exists (select 1 from model_version v where v.model = m.name) as free from model m where name = ${name}`.execute(
      transaction,
    );
    if (rows[0]?.free !== false) return name;
  }
}

/** Answers whether it is new. Its files are those that it has, or where it has none, those that are there now. */
async function takeVersion(transaction: Tx, version: MovedVersion, files: MovedFile[]): Promise<boolean> {
  await hold(transaction, { run: version.run, model: version.loggedModel });
  checkStrings([{ what: "source", value: version.source ?? undefined, most: 1_000 }]);
  const { rows } = await sql<{ made: boolean }>`
    insert into model_version as v (model, version, digest, files, tracking_run_id, source, description, tags, metrics, gates, created_at, updated_at, user_id, run_link, logged_model_id, stage)
    values (${version.model}, ${version.version}, ${digestOf(files)}, ${JSON.stringify(files)}::jsonb, ${version.run}, ${version.source}, ${version.description},
      ${JSON.stringify(version.tags)}::jsonb, '{}', '[]', ${new Date(version.creationTime)}, ${new Date(version.updateTime)}, ${version.user}, ${version.runLink},
      ${version.loggedModel}, ${version.stage})
    on conflict (model, version) do update set stage = excluded.stage, description = coalesce(excluded.description, v.description), tags = v.tags || excluded.tags,
      updated_at = greatest(v.updated_at, excluded.updated_at),
      digest = case when v.files = '[]' then excluded.digest else v.digest end, files = case when v.files = '[]' then excluded.files else v.files end
    returning xmax = 0 as made`.execute(transaction);
  await sql`update model set last_version = greatest(last_version, ${version.version}) where name = ${version.model}`.execute(transaction);
  return rows[0]?.made === true;
}

async function mustHaveModels(transaction: Tx, records: { model: string }[]): Promise<void> {
  const names = [...new Set(records.map(({ model }) => model))].sort();
  const { rows } = await sql<{ name: string }>`select name from model where name = any(${names}::text[]) order by name for update`.execute(transaction);
  const absent = names.find((name) => !rows.some((row) => row.name === name));
  if (absent !== undefined) throw notFound("model", absent);
}
function versionNumber(which: string): number {
  if (!/^[0-9]{1,9}$/.test(which)) throw invalid(`"${which}" is no version number.`);
  return Number(which);
}
const millis = (column: "created_at" | "updated_at") => sql`floor(extract(epoch from ${sql.raw(column)}) * 1000)::float8`;
