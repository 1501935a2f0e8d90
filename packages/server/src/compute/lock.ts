/** Requirements as people write them become locked ones: each package of one version, with the hashes of its files. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Interpreter, Progress } from "./types.js";
import { findUv, registrySettings, tool } from "./uv.js";

export async function lockRequirements(
  { toolsFolder }: { toolsFolder: string },
  python: Interpreter,
  { requirements, constraints }: { requirements: string; constraints: string },
  progress: Progress,
): Promise<string> {
  const uv = await findUv(toolsFolder, python, progress);
  const folder = await mkdtemp(path.join(tmpdir(), "millrace-lock-"));
  try {
    const [wanted, bounds, locked] = ["requirements.in", "constraints.txt", "requirements.lock"].map((name) => path.join(folder, name));
    if (wanted === undefined || bounds === undefined || locked === undefined) throw new Error("no place for the lock");
    await writeFile(wanted, requirements);
    await writeFile(bounds, constraints);
    const quiet = ["--quiet", "--generate-hashes", "--no-header", "--no-annotate"];
    const args = ["pip", "compile", ...quiet, "--python", python.path, "--constraint", bounds, "--output-file", locked, wanted];
    await tool(uv, args, progress, "The requirements can't be locked.", { ...(await registrySettings(python)), UV_NO_PROGRESS: "1" });
    return await readFile(locked, "utf8");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
