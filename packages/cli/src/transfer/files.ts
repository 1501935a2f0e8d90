/** The files of a run or a model that lie in a folder of this machine. */
import { createReadStream } from "node:fs";
import { lstat, readdir, stat } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { SourceFile } from "./source.js";
import { Unreachable } from "./source.js";

/**
 * The folder of what is kept at `uri`, which ends with the owner's own id and `/artifacts`: nothing else of this machine is ever read.
 * `root` is where the experiment keeps its files, `given` a folder that the user named in its place. Undefined where it has no files.
 */
export async function folderOf(uri: string, owner: string, root: string, given: string | undefined): Promise<string | undefined> {
  const parts = uri.replace(/[/\\]+$/, "").split(/[/\\]/);
  if (parts.at(-1) !== "artifacts" || parts.at(-2) !== owner) throw new Unreachable(uri, "it is not the folder of a run or a model");
  const own = localPath(uri);
  if (own !== undefined && (await isFolder(own))) return own;
  if (given !== undefined) {
    // `mlflow-artifacts:/1`, `s3://bucket/some/where/1` and `/srv/mlruns/1` are all the folder 1 of what the user named.
    const base = root.replace(/[/\\]+$/, "");
    const names = [base.split(/[/\\]/).at(-1) ?? "", base.replace(/^[a-z][a-z0-9+.-]*:(?:\/\/[^/]*)?\/*/i, "")];
    const tail = parts.slice(parts.at(-3) === "models" ? -3 : -2);
    for (const name of names) {
      const found = path.resolve(given, name, ...tail);
      if (found.startsWith(path.resolve(given) + path.sep) && (await isFolder(found))) return found;
    }
    return undefined;
  }
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(uri)?.[1]?.toLowerCase();
  if (scheme === "mlflow-artifacts")
    throw new Unreachable("mlflow-artifacts:", "name the folder of the MLflow server's --artifacts-destination with --artifacts, or import from its address");
  if (scheme !== undefined && scheme !== "file") throw new Unreachable(root, "import from the address of a running MLflow server, which can reach it");
  // A run without files has no folder; where there is not even a folder of all experiments it is another machine's.
  const all = path.dirname(localPath(root) ?? "");
  if (!(await isFolder(all))) throw new Unreachable(all, "there is no such folder on this machine: name where the files are with --artifacts");
  return undefined;
}

function localPath(uri: string): string | undefined {
  if (/^file:/i.test(uri)) {
    try {
      return fileURLToPath(uri);
    } catch {
      return undefined;
    }
  }
  return /^[a-z][a-z0-9+.-]+:/i.test(uri) ? undefined : path.resolve(uri);
}
const isFolder = (folder: string): Promise<boolean> =>
  stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );

/** All files below, without links: what they lead to is not the run's. */
export async function filesBelow(folder: string, prefix = ""): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  for (const entry of (await readdir(folder, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const full = path.join(folder, entry.name);
    const name = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
    if (entry.isDirectory()) files.push(...(await filesBelow(full, name)));
    else if (entry.isFile()) files.push({ path: name, size: (await lstat(full)).size, open: async () => createReadStream(full) });
  }
  return files;
}
