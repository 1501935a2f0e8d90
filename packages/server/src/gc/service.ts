import { setTimeout as delay } from "node:timers/promises";
import { durationMs } from "@millrace/sdk";
import type { Collection } from "@millrace/sdk/api";
import { type RawBuilder, sql } from "kysely";
import { conflict, invalid, notFound, type Platform, type References, underLock } from "../platform/index.js";
import type { Kept, Removal, Removed } from "../tracking/index.js";
import { type Swept, sweep, type Young } from "./sweep.js";
import type { Gc } from "./types.js";

/** For how long what was deleted can be restored, where nothing else is asked for. */
const usualAge = "30d";
/** For how long an object that nobody refers to may be part of something under way. */
const youngMs = 24 * 3_600_000;
const noteMs = 1_000;
/** What was not heard of for so long is not under way any more. */
const silentMs = 60_000;
const leavingMs = 5_000;

const noneFreed: Removed & Swept = { experiments: 0, runs: 0, loggedModels: 0, points: 0, artifacts: 0, artifactBytes: 0, objects: 0, objectBytes: 0 };
const noneKept: Kept & Young = { experiments: 0, runs: 0, loggedModels: 0, youngObjects: 0, youngObjectBytes: 0 };

interface Row {
  id: string;
  state: Collection["state"];
  dry_run: boolean;
  started_by: string;
  deleted_before: Date;
  phase: string;
  freed: Partial<Collection["freed"]>;
  kept: Partial<Collection["kept"]>;
  message: string | null;
  started_at: Date;
  finished_at: Date | null;
  silent: boolean;
}

export function createGc(
  { db, objects, events, clock, config, log }: Pick<Platform, "db" | "objects" | "events" | "clock" | "config" | "log">,
  {
    removal,
    references,
    forget,
  }: {
    removal: Removal;
    references: readonly References[];
    /** Frees what is kept about tables that are in none of the lists, and could be made anew. */
    forget: (db: Platform["db"], tables: RawBuilder<unknown>[], before: Date) => Promise<void>;
  },
): Gc {
  const stopping = new AbortController();
  let running: Promise<unknown> = Promise.resolve();

  async function find(condition: RawBuilder<unknown>, limit: number): Promise<Collection[]> {
    const { rows } = await sql<Row>`
      select id::text, state, dry_run, started_by, deleted_before, phase, freed, kept, message, started_at, finished_at,
        seen_at < clock_timestamp() - ${`${silentMs} ms`}::interval as silent
      from collection where ${condition} order by collection.id desc limit ${limit}`.execute(db);
    return rows.map(toCollection);
  }
  async function get(id: string): Promise<Collection> {
    const [found] = /^[0-9]{1,15}$/.test(id) ? await find(sql`id = ${id}::bigint`, 1) : [];
    if (found === undefined) throw notFound("collection", id);
    return found;
  }

  /** With the lock held: of what is said to be under way, nothing is. */
  async function begin(deletedBefore: Date, dryRun: boolean, by: string): Promise<string> {
    await sql`
      update collection set state = 'interrupted', finished_at = seen_at, message = 'The server that did it was stopped. What is left is for the next one.'
      where state = 'running'`.execute(db);
    const { rows } = await sql<{ id: string }>`
      insert into collection (state, dry_run, started_by, deleted_before, phase) values ('running', ${dryRun}, ${by}, ${deletedBefore}, 'rows')
      returning id::text`.execute(db);
    return rows[0]?.id ?? "";
  }

  async function collect(id: string, deletedBefore: Date, dryRun: boolean): Promise<void> {
    const freed = { ...noneFreed };
    const kept = { ...noneKept };
    const options = { dryRun, signal: stopping.signal };
    let phase: Collection["phase"] = "rows";
    const note = (set: RawBuilder<unknown> = sql`id = id`) => sql`
      update collection set phase = ${phase}, freed = ${JSON.stringify(freed)}::jsonb, kept = ${JSON.stringify(kept)}::jsonb, seen_at = clock_timestamp(), ${set}
      where id = ${id}::bigint`;
    const noting = setInterval(
      () =>
        void note(sql`message = null`)
          .execute(db)
          .catch(() => {}),
      noteMs,
    );
    try {
      await removal.remove({ ...options, deletedBefore, removed: freed, kept, references });
      phase = "objects";
      const digests = references.flatMap((of) => of.objects ?? []);
      if (!dryRun) {
        const tables = references.flatMap((of) => of.tables ?? []);
        await forget(db, tables, deletedBefore);
      }
      await sweep({ db, objects }, digests, { ...options, before: new Date(Date.now() - youngMs), freed, kept });
      await db.transaction().execute(async (transaction) => {
        await note(sql`state = 'done', finished_at = clock_timestamp()`).execute(transaction);
        if (!dryRun) await events.append(transaction, "gc.finished", id, { freed, kept });
      });
    } catch (error) {
      const stopped = stopping.signal.aborted;
      if (!stopped) log.error({ error }, "a collection failed");
      const message = stopped ? "The server was stopped. What is left is for the next one." : "The server failed. Its log says why.";
      await note(sql`state = ${stopped ? "interrupted" : "failed"}, finished_at = clock_timestamp(), message = ${message}`).execute(db);
    } finally {
      clearInterval(noting);
    }
  }

  return {
    async start({ olderThan = config.gc?.olderThan ?? usualAge, dryRun = false }, by) {
      const deletedBefore = new Date(clock.now().getTime() - ageMs(olderThan));
      const asked = () =>
        new Promise<string | undefined>((resolve, reject) => {
          running = underLock(db, "millrace.gc", "one at a time", async () => {
            const begun = await begin(deletedBefore, dryRun, by);
            resolve(begun);
            await collect(begun, deletedBefore, dryRun);
          }).then((mine) => {
            if (!mine) resolve(undefined);
          }, reject);
        });
      // One that is done holds the lock for a moment more.
      let id = await asked();
      for (const end = performance.now() + leavingMs; id === undefined && performance.now() < end; id = await asked()) {
        if ((await find(sql`state = 'running'`, 1)).length > 0) break;
        await delay(20);
      }
      if (id === undefined) throw conflict("A collection is under way already: GET /api/v1/gc says how far it is.");
      return get(id);
    },
    get,
    list: ({ limit, before }) => find(before === undefined ? sql`true` : sql`id < ${before}`, limit),
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

function ageMs(text: string): number {
  const ms = durationMs(text);
  // A hundred years: more would lead before the times that PostgreSQL and JavaScript know.
  if (ms > 36_525 * 24 * 3_600_000) throw invalid(`"${text}" is too long an age: give at most 36525d.`);
  return ms;
}

function toCollection(row: Row): Collection {
  const lost = row.state === "running" && row.silent;
  return {
    id: row.id,
    state: lost ? "interrupted" : row.state,
    phase: row.phase === "objects" ? "objects" : "rows",
    dryRun: row.dry_run,
    by: row.started_by,
    deletedBefore: row.deleted_before.toISOString(),
    freed: { ...noneFreed, ...row.freed },
    kept: { ...noneKept, ...row.kept },
    message: lost ? "The server that did it says nothing any more. What is left is for the next one." : row.message,
    startedAt: row.started_at.toISOString(),
    finishedAt: row.finished_at?.toISOString() ?? null,
  };
}
