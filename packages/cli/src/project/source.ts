import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { ProjectSpec } from "@millrace/sdk/spec";

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
    return { commit, ...(branch === "HEAD" ? {} : { branch }), dirty: changed !== "" };
  } catch {
    return undefined;
  }
}
