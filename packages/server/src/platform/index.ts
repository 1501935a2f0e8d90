/** What every capability stands on. */
export type { Clock } from "./clock.js";
export { type ServerConfig, version } from "./config.js";
export type { Database } from "./database/index.js";
export { type DuckDb, identifier, literal, openDuckDb, parquet } from "./duckdb.js";
export { ApiError, conflict, invalid, notFound } from "./errors.js";
export type { Events, PlatformEvent } from "./events.js";
export { errorAnswer, type Http, openHttp, type Permission, type Principal } from "./http/index.js";
export { newId } from "./ids.js";
export { type Log, openLog } from "./log.js";
export type { Metrics } from "./metrics.js";
export { type Digest, type ObjectStore, openFolderStore, type StoredObject } from "./objects/index.js";
export { runProcess } from "./process.js";
export { platformRoutes } from "./routes.js";

import type { Clock } from "./clock.js";
import type { ServerConfig } from "./config.js";
import type { Database } from "./database/index.js";
import type { DuckDb } from "./duckdb.js";
import type { Events } from "./events.js";
import type { Log } from "./log.js";
import type { Metrics } from "./metrics.js";
import type { ObjectStore } from "./objects/index.js";

/** The one argument that every capability takes; what it needs of other capabilities is passed beside it. */
export interface Platform {
  config: ServerConfig;
  db: Database;
  /** For what pools of other libraries need. */
  databaseUrl: string;
  objects: ObjectStore;
  duckdb: DuckDb;
  events: Events;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** The server's own address, once it listens. */
  address: { url: string | undefined };
}
