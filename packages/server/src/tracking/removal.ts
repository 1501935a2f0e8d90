/** Real deletion: what was deleted a while ago goes, with all its rows and the names of its files. What live things refer to stays. */
import { type RawBuilder, sql, type Transaction } from "kysely";
import type { Platform, References } from "../platform/index.js";
import { artifactPath } from "./artifacts.js";

export interface Removed {
  experiments: number;
  runs: number;
  loggedModels: number;
  /** Of the runs. */
  points: number;
  /** Names of files; other names may stand for the same bytes. */
  artifacts: number;
  artifactBytes: number;
}
export interface Kept {
  /** They hold what is referred to. Their names are free all the same. */
  experiments: number;
  /** Live versions, runs or pipelines refer to them. */
  runs: number;
  loggedModels: number;
}
export interface Removal {
  /** Adds to `removed` and `kept` as it goes; cut off anywhere, it can be repeated. A dry run only counts. */
  remove(options: {
    /** By the platform's clock. */
    deletedBefore: Date;
    dryRun: boolean;
    signal: AbortSignal;
    removed: Removed;
    kept: Kept;
    /** All that there are, of every capability. */
    references: readonly References[];
  }): Promise<void>;
}
type Options = Parameters<Removal["remove"]>[0];
type Tx = Transaction<unknown>;

const batch = 200;
const pointsAtOnce = 20_000;

export function createRemoval({ db, events }: Pick<Platform, "db" | "events">): Removal {
  const inTransaction = <T>(work: (transaction: Tx) => Promise<T>): Promise<T> => db.transaction().execute(work);

  /** One batch after the other, by id, until there is no more. `one` answers the last id that it looked at. */
  async function batches(signal: AbortSignal, one: (transaction: Tx, after: string) => Promise<string | undefined>): Promise<void> {
    for (let after: string | undefined = ""; after !== undefined; ) {
      signal.throwIfAborted();
      const from: string = after;
      after = await inTransaction((transaction) => one(transaction, from));
    }
  }

  /** Points of runs that are gone, also of those that an earlier removal left. */
  async function removePoints({ signal, removed }: Options): Promise<void> {
    for (;;) {
      const { rows: runs } = await sql<{ id: string }>`select id from freed_run limit ${batch}`.execute(db);
      if (runs.length === 0) return;
      const ids = runs.map(({ id }) => id);
      for (const [name, table] of Object.entries({ points: sql`tracking_metric`, latest: sql`tracking_latest_metric` })) {
        for (let found = pointsAtOnce; found === pointsAtOnce; ) {
          signal.throwIfAborted();
          const { numAffectedRows } = await sql`
            delete from ${table} where ctid = any(array(select ctid from ${table} where run_id = any(${ids}::text[]) limit ${pointsAtOnce}))`.execute(db);
          found = Number(numAffectedRows ?? 0);
          if (name === "points") removed.points += found;
        }
      }
      await sql`delete from freed_run where id = any(${ids}::text[])`.execute(db);
    }
  }

  async function removeRuns({ deletedBefore, dryRun, signal, removed, kept, references }: Options): Promise<void> {
    await batches(signal, async (transaction, after) => {
      const { rows } = await sql<{ id: string; location: string }>`
        select r.id, e.artifact_location || '/' || r.id as location from tracking_run r join experiment e on e.id = r.experiment_id
        where r.lifecycle_stage = 'deleted' and coalesce(r.deleted_time, r.end_time, r.start_time) < ${deletedBefore.getTime()} and r.id > ${after}
        order by r.id limit ${batch} ${dryRun ? sql`` : sql`for update of r`}`.execute(transaction);
      const held = await referredTo(
        transaction,
        references.map((of) => of.trackingRuns),
        rows,
      );
      const going = rows.filter(({ id }) => !held.has(id));
      const ids = going.map(({ id }) => id);
      kept.runs += held.size;
      removed.runs += ids.length;
      await removeFiles(
        transaction,
        going.map(({ location }) => location),
        { dryRun, removed },
      );
      if (dryRun) {
        const { rows: counted } = await sql<{ points: number }>`
          select count(*)::float8 as points from tracking_metric where run_id = any(${ids}::text[])`.execute(transaction);
        removed.points += counted[0]?.points ?? 0;
      } else if (ids.length > 0) {
        await sql`insert into freed_run select unnest(${ids}::text[]) on conflict do nothing`.execute(transaction);
        await sql`delete from tracking_run where id = any(${ids}::text[])`.execute(transaction);
        await events.append(transaction, "gc.freed", "run", { ids });
      }
      return rows.length < batch ? undefined : rows.at(-1)?.id;
    });
  }

  async function removeModels({ deletedBefore, dryRun, signal, removed, kept, references }: Options): Promise<void> {
    await batches(signal, async (transaction, after) => {
      // Those of a deleted experiment go with it.
      const { rows } = await sql<{ id: string; location: string }>`
        select m.id, m.artifact_location as location from logged_model m
        where m.id > ${after} and (
          (m.lifecycle_stage = 'deleted' and m.last_update_time < ${deletedBefore.getTime()})
          or m.experiment_id in (select id from experiment e where ${isDeleted(deletedBefore)}))
        order by m.id limit ${batch} ${dryRun ? sql`` : sql`for update of m`}`.execute(transaction);
      const held = await referredTo(
        transaction,
        references.map((of) => of.loggedModels),
        rows,
      );
      const going = rows.filter(({ id }) => !held.has(id));
      const ids = going.map(({ id }) => id);
      kept.loggedModels += held.size;
      removed.loggedModels += ids.length;
      await removeFiles(
        transaction,
        going.map(({ location }) => location),
        { dryRun, removed },
      );
      if (!dryRun && ids.length > 0) {
        await sql`delete from tracking_run_model where model_id = any(${ids}::text[])`.execute(transaction);
        await sql`delete from logged_model where id = any(${ids}::text[])`.execute(transaction);
        await events.append(transaction, "gc.freed", "logged_model", { ids });
      }
      return rows.length < batch ? undefined : rows.at(-1)?.id;
    });
  }

  /** What is left of them once their runs and models are gone. */
  async function removeExperiments({ deletedBefore, dryRun, signal, removed, kept }: Options): Promise<void> {
    const { rows: deleted } = await sql<{ id: string }>`select e.id::text from experiment e where ${isDeleted(deletedBefore)} order by e.id`.execute(db);
    if (dryRun) {
      removed.experiments += deleted.length;
      return;
    }
    for (const { id } of deleted) {
      signal.throwIfAborted();
      await inTransaction(async (transaction) => {
        const { rows } = await sql<{ location: string }>`
          select e.artifact_location as location from experiment e where e.id = ${id}::bigint and ${isDeleted(deletedBefore)} for update`.execute(transaction);
        if (rows[0] === undefined) return;
        const { rows: used } = await sql`
          select 1 from tracking_run where experiment_id = ${id}::bigint union all select 1 from logged_model where experiment_id = ${id}::bigint limit 1`.execute(
          transaction,
        );
        if (used.length > 0) {
          kept.experiments++;
          await sql`
            update experiment set name = left(name, 450) || ${` (deleted, ${id})`} where id = ${id}::bigint and name not like ${`% (deleted, ${id})`}`.execute(
            transaction,
          );
          return;
        }
        removed.experiments++;
        await removeFiles(transaction, [rows[0].location], { dryRun, removed }, id);
        await sql`delete from tracking_dataset where experiment_id = ${id}::bigint`.execute(transaction);
        await sql`delete from experiment where id = ${id}::bigint`.execute(transaction);
        await events.append(transaction, "gc.freed", "experiment", { ids: [id] });
      });
    }
  }

  /** Datasets that no run read any more. */
  async function removeDatasets({ dryRun, signal }: Options): Promise<void> {
    if (dryRun) return;
    await batches(signal, async (transaction, after) => {
      // Locked first and looked at after that: whoever logs an input of one locks it too.
      const { rows } = await sql<{ id: string }>`
        select d.id::text from tracking_dataset d
        where d.id > ${after === "" ? "0" : after}::bigint and not exists (select 1 from tracking_input i where i.dataset_id = d.id)
        order by d.id limit ${batch} for update`.execute(transaction);
      await sql`
        delete from tracking_dataset d
        where d.id = any(${rows.map(({ id }) => id)}::bigint[]) and not exists (select 1 from tracking_input i where i.dataset_id = d.id)`.execute(transaction);
      return rows.length < batch ? undefined : rows.at(-1)?.id;
    });
  }

  return {
    async remove(options) {
      if (!options.dryRun) await removePoints(options);
      await removeRuns(options);
      if (!options.dryRun) await removePoints(options);
      await removeModels(options);
      await removeExperiments(options);
      await removeDatasets(options);
    },
  };
}

/** Keeps a run and a logged model from being removed until the transaction ends, by which something refers to them. They need not exist. */
export async function hold(transaction: Tx, { run, model }: { run: string | null | undefined; model: string | null | undefined }): Promise<void> {
  if (run) await sql`select 1 from tracking_run where id = ${run} for key share`.execute(transaction);
  if (model) await sql`select 1 from logged_model where id = ${model} for key share`.execute(transaction);
}

/** The experiment that there always is stays. */
const isDeleted = (before: Date): RawBuilder<unknown> =>
  sql`e.lifecycle_stage = 'deleted' and coalesce(e.deleted_time, e.last_update_time) < ${before.getTime()} and e.id <> 0`;

/** Which of them are named by one of the queries. */
async function referredTo(transaction: Tx, queries: (RawBuilder<unknown> | undefined)[], of: { id: string }[]): Promise<Set<string>> {
  const asked = queries.flatMap((query) => (query === undefined ? [] : [sql`(${query})`]));
  if (asked.length === 0 || of.length === 0) return new Set();
  const { rows } = await sql<{ id: string }>`
    select distinct id from (${sql.join(asked, sql` union all `)}) as named (id) where id = any(${of.map(({ id }) => id)}::text[])`.execute(transaction);
  return new Set(rows.map(({ id }) => id));
}

/** The names of files below folders, but not below one that another experiment keeps its own in. */
async function removeFiles(
  transaction: Tx,
  locations: string[],
  { dryRun, removed }: Pick<Options, "dryRun" | "removed">,
  of: string | null = null,
): Promise<void> {
  const folders = locations.flatMap((location) => artifactPath(location) || []).map((folder) => `${folder}/`);
  if (folders.length === 0) return;
  // Of those with places of their own choice all, and of the others whose number such a place begins with.
  const numbers = of === null ? [] : folders.map((folder) => folder.slice(0, folder.indexOf("/")));
  const { rows: others } = await sql<{ location: string }>`
    select artifact_location as location from experiment
    where (artifact_location <> 'mlflow-artifacts:/' || id or id::text = any(${numbers}::text[])) and id is distinct from ${of}::bigint`.execute(transaction);
  const roots = others.flatMap(({ location }) => artifactPath(location) || []).map((root) => `${root}/`);
  const shared = (folder: string) => roots.some((root) => root.startsWith(folder) || (of !== null && folder.startsWith(root)));
  const own = folders.filter((folder) => !shared(folder));
  // By bytes, which is how the index has the paths in order: what begins with `a/` lies from `a/` to before `a0`.
  const below = sql`unnest(${own}::text[], ${own.map((folder) => `${folder.slice(0, -1)}0`)}::text[]) as f (first, last)`;
  const inside = sql`a.path ~>=~ f.first and a.path ~<~ f.last`;
  const { rows } = await sql<{ count: number; bytes: number }>`
    with found as (${
      dryRun
        ? sql`select a.size from tracking_artifact a, ${below} where ${inside}`
        : sql`delete from tracking_artifact a using ${below} where ${inside} returning a.size`
    }) select count(*)::float8 as count, coalesce(sum(size), 0)::float8 as bytes from found`.execute(transaction);
  removed.artifacts += rows[0]?.count ?? 0;
  removed.artifactBytes += rows[0]?.bytes ?? 0;
}
