/** From a project's folder to a release: the commit's files, their digests, and what they are built on. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { type ReleaseParts, releaseOf, sha256 } from "@millrace/sdk/release";
import { CliError } from "../errors.js";
import { toldOf } from "../keys.js";
import { compileProject } from "./compile.js";
import { isLock, sbomOf } from "./sbom.js";

export interface MadeRelease extends ReleaseParts {
  sbom: Uint8Array<ArrayBuffer>;
  /** Links in the folder, which are left out. */
  links: string[];
  /** Who made the commit, by their addresses. */
  authors: string[];
  /** The bytes of any of its parts. */
  read(digest: string): Promise<Uint8Array<ArrayBuffer>>;
}

/** Throws a CliError with a line for everything that is in the way. */
export async function makeRelease(folder: string): Promise<MadeRelease> {
  const { spec, links, read: readFileOf } = await compileProject(folder);
  const commit = spec.source?.commit;
  if (commit !== undefined && spec.source?.dirty === false) await checkTracked(folder, spec.files);
  const locks = spec.files.filter((file) => isLock(file.path));
  const texts = await Promise.all(locks.map(async ({ path: file }) => ({ path: file, text: await readFile(path.join(folder, file), "utf8") })));
  const sbom = toldOf(() => sbomOf({ name: spec.name, commit: commit ?? "" }, texts));
  const parts = toldOf(() => releaseOf(spec, sbom));
  const own = new Map([
    [parts.digest, parts.bytes],
    [parts.manifest.document, parts.document],
    [parts.manifest.sbom, sbom],
  ]);
  return {
    ...parts,
    sbom,
    links,
    authors: await authorsOf(folder),
    async read(digest) {
      const bytes = own.get(digest) ?? (await readFileOf(digest));
      // A file that changes while it is released is not what was released.
      if (sha256(bytes) !== digest) throw new CliError("A file was changed meanwhile. Release again.");
      return bytes;
    },
  };
}

const git = async (folder: string, ...args: string[]): Promise<string> =>
  (await promisify(execFile)("git", ["-C", folder, ...args], { timeout: 20_000, maxBuffer: 64 * 1024 ** 2 })).stdout;

/** Git may be told not to look at a file; it is not of the commit all the same. */
async function checkTracked(folder: string, files: readonly { path: string }[]): Promise<void> {
  const tracked = new Set((await git(folder, "ls-files", "-z")).split("\0"));
  const others = files.filter((file) => !file.path.startsWith(".millrace/") && !tracked.has(file.path)).map((file) => file.path);
  if (others.length === 0) return;
  const named = `${others.slice(0, 5).join(", ")}${others.length > 5 ? ` and ${others.length - 5} more` : ""}`;
  throw new CliError(`A release is of a commit, and git ignores ${named}. Add what belongs to it, and leave out the rest with .gitignore or .millraceignore.`);
}

async function authorsOf(folder: string): Promise<string[]> {
  const told = await git(folder, "log", "-1", "--format=%ae%n%ce", "HEAD");
  return [...new Set(told.split("\n").filter((one) => one !== ""))].map((one) => one.slice(0, 300));
}
