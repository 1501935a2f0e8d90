import type { Digest, Platform } from "../platform/index.js";
import type { OtherTable, Tables } from "../validation/index.js";
import * as store from "./store.js";

/** Versions of datasets, for checks that compare a table with them. */
export function createTables({ db, objects }: Pick<Platform, "db" | "objects">): Tables {
  const placesOf = (parts: store.PartRow[]) => Promise.all(parts.map((part) => objects.localPath(part.digest as Digest)));

  async function whole(row: store.VersionRow): Promise<OtherTable> {
    return { name: `${row.dataset} version ${row.version}`, files: await placesOf(await store.partsOf(db, row)), rows: row.rows };
  }
  async function arrival(row: store.VersionRow): Promise<OtherTable> {
    return { name: `${row.dataset} version ${row.version}, ${row.file}`, files: await placesOf(await store.addedParts(db, row)), rows: row.added_rows };
  }
  return {
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
