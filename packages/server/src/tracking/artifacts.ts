/** Artifacts: paths that point to objects. A path is a client's: it is only ever compared, and never reaches a file system. */
import type { Readable } from "node:stream";
import { sql } from "kysely";
import { invalidValue, missing } from "../mlflow/index.js";
import type { Database, Digest, Platform } from "../platform/index.js";
import { createUploads, type Uploads } from "./uploads.js";

const largestFile = 64 * 1024 ** 3;
/** Of one folder, and of all below it. */
const mostListed = 200_000;
const pageOf = 10_000;
const longestPath = 1_000;

export interface ArtifactEntry {
  /** Relative to the folder that was asked for. */
  path: string;
  is_dir: boolean;
  file_size?: number;
}
export interface ArtifactFile {
  path: string;
  digest: string;
  size: number;
}
export interface Artifacts {
  put(path: string, body: Readable): Promise<void>;
  /** Throws a 404 where there is none. */
  find(path: string): Promise<ArtifactFile>;
  read(file: ArtifactFile, range?: { start: number; end: number }): Promise<Readable>;
  /** A folder's entries by name; in pages where that is asked for. */
  list(folder: string, page?: { after: string | undefined }): Promise<{ entries: ArtifactEntry[]; next?: string }>;
  /** All files below a folder, by paths relative to it; a file alone under its own name. */
  files(folder: string): Promise<ArtifactFile[]>;
  /** A file, or all below a folder. */
  remove(path: string): Promise<void>;
  /** Refuses a path at which no client may put a file. */
  checkWritable(path: string): void;
  /** Ways past the server, where the store has them. */
  readonly uploads: Uploads | undefined;
  /** Shows files that somebody else keeps below `<name>/`: they can be read there, and not written. `files` answers undefined where there is no such folder. */
  mount(name: string, files: (rest: string[]) => Promise<{ below: string[]; files: ArtifactFile[] } | undefined>): void;
}

export function createArtifacts({ db, objects, log, clock }: Pick<Platform, "db" | "objects" | "log" | "clock">): Artifacts {
  const uploads = createUploads({ db, objects, log }, save, largestFile);
  if (uploads !== undefined) clock.onTick("artifacts brought to the object store", async () => uploads.tick());
  const mounts = new Map<string, Parameters<Artifacts["mount"]>[1]>();
  async function mounted(path: string): Promise<ArtifactFile[] | undefined> {
    const [name = "", ...rest] = path.split("/");
    const source = mounts.get(name);
    if (source === undefined) return undefined;
    const found = await source(rest);
    if (found === undefined) return [];
    const below = found.below.join("/");
    if (below === "") return found.files;
    return found.files.flatMap((file) => {
      if (file.path === below) return [{ ...file, path: "" }];
      return file.path.startsWith(`${below}/`) ? [{ ...file, path: file.path.slice(below.length + 1) }] : [];
    });
  }
  function mustBeWritable(path: string): void {
    const [name = ""] = path.split("/");
    if (mounts.has(name)) throw invalidValue(`What is below '${name}/' belongs to registered versions, which don't change.`);
  }

  return {
    async put(path, body) {
      mustBeWritable(safe(path));
      const stored = await objects.put(body, { maxBytes: largestFile });
      await uploads?.settle(path, { below: false });
      await save(db, { path, ...stored });
    },
    async find(path) {
      const shown = await mounted(safe(path));
      if (shown !== undefined) {
        const file = shown.find((one) => one.path === "");
        if (file !== undefined) return { ...file, path };
      }
      await uploads?.settle(path, { below: false });
      const { rows } = await sql<ArtifactFile>`select path, digest, size::float8 from tracking_artifact where path = ${path}`.execute(db);
      if (rows[0] === undefined) throw missing(`No such artifact: '${path}'`);
      return rows[0];
    },
    read: ({ digest }, range) => objects.read(digest as Digest, range),
    async list(folder, page) {
      const limit = page === undefined ? mostListed : pageOf;
      const after = page?.after ?? "";
      const cut = (entries: ArtifactEntry[]) => {
        if (entries.length <= limit) return { entries };
        if (page === undefined) throw invalidValue(`The folder '${folder}' has more than ${mostListed} entries: ask for it in pages.`);
        const [shown, last] = [entries.slice(0, limit), entries[limit - 1]?.path];
        return { entries: shown, ...(last === undefined ? {} : { next: last }) };
      };
      const shown = folder === "" ? undefined : await mounted(safe(folder));
      if (shown !== undefined) return cut(entries(shown).filter(({ path }) => path > after));
      await uploads?.settle(folder, { below: true });
      const prefix = folder === "" ? "" : `${folder}/`;
      const { rows } = await sql<{ name: string; is_dir: boolean; size: number }>`
        select name, bool_or(below > 0) as is_dir, max(size)::float8 as size
        from (select split_part(rest, '/', 1) collate "C" as name, strpos(rest, '/') as below, size
          from (select substr(path, ${[...prefix].length + 1}::int) as rest, size from tracking_artifact where path like ${likePrefix(prefix)}) a) b
        where name > ${after} group by name order by name limit ${limit + 1}`.execute(db);
      return cut(rows.map(({ name, is_dir, size }) => (is_dir ? { path: name, is_dir } : { path: name, is_dir, file_size: size })));
    },
    async files(folder) {
      const shown = await mounted(safe(folder));
      if (shown !== undefined) return shown;
      await uploads?.settle(folder, { below: true });
      const { rows } = await sql<ArtifactFile>`
        select path, digest, size::float8 from tracking_artifact where path = ${folder} or path like ${likePrefix(`${folder}/`)} order by path limit ${mostListed + 1}`.execute(
        db,
      );
      if (rows.length > mostListed) throw invalidValue(`Below '${folder}' there are more than ${mostListed} files.`);
      return rows.map((file) => ({ ...file, path: file.path === folder ? (folder.split("/").at(-1) ?? folder) : file.path.slice(folder.length + 1) }));
    },
    async remove(path) {
      mustBeWritable(safe(path));
      // What has come already is deleted too, and does not come later.
      await uploads?.settle(path, { below: true });
      // Objects are shared by their contents: they are not removed with a name of theirs.
      await sql`delete from tracking_artifact where path = ${path} or path like ${likePrefix(`${path}/`)}`.execute(db);
    },
    checkWritable: (path) => mustBeWritable(safe(path)),
    uploads,
    mount: (name, files) => void mounts.set(name, files),
  };
}

async function save(on: Database, { path, digest, size }: ArtifactFile): Promise<void> {
  await sql`
    insert into tracking_artifact (path, digest, size) values (${path}, ${digest}, ${size})
    on conflict (path) do update set digest = excluded.digest, size = excluded.size`.execute(on);
}

const likePrefix = (prefix: string): string => `${prefix.replaceAll(/[\\%_]/g, "\\$&")}%`;

function entries(files: ArtifactFile[]): ArtifactEntry[] {
  const found = new Map<string, ArtifactEntry>();
  for (const { path, size } of files) {
    const [name = "", ...rest] = path.split("/");
    if (name !== "") found.set(name, rest.length > 0 ? { path: name, is_dir: true } : { path: name, is_dir: false, file_size: size });
  }
  return [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Refuses what would lead out of where it stands if somebody took it for a file's path, also if they decoded it first. */
export function safe(path: string): string {
  const refuse = () => invalidValue(`Invalid artifact path: '${path.slice(0, 200)}'. A path is relative, with / between names, without . and .. .`);
  if (path.length > longestPath) throw refuse();
  let written = path;
  for (let round = 0; round < 5; round++) {
    if (/\\|\p{Cc}|\ufffd|^[a-zA-Z]:|%c[01]/iu.test(written) || leadsElsewhere(written) || leadsElsewhere(written.normalize("NFKC"))) throw refuse();
    const decoded = written.replaceAll(/(?:%[0-9a-f]{2})+/gi, decodedOrNot);
    if (decoded === written) return path;
    written = decoded;
  }
  throw refuse();
}
/** Also told of what is a point or a slash in another width. */
const leadsElsewhere = (path: string): boolean => path.split("/").some((part) => part === "" || part === "." || part === "..");
/** A name may hold what looks like an escape and is none. */
function decodedOrNot(escaped: string): string {
  try {
    return decodeURIComponent(escaped);
  } catch {
    return escaped;
  }
}

/** The path of a `mlflow-artifacts:` address; undefined for any other. */
export function artifactPath(uri: string): string | undefined {
  const path = /^mlflow-artifacts:(?:\/\/[^/]*)?\/+(.*)$/.exec(uri)?.[1];
  return path === undefined ? undefined : safe(path.replace(/\/+$/, ""));
}
