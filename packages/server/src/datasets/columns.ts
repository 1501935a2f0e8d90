/** The columns that a version has, and the types in which texts are read into them. */
import type { DatasetSpec, SchemaSpec } from "@millrace/sdk/spec";
import type { Digest, Platform } from "../platform/index.js";
import { describe, readAs, sqlTypes } from "./formats/convert.js";
import * as store from "./store.js";

type Parts = Pick<Platform, "db" | "objects" | "duckdb">;

/** The columns of a version; read from its parts where it was made before they were kept. */
export async function columnsOf({ db, objects, duckdb }: Parts, row: store.VersionRow): Promise<{ name: string; type: string }[]> {
  if (row.columns !== null) return row.columns;
  if (row.status === "quarantined") return [];
  const parts = await store.partsOf(db, row);
  const paths = await Promise.all(parts.map((part) => objects.localPath(part.digest as Digest)));
  return duckdb.use((connection) => describe({ duckdb, connection }, ...paths));
}

/** The types that the columns of an arrival have whatever its texts look like: as the schema says, else as in the versions so far. */
export async function knownTypes(
  platform: Parts,
  { dataset, schema, mode }: { dataset: DatasetSpec | undefined; schema: SchemaSpec | undefined; mode?: "append" | "snapshot" },
): Promise<Map<string, string>> {
  const types = new Map<string, string>();
  const follows = dataset !== undefined && (mode ?? dataset.mode) === "append";
  const latest = follows ? await store.findVersion(platform.db, dataset.name, "latest") : undefined;
  for (const { name, type } of latest === undefined ? [] : await columnsOf(platform, latest)) {
    const read = readAs(type);
    if (read !== undefined) types.set(name.toLowerCase(), read);
  }
  for (const [name, { type }] of Object.entries(schema?.columns ?? {})) types.set(name.toLowerCase(), sqlTypes[type]);
  return types;
}
