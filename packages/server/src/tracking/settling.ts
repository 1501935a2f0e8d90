/** The latest values of metrics that came in large batches: told for many batches at once, before anyone reads them. */
import { type RawBuilder, sql } from "kysely";
import type { Database, Platform } from "../platform/index.js";

/** Of one statement, so that its points are sorted in memory. */
const atOnce = 32;
/** What nobody asks for is settled a moment later: until then it is kept twice. */
const pauseMs = 500;

export interface Settling {
  /** Afterwards the latest values are those of every batch that was acknowledged before. */
  settle(): Promise<void>;
  /** There is something to settle. */
  wake(): void;
  stop(): Promise<void>;
}

export function createSettling({ db, log }: Pick<Platform, "db" | "log">): Settling {
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> = Promise.resolve();
  let stopped = false;

  async function settle(): Promise<void> {
    const { rows } = await sql<{ last: string | null }>`select max(n)::text as last from tracking_unsettled`.execute(db);
    const last = rows[0]?.last ?? null;
    if (last === null) return;
    while ((await settleSome(db, last)) === atOnce);
  }
  function wake(): void {
    if (stopped) return;
    timer ??= setTimeout(() => {
      working = settle()
        // It stays where it is, for the next one or for whoever reads it.
        .catch((error: unknown) => log.warn({ error }, "latest values of metrics could not be settled; they are when they are read"))
        .finally(() => {
          timer = undefined;
        });
    }, pauseMs).unref();
  }
  return {
    settle,
    wake,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await working;
    },
  };
}

/**
 * How many batches were settled. Two that do it at once go in the same order: the second waits for the first and finds the rows gone, with what they said
 * in the table of latest values.
 */
async function settleSome(db: Database, last: string): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    with due as (select n from tracking_unsettled where n <= ${last}::bigint order by n limit ${atOnce} for update),
    gone as (delete from tracking_unsettled u using due where u.n = due.n returning u.*),
    latest as (${keepLatest(sql`
      select g.run_id, g.experiment_id, t.key, t.step, t.timestamp, t.value
      from gone g, unnest(g.keys, g.steps, g.timestamps, g.vals) as t (key, step, timestamp, value)`)})
    select count(*)::int as count from gone`.execute(db);
  return rows[0]?.count ?? 0;
}

/** The largest step counts, then the latest, then the largest value. Rows go in by their keys, so that two writers never wait for each other. */
export const keepLatest = (points: RawBuilder<unknown>): RawBuilder<unknown> => sql`
  insert into tracking_latest_metric as l (run_id, experiment_id, key, step, timestamp, value)
  select distinct on (run_id, key) * from (${points}) as p (run_id, experiment_id, key, step, timestamp, value)
  order by run_id, key, step desc, timestamp desc, value desc
  on conflict (run_id, key) do update set step = excluded.step, timestamp = excluded.timestamp, value = excluded.value
  where (excluded.step, excluded.timestamp, excluded.value) > (l.step, l.timestamp, l.value)`;
