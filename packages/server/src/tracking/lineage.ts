/** What runs, logged models and datasets have to do with each other. */
import { sql } from "kysely";
import type { Platform } from "../platform/index.js";

export interface TrackedRun {
  name: string;
  facts: Record<string, unknown>;
  commit: { id: string; repository: string | null; source: string | null } | null;
  parent: string | null;
  datasets: { name: string; digest: string; context: string | null }[];
  modelsRead: string[];
  children: string[];
  modelsMade: string[];
}
export interface TrackedModel {
  name: string;
  facts: Record<string, unknown>;
  run: string | null;
  readBy: string[];
}
export interface TrackedDataset {
  name: string;
  facts: Record<string, unknown>;
  readBy: string[];
}
/** Answers undefined where there is none; of what there may be many, so many at most as are asked for. */
export interface TrackingLineage {
  run(id: string, most: number): Promise<TrackedRun | undefined>;
  model(id: string, most: number): Promise<TrackedModel | undefined>;
  /** By its digest: equal digests are equal contents, in whatever experiment. */
  dataset(digest: string, most: number): Promise<TrackedDataset | undefined>;
}

const iso = (millis: number): string => new Date(millis).toISOString();

export function createTrackingLineage({ db }: Pick<Platform, "db">): TrackingLineage {
  const runsOf = async (model: string, role: "input" | "output", most: number) =>
    (
      await sql<{
        id: string;
      }>`select distinct run_id as id from tracking_run_model where model_id = ${model} and role = ${role} order by 1 limit ${most}`.execute(db)
    ).rows.map(({ id }) => id);
  const modelsOf = async (run: string, role: "input" | "output", most: number) =>
    (
      await sql<{ id: string }>`
        select model_id as id from tracking_run_model where run_id = ${run} and role = ${role}
        ${role === "output" ? sql`union select id from logged_model where source_run_id = ${run} and lifecycle_stage = 'active'` : sql``} order by 1 limit ${most}`.execute(
        db,
      )
    ).rows.map(({ id }) => id);

  return {
    async run(id, most) {
      const { rows } = await sql<{
        name: string;
        experiment: string;
        status: string;
        stage: string;
        user: string;
        start: number;
        tags: Record<string, string>;
      }>`
        select r.name, e.name as experiment, r.status, r.lifecycle_stage as stage, r.user_id as user, r.start_time::float8 as start,
          coalesce((select jsonb_object_agg(key, value) from tracking_tag where run_id = r.id and (key like 'mlflow.source.%' or key = 'mlflow.parentRunId')), '{}') as tags
        from tracking_run r join experiment e on e.id = r.experiment_id where r.id = ${id}`.execute(db);
      const run = rows[0];
      if (run === undefined) return undefined;
      const { rows: datasets } = await sql<TrackedRun["datasets"][number]>`
        select d.name, d.digest, i.tags ->> 'mlflow.data.context' as context from tracking_input i join tracking_dataset d on d.id = i.dataset_id
        where i.run_id = ${id} order by d.id limit ${most}`.execute(db);
      const { rows: children } = await sql<{ id: string }>`
        select r.id from tracking_tag t join tracking_run r on r.id = t.run_id
        where t.key = 'mlflow.parentRunId' and t.value = ${id} and r.lifecycle_stage = 'active' order by r.start_time, r.id limit ${most}`.execute(db);
      const { name, experiment, status, stage, user, start, tags } = run;
      const commit = tags["mlflow.source.git.commit"];
      return {
        name,
        facts: { experiment, status, started: iso(start), user, ...(stage === "deleted" ? { stage } : {}) },
        commit: commit === undefined ? null : { id: commit, repository: tags["mlflow.source.git.repoURL"] ?? null, source: tags["mlflow.source.name"] ?? null },
        parent: tags["mlflow.parentRunId"] ?? null,
        datasets,
        modelsRead: await modelsOf(id, "input", most),
        children: children.map((child) => child.id),
        modelsMade: await modelsOf(id, "output", most),
      };
    },
    async model(id, most) {
      const { rows } = await sql<{ name: string; status: string; stage: string; type: string | null; created: number; run: string | null }>`
        select name, status, lifecycle_stage as stage, model_type as type, creation_time::float8 as created, source_run_id as run from logged_model where id = ${id}`.execute(
        db,
      );
      const model = rows[0];
      if (model === undefined) return undefined;
      const { name, status, stage, type, created, run } = model;
      const [made] = run === null ? await runsOf(id, "output", 1) : [run];
      const facts = { status, type, created: iso(created), ...(stage === "deleted" ? { stage } : {}) };
      return { name, facts, run: made ?? null, readBy: await runsOf(id, "input", most) };
    },
    async dataset(digest, most) {
      const { rows } = await sql<{ name: string; type: string; source: string }>`
        select name, source_type as type, left(source, 500) as source from tracking_dataset where digest = ${digest} order by id limit 1`.execute(db);
      if (rows[0] === undefined) return undefined;
      const { rows: runs } = await sql<{ id: string }>`
        select r.id from tracking_dataset d join tracking_input i on i.dataset_id = d.id join tracking_run r on r.id = i.run_id
        where d.digest = ${digest} and r.lifecycle_stage = 'active' group by r.id, r.start_time order by r.start_time, r.id limit ${most}`.execute(db);
      const { name, type, source } = rows[0];
      return { name, facts: { digest, type, source }, readBy: runs.map(({ id }) => id) };
    },
  };
}
