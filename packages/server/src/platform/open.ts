import { mkdir } from "node:fs/promises";
import path from "node:path";
import { openClock } from "./clock.js";
import type { ServerConfig } from "./config.js";
import { startEmbedded } from "./database/embedded.js";
import { connect } from "./database/index.js";
import { openNotifications } from "./database/listen.js";
import { migrate } from "./database/migrate.js";
import { openDuckDb } from "./duckdb.js";
import { openEvents } from "./events.js";
import type { Platform } from "./index.js";
import { openLog } from "./log.js";
import { openMetrics } from "./metrics.js";
import { openFolderStore } from "./objects/index.js";

const migrations = new URL("../../migrations/", import.meta.url);

/** Opens everything under the capabilities; `close` closes it in the opposite order. */
export async function openPlatform(config: ServerConfig): Promise<{ platform: Platform; close: () => Promise<void> }> {
  const log = openLog(config.logLevel);
  await mkdir(config.dataDir, { recursive: true });
  const embedded = config.databaseUrl === undefined ? await startEmbedded(path.join(config.dataDir, "postgres")) : undefined;
  const databaseUrl = embedded?.url ?? (config.databaseUrl as string);
  const database = connect(databaseUrl);
  await migrate(database.pool, migrations);
  const objects = await openFolderStore(path.join(config.dataDir, "objects"));
  const duckdb = await openDuckDb({ memoryMb: 2_000, threads: 2, spillFolder: path.join(config.dataDir, "spill") });
  // Locks are held for as long as work takes; from the same pool, a few of them could leave the work itself without a connection.
  const locks = connect(databaseUrl, { max: 10, name: "millrace locks" });
  const notifications = openNotifications(databaseUrl, log);
  const parts = { db: database.db, locks: locks.db, notifications, log };
  const clock = await openClock(parts, config.clock.kind, config.clock.kind === "replay" ? config.clock.from : undefined);
  const events = openEvents({ ...parts, clock });
  return {
    platform: { config, db: database.db, databaseUrl, objects, duckdb, events, clock, log, metrics: openMetrics(), address: { url: undefined } },
    async close() {
      await clock.stop();
      await events.stop();
      await notifications.stop();
      duckdb.close();
      await locks.close();
      await database.close();
      await embedded?.stop();
    },
  };
}
