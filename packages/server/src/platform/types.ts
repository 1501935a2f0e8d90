import type { Clock } from "./clock.js";
import type { ServerConfig } from "./config.js";
import type { Database, Prepared } from "./database/index.js";
import type { Notifications } from "./database/listen.js";
import type { DuckDb } from "./duckdb.js";
import type { Events } from "./events.js";
import type { Log } from "./log.js";
import type { Metrics } from "./metrics.js";
import type { ObjectStore } from "./objects/index.js";

/** The one argument that every capability takes; what it needs of other capabilities is passed beside it. */
export interface Platform {
  config: ServerConfig;
  db: Database;
  prepared: Prepared;
  /** Connections that do nothing but hold locks (see `underLock`). */
  locks: Database;
  /** For what pools of other libraries need. */
  databaseUrl: string;
  objects: ObjectStore;
  duckdb: DuckDb;
  /** For what must be told at once and is not worth an event: nothing relies on it alone. */
  notifications: Notifications;
  events: Events;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** The server's own address, once it listens. */
  address: { url: string | undefined };
}
