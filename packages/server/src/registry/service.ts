import type { Model, ModelVersion } from "@millrace/sdk/api";
import type { RegisteredVersion } from "../evaluation/index.js";
import { invalid, notFound, type Platform } from "../platform/index.js";
import {
  findByAlias,
  findByDigest,
  findFrom,
  findModel,
  findVersion,
  insertVersion,
  listModels,
  listVersions,
  lockModel,
  type ModelRow,
  removeAlias,
  type VersionRow,
  writeAlias,
} from "./store.js";
import { createTelling } from "./told.js";
import type { Registry } from "./types.js";

export function createRegistry(platform: Pick<Platform, "db" | "events" | "clock">): Registry {
  const { db, events, clock } = platform;
  const telling = createTelling(events);

  async function requireVersion(model: string, version: number) {
    const row = await findVersion(db, model, version);
    if (row !== undefined) return row;
    if ((await findModel(db, model)) === undefined) throw notFound("model", model);
    throw notFound(`version of the model "${model}"`, String(version));
  }
  async function toModel(row: ModelRow): Promise<Model> {
    const [latest] = await listVersions(db, row.name, 1, 2 ** 31 - 1);
    return { ...row, latest: latest === undefined ? null : toVersion(latest) };
  }

  return {
    models: async () => Promise.all((await listModels(db)).map(toModel)),
    async model(name) {
      const row = await findModel(db, name);
      if (row === undefined) throw notFound("model", name);
      return toModel(row);
    },
    async versions(model, { limit, before }) {
      if ((await findModel(db, model)) === undefined) throw notFound("model", model);
      return (await listVersions(db, model, limit, before ?? 2 ** 31 - 1)).map(toVersion);
    },
    async version(model, version) {
      const row = await requireVersion(model, version);
      return { ...toVersion(row), files: row.files, report: row.report };
    },
    registered: async (model, version) => toRegistered(await requireVersion(model, version)),
    async byAlias(model, alias) {
      const row = await findByAlias(db, model, alias);
      return row === undefined ? undefined : toRegistered(row);
    },
    async byDigest(model, digest) {
      const row = await findByDigest(db, model, digest);
      return row === undefined ? undefined : toRegistered(row);
    },
    register: (given) =>
      db.transaction().execute(async (transaction) => {
        const now = clock.now();
        const { last, made } = await lockModel(transaction, given.model, now);
        if (made) await telling.modelCreated(transaction, given.model, { tags: {}, description: "" });
        // The same run may ask again after a crash.
        const before = await findFrom(transaction, given);
        if (before !== undefined) return { version: before };
        const version = last + 1;
        await insertVersion(transaction, {
          model: given.model,
          version,
          digest: given.digest,
          files: given.files,
          service: given.service,
          run_id: given.runId,
          source: given.source ?? null,
          tracking_run_id: given.trackingRunId,
          metrics: given.metrics,
          gates: given.gates,
          report: given.report,
          created_at: now,
        });
        await events.append(transaction, "model_version.registered", `${given.model}/${version}`, { model: given.model, version, runId: given.runId });
        const source = given.source ?? `mlflow-artifacts:/registry/${given.model}/${version}`;
        await telling.versionCreated(transaction, given.model, version, { prompt: false, source, runId: given.trackingRunId, tags: {}, description: null });
        return { version };
      }),
    setAlias: (model, alias, version, endpoint) =>
      db.transaction().execute(async (transaction) => {
        checkAlias(alias);
        await lockModel(transaction, model, clock.now());
        if ((await findVersion(transaction, model, version)) === undefined) throw notFound(`version of the model "${model}"`, String(version));
        if (await writeAlias(transaction, model, alias, version, clock.now())) {
          await events.append(transaction, "alias.set", model, { model, alias, version, ...(endpoint === undefined ? {} : { endpoint }) });
          await telling.alias(transaction, model, alias, version);
        }
      }),
    deleteAlias: (model, alias) =>
      db.transaction().execute(async (transaction) => {
        const version = await removeAlias(transaction, model, alias);
        if (version === undefined) return;
        await events.append(transaction, "alias.deleted", model, { model, alias, version });
        await telling.alias(transaction, model, alias, undefined);
      }),
  };
}

/** MLflow's clients read `v<number>` and `latest` as something else. */
function checkAlias(alias: string): void {
  if (!/^[\p{L}\p{N}_-]{1,255}$/u.test(alias) || /^v[0-9]+$/i.test(alias) || alias.toLowerCase() === "latest") {
    throw invalid(`"${alias}" can't be an alias: letters, digits, _ and - only, and neither "latest" nor v and a number.`);
  }
}

function toVersion(row: VersionRow): ModelVersion {
  return {
    model: row.model,
    version: row.version,
    digest: row.digest,
    aliases: row.aliases,
    service: row.service,
    runId: row.run_id,
    trackingRunId: row.tracking_run_id,
    metrics: row.metrics,
    gates: row.gates,
    createdAt: row.created_at.toISOString(),
  };
}
function toRegistered(row: VersionRow): RegisteredVersion {
  return { model: row.model, version: row.version, digest: row.digest, service: row.service, runId: row.run_id, files: row.files };
}
