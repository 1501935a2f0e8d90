/** The files of a project's folder that are its code, by path and digest. */
import { createHash } from "node:crypto";
import type { Dirent } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { CliError } from "../errors.js";
import { ignoring } from "./ignore.js";

export interface ProjectFile {
  /** Relative, with `/`. */
  path: string;
  digest: string;
  size: number;
}
const megabyte = 1024 ** 2;
const limits = { files: 2_000, file: 20 * megabyte, all: 200 * megabyte };

export async function projectFiles(folder: string): Promise<{ files: ProjectFile[]; links: string[] }> {
  const { paths, links } = await projectPaths(folder);
  if (paths.length > limits.files) throw tooMuch(`the project has more than ${limits.files} files`);
  const files: ProjectFile[] = [];
  let all = 0;
  for (const relative of paths) {
    const { size } = await stat(path.join(folder, relative));
    if (size > limits.file) throw tooMuch(`${relative} has ${Math.ceil(size / megabyte)} MB, more than the ${limits.file / megabyte} MB of a file of code`);
    all += size;
    if (all > limits.all) throw tooMuch(`the project has more than ${limits.all / megabyte} MB`);
    const bytes = await readFile(path.join(folder, relative));
    files.push({ path: relative, digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}`, size: bytes.length });
  }
  return { files, links };
}

/** Relative, with `/`, in order; one more than are allowed at most. */
export async function projectPaths(folder: string): Promise<{ paths: string[]; links: string[] }> {
  const ignored = ignoring([...(await linesOf(path.join(folder, ".gitignore"))), ...(await linesOf(path.join(folder, ".millraceignore")))]);
  const paths: string[] = [];
  const links: string[] = [];
  async function walk(below: string): Promise<void> {
    const entries: Dirent[] = await readdir(path.join(folder, below), { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const relative = below === "" ? entry.name : `${below}/${entry.name}`;
      if (paths.length > limits.files || ignored(entry.isDirectory() ? `${relative}/` : relative)) continue;
      if (entry.isDirectory()) await walk(relative);
      else if (entry.isSymbolicLink()) links.push(relative);
      else if (entry.isFile()) paths.push(relative);
    }
  }
  await walk("");
  return { paths, links };
}

const tooMuch = (what: string) =>
  new CliError(`Only code goes with a project, and ${what}. Leave data and builds out in a file .millraceignore, as .gitignore does.`);

async function linesOf(file: string): Promise<string[]> {
  try {
    return (await readFile(file, "utf8")).split("\n");
  } catch {
    return [];
  }
}
