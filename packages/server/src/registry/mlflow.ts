/** MLflow's model registry over the registry's own tables: what a pipeline registers is there for MLflow's clients, and the other way round. */
import { sql, type Transaction } from "kysely";
import {
  attribute,
  attributes,
  checkTags,
  exists,
  invalidValue,
  isDuplicate,
  jsonField,
  key,
  largest,
  orderKeys,
  readPage,
  type Searchable,
  type Sql,
  where,
} from "../mlflow/index.js";
import { ApiError, type Platform } from "../platform/index.js";
import { hold, type Tracking } from "../tracking/index.js";
import type { MlflowModel, MlflowRegistry, MlflowVersion, RegistrySearch } from "./mlflow-types.js";
import { digestOf, noModel, noVersion, readSource, renewFiles, type Source } from "./sources.js";
import { createTelling, promptTag } from "./told.js";
import type { Registry } from "./types.js";

const stages = ["None", "Staging", "Production", "Archived"];
const isPrompt = JSON.stringify({ [promptTag]: "true" });
/** Below it the artifacts of registered versions are shown. */
const shownUnder = "registry";

const millis = (column: Sql): Sql => sql`floor(extract(epoch from ${column}) * 1000)::float8`;
const versionColumns = sql`v.model as name, v.version, ${millis(sql`v.created_at`)} as created, ${millis(sql`v.updated_at`)} as updated, v.user_id, v.stage, v.description,
  case when v.source is null then 'mlflow-artifacts:/' || ${shownUnder} || '/' || v.model || '/' || v.version else v.source end as source,
  v.tracking_run_id as run_id, v.run_link, v.logged_model_id as model_id, v.tags,
  coalesce((select array_agg(a.alias order by a.alias) from model_alias a where a.model = v.model and a.version = v.version), '{}') as aliases`;
const modelColumns = sql`m.name, m.description, ${millis(sql`m.created_at`)} as created, ${millis(sql`m.updated_at`)} as updated, m.tags,
  coalesce((select json_agg(json_build_object('alias', a.alias, 'version', a.version::text) order by a.alias) from model_alias a where a.model = m.name), '[]') as aliases,
  coalesce((select json_agg(l order by l.version) from (
    select distinct on (v.stage) ${versionColumns} from model_version v where v.model = m.name order by v.stage, v.version desc) l), '[]') as latest`;

const modelAttributes = attributes(
  {
    name: attribute(sql`m.name`, "text"),
    creation_timestamp: attribute(sql`m.created_at`, "time"),
    last_updated_timestamp: attribute(sql`m.updated_at`, "time"),
  },
  { timestamp: "last_updated_timestamp" },
);
const models: Searchable = { fields: { attributes: modelAttributes.of, tags: (name) => jsonField(sql`m.tags`, name) }, attributes: modelAttributes.names };
const versionAttributes = attributes(
  {
    name: attribute(sql`v.model`, "text"),
    version_number: attribute(sql`v.version`, "integer"),
    run_id: attribute(sql`coalesce(v.tracking_run_id, '')`, "text"),
    source_path: attribute(sql`v.source`, "text", true),
    current_stage: attribute(sql`v.stage`, "text"),
    model_id: attribute(sql`v.logged_model_id`, "text", true),
    creation_timestamp: attribute(sql`v.created_at`, "time"),
    last_updated_timestamp: attribute(sql`v.updated_at`, "time"),
  },
  { version: "version_number", source: "source_path" },
);
const versions: Searchable = {
  fields: { attributes: versionAttributes.of, tags: (name) => jsonField(sql`v.tags`, name) },
  attributes: versionAttributes.names,
};

type Db = Platform["db"] | Transaction<unknown>;

export function createMlflowRegistry(
  { db, events, clock, objects }: Pick<Platform, "db" | "events" | "clock" | "objects">,
  { registry, tracking }: { registry: Registry; tracking: Tracking },
): MlflowRegistry {
  const now = () => clock.now();
  const telling = createTelling(events);
  tracking.artifacts.mount(shownUnder, async ([name = "", version = "", ...below]) => {
    if (!/^[0-9]{1,9}$/.test(version)) return undefined;
    // Clients write a name as it is in one address and encoded in another.
    for (const model of new Set([name, decoded(name)])) {
      const { rows } = await sql<{ files: Source["files"] }>`select files from model_version where model = ${model} and version = ${Number(version)}`.execute(
        db,
      );
      if (rows[0] !== undefined) return { below, files: rows[0].files };
    }
    return undefined;
  });

  async function findModel(name: string, from: Db = db): Promise<MlflowModel> {
    const { rows } = await sql<MlflowModel>`select ${modelColumns} from model m where m.name = ${name}`.execute(from);
    if (rows[0] === undefined) throw noModel(name);
    return rows[0];
  }
  /** Locked, it gets no version and no alias until the transaction ends. */
  async function mustExist(name: string, from: Db = db, lock?: "for update"): Promise<void> {
    const { rows } = await sql`select 1 from model where name = ${name} ${lock === undefined ? sql`` : sql`for update`}`.execute(from);
    if (rows.length === 0) throw noModel(name);
  }
  async function findVersions(condition: Sql, order: Sql, from: Db = db): Promise<MlflowVersion[]> {
    const { rows } = await sql<MlflowVersion>`select ${versionColumns} from model_version v where ${condition} order by ${order}`.execute(from);
    return rows;
  }
  async function findVersion(name: string, version: number, from: Db = db): Promise<MlflowVersion> {
    const [found] = await findVersions(sql`v.model = ${name} and v.version = ${version}`, sql`v.version`, from);
    if (found !== undefined) return found;
    await mustExist(name, from);
    throw noVersion(name, version);
  }
  const newestOfStage = (name: string, of: string[]) =>
    findVersions(
      sql`(v.model, v.version) in (select model, max(version) from model_version where model = ${name} and stage = any(${of}::text[]) group by model, stage)`,
      sql`v.version`,
    );
  async function versionByAlias(name: string, alias: string): Promise<MlflowVersion> {
    const [found] = await findVersions(
      sql`(v.model, v.version) in (select model, version from model_alias where model = ${name} and alias = ${alias})`,
      sql`v.version`,
    );
    if (found !== undefined) return found;
    await mustExist(name);
    // No version can be given this alias: it is whichever is newest.
    const [newest] = alias.toLowerCase() === "latest" ? (await newestOfStage(name, stages)).slice(-1) : [];
    if (newest !== undefined) return newest;
    throw invalidValue(`Registered model alias ${alias} not found.`);
  }
  /** A version by what an address names it: its number, `@` and an alias, a stage, or `latest`. */
  async function registered(name: string, which: string) {
    const found = which.startsWith("@")
      ? await versionByAlias(name, which.slice(1))
      : /^[0-9]{1,9}$/.test(which)
        ? await findVersion(name, Number(which))
        : (await newestOfStage(name, which.toLowerCase() === "latest" ? stages : [stageOf(which)])).at(-1);
    if (found === undefined) throw invalidValue(`The model ${name} has no version "${which}".`);
    const { files } = await registry.registered(name, found.version);
    return { ...found, files };
  }

  return {
    async createModel(name, { description, tags }) {
      checkName(name);
      checkTags(tags, largest.registryTag);
      return db.transaction().execute(async (transaction) => {
        const { rows } = await sql`
          insert into model (name, description, tags, created_at, updated_at) values (${name}, ${description ?? null}, ${jsonOf(tags)}, ${now()}, ${now()})
          on conflict do nothing returning name`.execute(transaction);
        if (rows.length === 0) throw exists(`Registered Model (name=${name}) already exists.`);
        await telling.modelCreated(transaction, name, { tags: recordOf(tags), description: description ?? "" });
        return findModel(name, transaction);
      });
    },
    model: (name) => findModel(name),
    searchModels: ({ filter, orderBy, limit, token }: RegistrySearch) => {
      const keys = [...orderKeys(orderBy, models), key("m.name", attribute(sql`m.name`, "text"))];
      const { searchable, asked } = withPrompts(models, sql`m.tags`);
      const wanted = where(filter, searchable);
      const condition = asked() ? wanted : sql`${wanted} and not m.tags @> ${isPrompt}::jsonb`;
      return readPage(keys, { limit, token, search: [filter, orderBy] }, async (page) => {
        const { rows } = await sql<MlflowModel & { position: (string | null)[] }>`
          select ${modelColumns}, ${page.position} as position from model m where ${condition} and ${page.where} order by ${page.orderBy} limit ${page.limit}`.execute(
          db,
        );
        return rows;
      });
    },
    async updateModel(name, change) {
      if ("name" in change) return rename(name, change.name);
      const set = changed(change);
      return db.transaction().execute(async (transaction) => {
        const { rows } = await sql`update model set ${set}, updated_at = ${now()} where name = ${name} returning name`.execute(transaction);
        if (rows.length === 0) throw noModel(name);
        if ("tag" in change) await telling.modelTag(transaction, name, change.tag.key, change.tag.value);
        if ("removeTag" in change) await telling.modelTag(transaction, name, change.removeTag, undefined);
        return findModel(name, transaction);
      });
    },
    async deleteModel(name) {
      await db.transaction().execute(async (transaction) => {
        await mustExist(name, transaction, "for update");
        await mustBeFree(transaction, sql`model = ${name}`, name);
        for (const { alias, version } of (await findModel(name, transaction)).aliases) {
          await events.append(transaction, "alias.deleted", name, { model: name, alias, version: Number(version) });
        }
        await sql`delete from model where name = ${name}`.execute(transaction);
      });
    },

    async createVersion({ name, source, runId, runLink, description, modelId, userId, tags }) {
      checkTags(tags, largest.registryTag);
      const model = await findModel(name);
      const prompt = model.tags[promptTag] === "true" || tags.some((tag) => tag.key === promptTag && tag.value === "true");
      const read: Source = prompt ? { files: [] } : await readSource(source, tracking, registered);
      // Who says that a run made these files names one that is there. Of a copy of a version, and of files elsewhere, the run may be of another server.
      if (runId !== undefined && source.startsWith("mlflow-artifacts:")) await mustKnowRun(tracking, runId, source);
      const loggedModel = modelId ?? read.modelId;
      const run = runId ?? read.runId ?? (modelId === undefined ? undefined : ((await tracking.model(modelId)).source_run_id ?? undefined));
      await renewFiles(objects, read.files);
      const version = await db.transaction().execute(async (transaction) => {
        await hold(transaction, { run, model: loggedModel });
        const at = now();
        const { rows } = await sql<{ version: number }>`
          update model set last_version = last_version + 1, updated_at = ${at} where name = ${name} returning last_version as version`.execute(transaction);
        if (rows[0] === undefined) throw noModel(name);
        const { version } = rows[0];
        await sql`
          insert into model_version (model, version, digest, files, tracking_run_id, source, description, tags, metrics, gates, created_at, updated_at, user_id, run_link, logged_model_id)
          values (${name}, ${version}, ${digestOf(read.files)}, ${JSON.stringify(read.files)}::jsonb, ${run ?? null}, ${source}, ${description ?? null}, ${jsonOf(tags)}, '{}', '[]',
            ${at}, ${at}, ${userId}, ${runLink ?? null}, ${loggedModel ?? null})`.execute(transaction);
        if (!prompt) await events.append(transaction, "model_version.registered", `${name}/${version}`, { model: name, version, runId: null });
        await telling.versionCreated(transaction, name, version, {
          prompt,
          source,
          runId: run ?? null,
          tags: recordOf(tags),
          description: description || null,
        });
        return version;
      });
      if (loggedModel !== undefined && !prompt) await noteRegistration(tracking, loggedModel, name, version);
      return findVersion(name, version);
    },
    version: (name, version) => findVersion(name, version),
    versionByAlias,
    async latestVersions(name, of) {
      await mustExist(name);
      return newestOfStage(name, of.length === 0 ? stages : of.map(stageOf));
    },
    searchVersions: ({ filter, orderBy, limit, token }: RegistrySearch) => {
      const given = orderKeys(orderBy, versions);
      const keys = [
        ...(given.length === 0 ? [key("updated", attribute(sql`v.updated_at`, "time"), true)] : given),
        key("v.model", attribute(sql`v.model`, "text")),
        key("v.version", attribute(sql`v.version`, "integer"), true),
      ];
      const { searchable, asked } = withPrompts(versions, sql`(select tags from model where name = v.model)`);
      const wanted = where(filter, searchable);
      const condition = asked() ? wanted : sql`${wanted} and not exists (select 1 from model m where m.name = v.model and m.tags @> ${isPrompt}::jsonb)`;
      return readPage(keys, { limit, token, search: [filter, orderBy] }, async (page) => {
        const { rows } = await sql<MlflowVersion & { position: (string | null)[] }>`
          select ${versionColumns}, ${page.position} as position from model_version v where ${condition} and ${page.where} order by ${page.orderBy} limit ${page.limit}`.execute(
          db,
        );
        return rows;
      });
    },
    async updateVersion(name, version, change) {
      const stage = "stage" in change ? stageOf(change.stage) : undefined;
      await db.transaction().execute(async (transaction) => {
        const at = now();
        if ("stage" in change && change.archiveOthers) {
          if (stage !== "Staging" && stage !== "Production")
            throw invalidValue(
              `Model version transition cannot archive existing model versions because '${stage}' is not an Active stage. Valid stages are Staging and Production.`,
            );
          await sql`update model_version set stage = 'Archived', updated_at = ${at} where model = ${name} and stage = ${stage} and version <> ${version}`.execute(
            transaction,
          );
        }
        const set = "stage" in change ? sql`stage = ${stage ?? "None"}` : changed(change);
        const { rows } =
          await sql`update model_version set ${set}, updated_at = ${at} where model = ${name} and version = ${version} returning version`.execute(transaction);
        if (rows.length === 0) {
          await mustExist(name, transaction);
          throw noVersion(name, version);
        }
        if ("tag" in change) await telling.versionTag(transaction, name, version, change.tag.key, change.tag.value);
        if ("removeTag" in change) await telling.versionTag(transaction, name, version, change.removeTag, undefined);
      });
      return findVersion(name, version);
    },
    async deleteVersion(name, version) {
      await db.transaction().execute(async (transaction) => {
        await mustExist(name, transaction, "for update");
        const { aliases } = await findVersion(name, version, transaction);
        await mustBeFree(transaction, sql`model = ${name} and version = ${version}`, `${name}/${version}`);
        for (const alias of aliases) await events.append(transaction, "alias.deleted", name, { model: name, alias, version });
        await sql`delete from model_version where model = ${name} and version = ${version}`.execute(transaction);
        await sql`update model set updated_at = ${now()} where name = ${name}`.execute(transaction);
      });
    },
    async downloadUri(name, version) {
      const { files } = await registered(name, String(version));
      const { source } = await findVersion(name, version);
      return files.length > 0 ? `mlflow-artifacts:/${shownUnder}/${encodeURIComponent(name)}/${version}` : (source ?? "");
    },
    async setAlias(name, alias, version) {
      await findVersion(name, version);
      await registry.setAlias(name, alias, version);
    },
    async deleteAlias(name, alias) {
      await mustExist(name);
      await registry.deleteAlias(name, alias);
    },
  };

  async function rename(name: string, to: string): Promise<MlflowModel> {
    checkName(to);
    try {
      await db.transaction().execute(async (transaction) => {
        await mustExist(name, transaction, "for update");
        // What a project defines names its models.
        await mustBeFree(transaction, sql`model = ${name}`, name);
        await sql`update model set name = ${to}, updated_at = ${now()} where name = ${name}`.execute(transaction);
        await sql`update model_version set updated_at = ${now()} where model = ${to}`.execute(transaction);
        for (const { alias, version } of (await findModel(to, transaction)).aliases) {
          await events.append(transaction, "alias.deleted", name, { model: name, alias, version: Number(version) });
          await events.append(transaction, "alias.set", to, { model: to, alias, version: Number(version) });
        }
      });
    } catch (error) {
      if (isDuplicate(error)) throw exists(`Registered Model (name=${to}) already exists.`);
      throw error;
    }
    return findModel(to);
  }
}

/** What a pipeline registered is part of the record: predictions, endpoints and lineage refer to it. */
async function mustBeFree(transaction: Transaction<unknown>, condition: Sql, what: string): Promise<void> {
  const { rows } = await sql`select 1 from model_version where ${condition} and run_id is not null limit 1`.execute(transaction);
  if (rows.length > 0) throw invalidValue(`${what} was registered by a pipeline and is part of its record: it can be neither deleted nor renamed.`);
}

async function mustKnowRun(tracking: Pick<Tracking, "runInfo">, id: string, source: string): Promise<void> {
  await tracking.runInfo(id).catch((error: unknown) => {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    throw invalidValue(
      `Invalid model version source: '${source}'. The run_id request parameter must identify a run: there is none with id ${id.slice(0, 100)}.`,
    );
  });
}

/** As MLflow tells a logged model of the versions made from it. */
async function noteRegistration(tracking: Tracking, id: string, name: string, version: number): Promise<void> {
  const { tags } = await tracking.model(id);
  const before: unknown = JSON.parse(tags["mlflow.modelVersions"] ?? "[]");
  const value = JSON.stringify([...(Array.isArray(before) ? before : []), { name, version }]);
  if (value.length <= largest.tag) await tracking.updateModel(id, { tags: [{ key: "mlflow.modelVersions", value }] });
}

function changed(change: { description: string } | { tag: { key: string; value: string } } | { removeTag: string }): Sql {
  if ("description" in change) return sql`description = ${change.description}`;
  if ("removeTag" in change) return sql`tags = tags - ${change.removeTag}::text`;
  checkTags([change.tag], largest.registryTag);
  return sql`tags = tags || ${jsonOf([change.tag])}`;
}
const recordOf = (tags: { key: string; value: string }[]): Record<string, string> => Object.fromEntries(tags.map((tag) => [tag.key, tag.value]));
const jsonOf = (tags: { key: string; value: string }[]): Sql => sql`${JSON.stringify(recordOf(tags))}::jsonb`;

/** Prompts lie in the registry too: they are shown only to who asks for them by their tag, which models have not. */
function withPrompts(of: Searchable, tags: Sql): { searchable: Searchable; asked: () => boolean } {
  let asked = false;
  const field = (name: string) => {
    if (name !== promptTag) return of.fields.tags?.(name);
    asked = true;
    return attribute(sql`coalesce(${tags} ->> ${promptTag}::text, 'false')`, "text");
  };
  return { searchable: { ...of, fields: { ...of.fields, tags: field } }, asked: () => asked };
}

function checkName(name: string): void {
  if (name.trim() === "" || name.length > 256 || /[/:]/.test(name) || name === "." || name === "..")
    throw invalidValue(`Invalid model name '${name.slice(0, 300)}'. Names have 1 to 256 characters and cannot contain '/' or ':'.`);
}
function stageOf(told: string): string {
  const stage = stages.find((one) => one.toLowerCase() === told.toLowerCase());
  if (stage === undefined) throw invalidValue(`Invalid Model Version stage: ${told}. Value must be one of ${stages.join(", ")}.`);
  return stage;
}
function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
