import { mkdir } from "node:fs/promises";
import path from "node:path";
import { openClock } from "./clock.js";
import type { ServerConfig } from "./config.js";
import { checkDatabase } from "./database/check.js";
import { startEmbedded } from "./database/embedded.js";
import { connect } from "./database/index.js";
import { openNotifications } from "./database/listen.js";
import { migrate } from "./database/migrate.js";
import { openDuckDb } from "./duckdb.js";
import { dataFolderError } from "./errors.js";
import { openEvents } from "./events.js";
import type { Platform } from "./index.js";
import { openLog } from "./log.js";
import { openMetrics } from "./metrics.js";
import { openFolderStore } from "./objects/index.js";

const migrations = new URL("../../migrations/", import.meta.url);

/** Opens everything under the capabilities; `close` closes it in the opposite order. Throws a StartError that says what to do. */
export async function openPlatform(config: ServerConfig): Promise<{ platform: Platform; close: () => Promise<void> }> {
  const opened: (() => unknown)[] = [];
  async function close(): Promise<void> {
    for (const closeOne of opened.splice(0).reverse()) await closeOne();
  }
  try {
    return { platform: await open(config, (closeOne) => opened.push(closeOne)), close };
  } catch (error) {
    await close();
    throw dataFolderError(error, config.dataDir);
  }
}

async function open(config: ServerConfig, closeLater: (close: () => unknown) => void): Promise<Platform> {
  const log = openLog(config.logLevel);
  await mkdir(config.dataDir, { recursive: true });
  const databaseUrl = config.databaseUrl ?? (await embedded());
  async function embedded(): Promise<string> {
    const postgres = await startEmbedded(path.join(config.dataDir, "postgres"), log);
    closeLater(postgres.stop);
    return postgres.url;
  }
  if (config.databaseUrl !== undefined) await checkDatabase(config.databaseUrl);
  const { db, pool, close: closeDatabase } = connect(databaseUrl);
  closeLater(closeDatabase);
  await migrate(pool, migrations);

  // Locks are held for as long as work takes; from the same pool, a few of them could leave the work itself without a connection.
  const locks = connect(databaseUrl, { max: 10, name: "millrace locks" });
  closeLater(locks.close);
  const objects = await openFolderStore(path.join(config.dataDir, "objects"));
  const duckdb = await openDuckDb({ memoryMb: 2_000, threads: 2, spillFolder: path.join(config.dataDir, "spill") });
  closeLater(duckdb.close);
  const notifications = openNotifications(databaseUrl, log);
  closeLater(notifications.stop);
  const parts = { db, locks: locks.db, notifications, log };
  const clock = await openClock(parts, config.clock.kind, config.clock.kind === "replay" ? config.clock.from : undefined);
  const events = openEvents({ ...parts, clock });
  closeLater(events.stop);
  closeLater(clock.stop);
  return { config, db, databaseUrl, objects, duckdb, events, clock, log, metrics: openMetrics(), address: { url: undefined } };
}
