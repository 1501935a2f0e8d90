/** Artifacts of runs: paths that point to objects. A path is a client's: it is only ever compared, and never reaches a file system. */
import type { Readable } from "node:stream";
import { sql } from "kysely";
import type { Digest, Platform } from "../platform/index.js";
import { invalidValue, missing } from "./errors.js";

const largestFile = 64 * 1024 ** 3;

export interface ArtifactEntry {
  /** Relative to the folder that was asked for. */
  path: string;
  is_dir: boolean;
  file_size?: number;
}
export interface Artifacts {
  put(path: string, body: Readable): Promise<void>;
  open(path: string): Promise<{ body: Readable; size: number }>;
  list(folder: string): Promise<ArtifactEntry[]>;
  /** A file, or all below a folder. */
  remove(path: string): Promise<void>;
}

export function createArtifacts({ db, objects }: Pick<Platform, "db" | "objects">): Artifacts {
  return {
    async put(path, body) {
      const { digest, size } = await objects.put(body, { maxBytes: largestFile });
      await sql`
        insert into tracking_artifact (path, digest, size) values (${safe(path)}, ${digest}, ${size})
        on conflict (path) do update set digest = excluded.digest, size = excluded.size`.execute(db);
    },
    async open(path) {
      const { rows } = await sql<{ digest: Digest; size: number }>`select digest, size::float8 from tracking_artifact where path = ${safe(path)}`.execute(db);
      if (rows[0] === undefined) throw missing(`There is no artifact "${path}".`);
      return { body: await objects.read(rows[0].digest), size: rows[0].size };
    },
    async list(folder) {
      const prefix = folder === "" ? "" : `${safe(folder)}/`;
      const { rows } = await sql<{ name: string; is_dir: boolean; size: number }>`
        select split_part(substr(path, ${prefix.length + 1}), '/', 1) as name, bool_or(strpos(substr(path, ${prefix.length + 1}), '/') > 0) as is_dir, max(size)::float8 as size
        from tracking_artifact where path like ${`${prefix.replaceAll(/[\\%_]/g, "\\$&")}%`} group by 1 order by 1 limit 10000`.execute(db);
      return rows.map(({ name, is_dir, size }) => (is_dir ? { path: name, is_dir } : { path: name, is_dir, file_size: size }));
    },
    async remove(path) {
      const name = safe(path);
      // Objects are shared by their contents: they are not removed with a name of theirs.
      await sql`delete from tracking_artifact where path = ${name} or path like ${`${name.replaceAll(/[\\%_]/g, "\\$&")}/%`}`.execute(db);
    },
  };
}

/** Refuses what would lead out of where it stands if somebody took it for a file's path. */
export function safe(path: string): string {
  const parts = path.split("/");
  const bad = parts.some((part) => part === "" || part === "." || part === "..") || /\\|\p{Cc}|^[a-zA-Z]:/u.test(path) || /%(2e|2f|5c)/i.test(path);
  if (bad || path.length > 1_000)
    throw invalidValue(`Invalid artifact path: '${path.slice(0, 200)}'. A path is relative, with / between names, without . and .. .`);
  return path;
}
