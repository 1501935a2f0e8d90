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
import { type Log, openLog } from "./log.js";
import { openMetrics } from "./metrics.js";
import { type ObjectStore, openFolderStore } from "./objects/index.js";
import { endWithin } from "./stop.js";

const migrations = new URL("../../migrations/", import.meta.url);

/**
 * Opens everything under the capabilities; `close` closes it in the opposite order. Throws a StartError that says what to do. `meanwhile` is called when an
 * embedded PostgreSQL is starting, for work that else would come after it.
 */
export async function openPlatform(config: ServerConfig, meanwhile?: () => void): Promise<{ platform: Platform; close: () => Promise<void> }> {
  const log = openLog(config.logLevel);
  const opened: [what: string, close: () => unknown][] = [];
  async function close(): Promise<void> {
    for (const [what, closeOne] of opened.splice(0).reverse()) await endWithin(log, what === "PostgreSQL" ? 60_000 : 5_000, what, closeOne);
  }
  try {
    return { platform: await open(config, log, (what, closeOne) => opened.push([what, closeOne]), meanwhile), close };
  } catch (error) {
    await close();
    throw dataFolderError(error, config.dataDir);
  }
}

async function open(
  config: ServerConfig,
  log: Log,
  closeLater: (what: string, close: () => unknown) => void,
  meanwhile: (() => void) | undefined,
): Promise<Platform> {
  await mkdir(config.dataDir, { recursive: true });
  const databaseUrl = config.databaseUrl ?? (await embedded());
  async function embedded(): Promise<string> {
    const postgres = await startEmbedded(path.join(config.dataDir, "postgres"), log, meanwhile);
    closeLater("PostgreSQL", postgres.stop);
    return postgres.url;
  }
  if (config.databaseUrl !== undefined) await checkDatabase(config.databaseUrl);
  const { db, prepared, pool, close: closeDatabase } = connect(databaseUrl, config.connections === undefined ? {} : { max: config.connections });
  closeLater("the connections to PostgreSQL", closeDatabase);
  await migrate(pool, migrations);

  // Locks are held for as long as work takes; from the same pool, a few of them could leave the work itself without a connection.
  const locks = connect(databaseUrl, { max: Math.min(14, config.connections ?? 14), name: "millrace locks" });
  closeLater("the connections that hold locks", locks.close);
  const objects = await openObjects();
  async function openObjects(): Promise<ObjectStore> {
    if (config.objects === undefined) return openFolderStore(path.join(config.dataDir, "objects"));
    // Loaded where it is asked for: the client of S3 is large.
    const { openS3Store } = await import("./objects/s3/index.js");
    const { url, direct, cacheBytes } = config.objects;
    const s3 = await openS3Store({ url, direct, cache: { folder: path.join(config.dataDir, "cache"), bytes: cacheBytes } }, log);
    closeLater("the object store", s3.close);
    return s3.store;
  }
  const duckdb = openDuckDb({ memoryMb: 2_000, threads: 2, ...config.duckdb, spillFolder: path.join(config.dataDir, "spill") });
  closeLater("DuckDB", duckdb.close);
  const notifications = openNotifications(databaseUrl, log);
  closeLater("the connection for notifications", notifications.stop);
  const parts = { db, locks: locks.db, notifications, log };
  const clock = await openClock(parts, config.clock.kind, config.clock.kind === "replay" ? config.clock.from : undefined);
  const events = openEvents({ ...parts, clock });
  closeLater("the handling of events", events.stop);
  closeLater("work that was due", clock.stop);
  return {
    config,
    db,
    prepared,
    locks: locks.db,
    databaseUrl,
    objects,
    duckdb,
    notifications,
    events,
    clock,
    log,
    metrics: openMetrics(),
    address: { url: undefined },
  };
}
