import { type Kysely, sql } from "kysely";
import type { Database } from "./index.js";

/**
 * Does `work` while this process, of all, holds a lock; answers false, and does nothing, where another holds it. The lock ends with its
 * connection, so also when the process is killed or, after half a minute, when its machine is gone. `locks` is a pool of its own:
 * whoever holds a lock still finds connections for its work.
 */
export async function underLock(locks: Database, space: string, name: string, work: (connection: Kysely<unknown>) => Promise<void>): Promise<boolean> {
  return locks.connection().execute(async (connection) => {
    const { rows } = await sql<{ held: boolean }>`
      select pg_try_advisory_lock(hashtext(${space}), hashtext(${name})) as held, set_config('tcp_keepalives_idle', '15', false),
        set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '3', false)`.execute(connection);
    if (rows[0]?.held !== true) return false;
    try {
      await work(connection);
    } finally {
      await sql`select pg_advisory_unlock(hashtext(${space}), hashtext(${name}))`.execute(connection);
    }
    return true;
  });
}
