import { ApiError, type Digest, type Platform } from "../platform/index.js";
import type { OtherTable, Tables } from "../validation/index.js";
import { knownTypes } from "./columns.js";
import { toParquet } from "./formats/convert.js";
import { ContentError, guessFormat } from "./formats/types.js";
import * as store from "./store.js";

/** Versions of datasets, for checks that compare a table with them; and files read as datasets read them. */
export function createTables(platform: Pick<Platform, "db" | "objects" | "duckdb">): Tables {
  const { db, objects } = platform;
  const placesOf = (parts: store.PartRow[]) => Promise.all(parts.map((part) => objects.localPath(part.digest as Digest)));

  async function whole(row: store.VersionRow): Promise<OtherTable> {
    return { name: `${row.dataset} version ${row.version}`, files: await placesOf(await store.partsOf(db, row)), rows: row.rows };
  }
  async function arrival(row: store.VersionRow): Promise<OtherTable> {
    return { name: `${row.dataset} version ${row.version}, ${row.file}`, files: await placesOf(await store.addedParts(db, row)), rows: row.added_rows };
  }
  return {
    async asParquet(file, { dataset, schema, folder }) {
      const format = dataset?.format ?? guessFormat(file.name);
      if ((format === undefined || format.kind === "parquet") && dataset?.zone === undefined) return file.path;
      const pinned = await knownTypes(platform, { dataset, schema });
      const reading = { format: format ?? { kind: "parquet" as const }, zone: dataset?.zone, pinned, folder };
      const [table] = await toParquet(platform.duckdb, [file], reading).catch((error: unknown) => {
        throw error instanceof ContentError ? new ApiError(422, "UNREADABLE", error.message) : error;
      });
      return table?.path ?? file.path;
    },
    around: ({ dataset, before, whole: asWhole = false }) => ({
      ...(dataset === undefined ? {} : { dataset }),
      async version(name, version) {
        const row = await store.findVersion(db, name, version ?? "latest");
        return row === undefined || (row.status !== "accepted" && version === undefined) ? undefined : whole(row);
      },
      async arrivals(last) {
        if (dataset === undefined) return [];
        const rows = await store.listVersions(db, dataset, { status: "accepted", before, limit: last });
        const found: OtherTable[] = [];
        for (const row of rows) found.push(await (asWhole ? whole(row) : arrival(row)));
        return found;
      },
    }),
  };
}
