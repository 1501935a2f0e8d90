import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { ProjectSpec } from "@millrace/sdk/spec";

const longestDiff = 1_048_576;
const cut = "\n… the rest is left out.\n";

/** The commit that the folder is at, and whether its files differ from it; undefined where there is no git. */
export async function sourceOf(folder: string): Promise<ProjectSpec["source"]> {
  const git = async (...args: string[]) =>
    (await promisify(execFile)("git", ["-C", folder, ...args], { timeout: 20_000, maxBuffer: 16 * 1024 ** 2 })).stdout.trim();
  try {
    const [commit, branch, changed] = await Promise.all([
      git("rev-parse", "HEAD"),
      git("rev-parse", "--abbrev-ref", "HEAD"),
      git("status", "--porcelain", "--untracked-files=normal", "--", "."),
    ]);
    const head = { commit, ...(branch === "HEAD" ? {} : { branch }), dirty: changed !== "" };
    if (!head.dirty) return head;
    const diff = await git("diff", "--no-color", "--no-ext-diff", "HEAD", "--", ".").catch(() => "");
    const untracked = changed.split("\n").flatMap((line) => (line.startsWith("?? ") ? [line.slice(3).slice(0, 1_000)] : []));
    return {
      ...head,
      ...(diff === "" ? {} : { diff: diff.length <= longestDiff ? diff : `${diff.slice(0, longestDiff - cut.length)}${cut}` }),
      ...(untracked.length === 0 ? {} : { untracked: untracked.slice(0, 1_000) }),
    };
  } catch {
    return undefined;
  }
}
