/** Where readers find the rows of views: in PostgreSQL, or where one is named, in Redis before it. PostgreSQL keeps them in any case. */
import type { Platform } from "../platform/index.js";
import { openSoleReader, type Standing } from "./sole-reader.js";
import * as store from "./store.js";
import type { Micros } from "./times.js";
import type { View } from "./views.js";

export interface OnlineStore {
  /** How far each view has changed, for all that exist of those asked for. */
  standings(ids: number[]): Promise<Map<number, Standing>>;
  /** Names this process to the database as one that changes views. */
  writer: string;
  /** Resolves when no other process reads the view from its memory, unless one begins to again. */
  takeBack(id: number): Promise<void>;
  changesSince(id: number, change: number): Promise<store.Change[]>;
  loadEntities(id: number, kind: View["kind"], entities: string[], since: Micros[]): Promise<store.LoadedEntity[]>;
  /** Called after a change was committed, before it is acknowledged: every read that begins afterwards sees it. */
  committed(id: number): Promise<void>;
  close(): Promise<void>;
}

export function postgresStore(db: Platform["db"]): OnlineStore {
  const reader = openSoleReader(db);
  return {
    standings: reader.ask,
    writer: reader.writer,
    takeBack: reader.takeBack,
    changesSince: (id, change) => store.changesSince(db, id, change),
    loadEntities: (id, kind, entities, since) => store.loadEntities(db, id, kind, entities, since),
    async committed() {},
    close: reader.close,
  };
}
