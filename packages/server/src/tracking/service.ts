import { randomBytes } from "node:crypto";
import { type RawBuilder, sql, type Transaction } from "kysely";
import type { Access } from "../access/index.js";
import type { Platform } from "../platform/index.js";
import { exists, invalidValue, missing, wrongState } from "./errors.js";
import { order, where } from "./search.js";
import { experimentSearch, findExperiments, findRuns, insertMetrics, insertParams, readHistory, runSearch, upsertTags } from "./store.js";
import type { KeyValue, Metric, TrackedRun, Tracking, View } from "./types.js";

const largest = { key: 250, param: 6_000, tag: 8_000, metrics: 1_000, params: 100, tags: 100 };
/** A pipeline's step has this long to log to its run. */
const tokenMs = 48 * 3_600_000;
const statuses = ["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"];

export function createTracking(platform: Pick<Platform, "db" | "clock" | "address">, { access }: { access: Pick<Access, "issueToken"> }): Tracking {
  const { db, clock } = platform;
  const now = () => clock.now().getTime();
  const ofView = (view: View, stage: RawBuilder<unknown>) => (view === "ALL" ? sql`true` : sql`${stage} = ${view === "DELETED_ONLY" ? "deleted" : "active"}`);

  const experiment: Tracking["experiment"] = async (by) => {
    const condition = "id" in by ? sql`e.id = ${idNumber(by.id)}` : sql`e.name = ${by.name}`;
    const [found] = await findExperiments(db, condition, sql`e.id`, 1, 0);
    if (found === undefined) throw missing("id" in by ? `No Experiment with id=${by.id} exists` : `Could not find experiment with name '${by.name}'`);
    return found;
  };
  const run = async (id: string): Promise<TrackedRun> => {
    const [found] = await findRuns(db, sql`r.id = ${id}`, sql`r.id`, 1, 0);
    if (found === undefined) throw missing(`Run with id=${id} not found`);
    return found;
  };
  /** Holds the run against its removal for the length of the transaction. */
  async function mustBeActive(transaction: Transaction<unknown>, id: string): Promise<void> {
    const { rows } = await sql<{ lifecycle_stage: string }>`select lifecycle_stage from tracking_run where id = ${id} for share`.execute(transaction);
    if (rows[0] === undefined) throw missing(`Run with id=${id} not found`);
    if (rows[0].lifecycle_stage !== "active") throw invalidValue(`The run ${id} must be in the 'active' state. Current state is deleted.`);
  }

  const createExperiment: Tracking["createExperiment"] = async (name, { artifactLocation, tags = [] }) => {
    if (name.trim() === "") throw invalidValue("Invalid experiment name: it is empty.");
    if (name.length > 500) throw invalidValue("An experiment's name has at most 500 characters.");
    if (artifactLocation !== undefined && !artifactLocation.startsWith("mlflow-artifacts:/")) {
      throw invalidValue(`"${artifactLocation}" can't be an artifact location: leave it out, and the server keeps the artifacts.`);
    }
    checkKeyValues(tags, largest.tag, "tag");
    const { rows } = await sql<{ id: string }>`
      with next as (select nextval(pg_get_serial_sequence('experiment', 'id')) as id)
      insert into experiment (id, name, artifact_location, creation_time, last_update_time, tags)
      select id, ${name}, coalesce(${artifactLocation ?? null}, 'mlflow-artifacts:/' || id), ${now()}, ${now()},
        ${JSON.stringify(Object.fromEntries(tags.map(({ key, value }) => [key, value])))}::jsonb from next
      on conflict (name) do nothing returning id::text`.execute(db);
    if (rows[0] === undefined) throw exists(`Experiment '${name}' already exists.`);
    return rows[0].id;
  };

  const log: Tracking["log"] = async (runId, { metrics = [], params = [], tags = [] }) => {
    for (const { key } of metrics) checkKey(key, "metric");
    checkKeyValues(params, largest.param, "param");
    checkKeyValues(tags, largest.tag, "tag");
    if (metrics.length > largest.metrics) throw invalidValue(`A batch has at most ${largest.metrics} metrics, not ${metrics.length}.`);
    if (params.length > largest.params) throw invalidValue(`A batch has at most ${largest.params} params, not ${params.length}.`);
    if (tags.length > largest.tags) throw invalidValue(`A batch has at most ${largest.tags} tags, not ${tags.length}.`);
    const twice = params.find(({ key, value }) => params.some((other) => other.key === key && other.value !== value));
    if (twice !== undefined) throw invalidValue(`The batch has two values of the param '${twice.key}'.`);
    await db.transaction().execute(async (transaction) => {
      await mustBeActive(transaction, runId);
      const [other] = await insertParams(transaction, runId, params);
      if (other !== undefined) {
        const wanted = params.find((p) => p.key === other.key)?.value;
        throw invalidValue(
          `Changing param values is not allowed. Param with key='${other.key}' was already logged with value='${other.value}' for run ID='${runId}'. Attempted logging new value '${wanted}'.`,
        );
      }
      await upsertTags(transaction, runId, tags);
      const name = tags.find((tag) => tag.key === "mlflow.runName");
      if (name !== undefined) await sql`update tracking_run set name = ${name.value} where id = ${runId}`.execute(transaction);
      await insertMetrics(transaction, runId, metrics);
    });
  };

  const createRun: Tracking["createRun"] = async ({ experimentId, name, userId, startTime, tags }) => {
    const { lifecycle_stage: stage } = await experiment({ id: experimentId });
    if (stage !== "active") throw invalidValue(`The experiment ${experimentId} must be in the 'active' state. Current state is deleted.`);
    checkKeyValues(tags, largest.tag, "tag");
    const id = randomBytes(16).toString("hex");
    const named = name ?? tags.find((tag) => tag.key === "mlflow.runName")?.value ?? `run-${id.slice(0, 8)}`;
    await db.transaction().execute(async (transaction) => {
      await sql`
        insert into tracking_run (id, experiment_id, name, user_id, status, start_time)
        values (${id}, ${idNumber(experimentId)}, ${named}, ${userId ?? ""}, 'RUNNING', ${startTime ?? now()})`.execute(transaction);
      await upsertTags(transaction, id, [...tags.filter((tag) => tag.key !== "mlflow.runName"), { key: "mlflow.runName", value: named }]);
    });
    return run(id);
  };

  const updateRun: Tracking["updateRun"] = async (id, { status, endTime, name, stage }) => {
    if (status !== undefined && !statuses.includes(status)) throw invalidValue(`"${status}" is no status: ${statuses.join(", ")}.`);
    await db.transaction().execute(async (transaction) => {
      if (stage === undefined) await mustBeActive(transaction, id);
      const { rows } = await sql`
        update tracking_run set status = coalesce(${status ?? null}, status), end_time = coalesce(${endTime ?? null}, end_time), name = coalesce(${name ?? null}, name),
          lifecycle_stage = coalesce(${stage ?? null}, lifecycle_stage) where id = ${id} returning id`.execute(transaction);
      if (rows.length === 0) throw missing(`Run with id=${id} not found`);
      if (name !== undefined) await upsertTags(transaction, id, [{ key: "mlflow.runName", value: name }]);
    });
    return run(id);
  };

  async function experimentNamed(name: string): Promise<string> {
    try {
      const found = await experiment({ name });
      if (found.lifecycle_stage === "deleted") await sql`update experiment set lifecycle_stage = 'active' where id = ${idNumber(found.id)}`.execute(db);
      return found.id;
    } catch {
      // Another run of the pipeline may make it at the same moment.
      return createExperiment(name, {}).catch(async () => (await experiment({ name })).id);
    }
  }

  return {
    createExperiment,
    experiment,
    searchExperiments: ({ filter, orderBy, view, limit, offset }) =>
      findExperiments(
        db,
        sql`${ofView(view, sql`e.lifecycle_stage`)} and ${where(filter, experimentSearch)}`,
        order(orderBy, experimentSearch, sql`e.creation_time desc, e.id desc`),
        limit,
        offset,
      ),
    async updateExperiment(id, { name, stage, tag, removeTag }) {
      const found = await experiment({ id });
      if (tag !== undefined) checkKeyValues([tag], largest.tag, "tag");
      if (name !== undefined && found.lifecycle_stage !== "active") throw invalidValue("Cannot rename a non-active experiment.");
      if (name !== undefined && name !== found.name && (await findExperiments(db, sql`e.name = ${name}`, sql`e.id`, 1, 0)).length > 0) {
        throw exists(`Experiment '${name}' already exists.`);
      }
      await sql`
        update experiment set name = coalesce(${name ?? null}, name), lifecycle_stage = coalesce(${stage ?? null}, lifecycle_stage), last_update_time = ${now()},
          tags = (tags || ${JSON.stringify(tag === undefined ? {} : { [tag.key]: tag.value })}::jsonb) - ${removeTag ?? ""}::text where id = ${idNumber(id)}`.execute(
        db,
      );
    },
    createRun,
    run,
    searchRuns: (experiments, { filter, orderBy, view, limit, offset }) =>
      findRuns(
        db,
        sql`r.experiment_id = any(${experiments.map(idNumber)}::bigint[]) and ${ofView(view, sql`r.lifecycle_stage`)} and ${where(filter, runSearch)}`,
        order(orderBy, runSearch, sql`r.start_time desc, r.id`),
        limit,
        offset,
      ),
    updateRun,
    log,
    async deleteTag(runId, key) {
      const { rows } = await sql`delete from tracking_tag where run_id = ${runId} and key = ${key} returning key`.execute(db);
      if (rows.length === 0) throw missing(`No tag with name: ${key} in run with id ${runId}`);
    },
    async history(runId, key, { limit, offset }) {
      await run(runId);
      return readHistory(db, runId, key, limit, offset);
    },
    runTracker: {
      async begin({ experiment: name, runName, tags }) {
        const experimentId = await experimentNamed(name);
        const list = Object.entries(tags).map(([key, value]) => ({ key, value: value.slice(0, largest.tag) }));
        return { runId: (await createRun({ experimentId, name: runName, userId: "millrace", tags: list })).id };
      },
      async end(runId, status) {
        await updateRun(runId, { status, endTime: now() });
      },
      logParams: (runId, params) => log(runId, { params: Object.entries(params).map(([key, value]) => ({ key, value: value.slice(0, largest.param) })) }),
      logMetrics: (runId, metrics) =>
        log(runId, { metrics: Object.entries(metrics).map(([key, value]): Metric => ({ key, value, timestamp: now(), step: 0 })) }),
      environment(runId) {
        const { url } = platform.address;
        if (url === undefined) throw wrongState("The server has no address yet.");
        return {
          MLFLOW_TRACKING_URI: url,
          MLFLOW_RUN_ID: runId,
          // The addresses that it would print are those of MLflow's own pages.
          MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT: "true",
          MLFLOW_TRACKING_TOKEN: access.issueToken(`run ${runId}`, ["tracking:*", "models:*"], tokenMs),
        };
      },
    },
  };
}

function idNumber(id: string): number {
  if (!/^[0-9]{1,15}$/.test(id)) throw missing(`No Experiment with id=${id} exists`);
  return Number(id);
}
function checkKey(key: string, what: string): void {
  const segments = key.split("/");
  const bad = !/^[/\w.\- :]+$/u.test(key) || key.startsWith("/") || segments.includes("..") || segments.includes(".") || segments.includes("");
  if (key.length > largest.key || bad) {
    throw invalidValue(
      `Invalid ${what} name: '${key.slice(0, 300)}'. Names may only contain alphanumerics, underscores, dashes, periods, spaces, colons and slashes, and at most ${largest.key} characters.`,
    );
  }
}
function checkKeyValues(list: KeyValue[], most: number, what: string): void {
  for (const { key, value } of list) {
    checkKey(key, what);
    if (value.length > most) throw invalidValue(`The value of the ${what} '${key}' has ${value.length} characters; at most ${most} are kept.`);
  }
}
