import type { Platform } from "../platform/index.js";
import { type OnlineStore, postgresStore } from "./online-store.js";

/** As the operator chose it; to be closed when the server stops. */
export async function openOnlineStore(platform: Pick<Platform, "db" | "config" | "log">): Promise<OnlineStore> {
  const { db, config, log } = platform;
  if (config.online === undefined) return postgresStore(db);
  // Loaded where it is asked for.
  const { openRedisStore } = await import("./online-redis.js");
  return openRedisStore(db, config.online.url, log);
}
