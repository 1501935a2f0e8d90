/** What every capability stands on. */
export { type KubernetesConfig, type ServerConfig, version } from "./config.js";
export { float8s, int8s, texts } from "./database/arrays.js";
export type { Database } from "./database/index.js";
export { underLock } from "./database/lock.js";
export { type DuckDb, openDuckDb } from "./duckdb.js";
export { ApiError, conflict, invalid, notFound, orNone, StartError } from "./errors.js";
export type { PlatformEvent } from "./events.js";
export { guardGroup, marker as processMarker, owner as processOwner, releaseGroup } from "./guard.js";
export {
  type Authorize,
  type DeclaredRoute,
  type DirectHandler,
  errorAnswer,
  type Http,
  listen,
  openHttp,
  type Permission,
  type Principal,
} from "./http/index.js";
export { newId } from "./ids.js";
export { openKeeper } from "./keeper.js";
export { type Limit, limit } from "./limit.js";
export { type Log, openLog } from "./log.js";
export type { MetricList, Metrics } from "./metrics.js";
export { shownMoment } from "./moment.js";
export { type Digest, type ObjectStore, openFolderStore, type StoredObject } from "./objects/index.js";
export { ownFolder } from "./own-folder.js";
export { firstRows } from "./preview.js";
export { bytesBelow, isAlive, type ProcessEnd, runProcess } from "./process.js";
export type { References } from "./references.js";
export { platformRoutes } from "./routes.js";
export { identifier, literal, parquet } from "./sql.js";
export { endWithin } from "./stop.js";
export { nodeProgram, startThread } from "./thread.js";
export { processTree } from "./tree.js";
export type { Platform } from "./types.js";
