/** What every capability stands on. */
export { type ServerConfig, version } from "./config.js";
export { float8s, int8s, texts } from "./database/arrays.js";
export type { Database } from "./database/index.js";
export { underLock } from "./database/lock.js";
export { type DuckDb, identifier, literal, openDuckDb, parquet } from "./duckdb.js";
export { ApiError, conflict, invalid, notFound, StartError } from "./errors.js";
export type { PlatformEvent } from "./events.js";
export { type DeclaredRoute, errorAnswer, type Http, listen, openHttp, type Permission, type Principal } from "./http/index.js";
export { newId } from "./ids.js";
export { type Keeper, openKeeper } from "./keeper.js";
export { type Limit, limit } from "./limit.js";
export { type Log, openLog } from "./log.js";
export { type Digest, type ObjectStore, openFolderStore, type StoredObject } from "./objects/index.js";
export { isAlive, type ProcessEnd, runProcess } from "./process.js";
export type { References } from "./references.js";
export { platformRoutes } from "./routes.js";
export { endWithin } from "./stop.js";
export type { Platform } from "./types.js";
