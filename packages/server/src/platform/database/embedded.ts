/** The PostgreSQL of a data folder, which one server owns at a time. */
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { StartError } from "../errors.js";
import type { Log } from "../log.js";
import { openCluster, type RunningPostgres, stopPostgres } from "./cluster.js";

export interface EmbeddedPostgres {
  url: string;
  stop(): Promise<void>;
}

const ownerName = "millrace owner";
/** How long the connection of an owner that was just killed may take to be noticed. */
const handoverMs = 1_500;
const startMs = 60_000;
const retryMs = 500;

/**
 * Starts, or attaches to, the PostgreSQL whose data lies in `folder`. Its owner holds a lock in the database itself, which ends with
 * its connection, also when it is killed; PostgreSQL lives on then, and the next server attaches. Where PostgreSQL itself is killed
 * it is started again on the same port. `meanwhile` is called when it is starting.
 */
export async function startEmbedded(folder: string, log: Log, meanwhile?: () => void): Promise<EmbeddedPostgres> {
  const cluster = await openCluster(folder);
  let stopping = false;
  let owner: pg.Client | undefined;
  let postgres: RunningPostgres | undefined;
  let returning = Promise.resolve();

  async function takeOver(port?: number): Promise<RunningPostgres> {
    for (const end = performance.now() + startMs; ; await delay(50)) {
      const running = await cluster.run(port, meanwhile);
      try {
        owner = await own(running.url, folder);
        owner.once("end", () => {
          if (!stopping) returning = comeBack(running.port);
        });
        postgres = running;
        return running;
      } catch (error) {
        // Its owner may have been ending it just then.
        if (stopping || error instanceof StartError || performance.now() > end) throw error;
      }
    }
  }
  async function comeBack(port: number): Promise<void> {
    log.error("the connection to PostgreSQL was lost; it is started again where it ended");
    while (!stopping) {
      try {
        await takeOver(port);
        return;
      } catch (error) {
        log.error({ error }, "PostgreSQL could not be started again");
        await delay(retryMs);
      }
    }
  }

  const { url } = await takeOver();
  return {
    url,
    async stop() {
      stopping = true;
      await returning;
      // Nobody can own it between.
      if (postgres !== undefined) await stopPostgres(postgres.pid);
      await owner?.end().catch(() => {});
    },
  };
}

async function own(url: string, folder: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: `${ownerName} ${process.pid}`, keepAlive: true, connectionTimeoutMillis: 5_000 });
  client.on("error", () => {});
  try {
    await client.connect();
    for (const end = performance.now() + handoverMs; ; await delay(20)) {
      const { rows } = await client.query<{ held: boolean }>("select pg_try_advisory_lock(hashtext($1)) as held", [ownerName]);
      if (rows[0]?.held === true) return client;
      if (performance.now() > end) break;
    }
    const { rows } = await client.query<{ name: string }>(
      `select a.application_name as name from pg_locks l join pg_stat_activity a using (pid)
       where l.locktype = 'advisory' and l.granted and l.objid = (hashtext($1)::bigint & 4294967295)::oid and a.application_name like $2 limit 1`,
      [ownerName, `${ownerName} %`],
    );
    const pid = rows[0]?.name.slice(ownerName.length + 1);
    throw new StartError(
      `The data folder ${path.dirname(folder)} is in use by another server${pid === undefined ? "" : `, process ${pid}`}. Stop it, or choose another folder.`,
    );
  } catch (error) {
    await client.end().catch(() => {});
    throw error;
  }
}
