/** A step prepared for a person: its code, inputs and environment in a folder that stays, and the command that runs it there. */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Digest } from "../platform/index.js";
import type { Job } from "./backend.js";
import { makeEnvironment } from "./environment.js";
import { placeJob, resolveCommand } from "./files.js";
import { helpers } from "./inherited.js";
import { findPython } from "./interpreter.js";
import { limits } from "./layout.js";
import type { RunMessage } from "./typescript-protocol.js";
import { runnerCommand } from "./typescript-runners.js";

export interface Prepared {
  command: string[];
  cwd: string;
  /** Beside what the shell has. */
  env: Record<string, string>;
  /** Where it writes its outputs. */
  outputs: string;
}

/** `fetch` answers where the object of a digest lies on this machine. `typescript`: the job is one of a bundle and a step's name. */
export async function prepareStep(
  job: Job,
  {
    folder,
    environments,
    typescript,
    fetch,
    say,
  }: { folder: string; environments: string; typescript: boolean; fetch(digest: Digest): Promise<string>; say(text: string): void },
): Promise<Prepared> {
  const placed = await placeJob({ localPath: fetch }, job, folder);
  const { project: cwd, noteFile, note, outputs } = placed;
  if (typescript) {
    const [bundle = "", step = ""] = job.command;
    const message: RunMessage = {
      kind: "run",
      bundle: path.join(cwd, bundle),
      step,
      note,
      folder: cwd,
      environment: job.environment,
      maxLogBytes: limits.logBytes,
    };
    const file = path.join(folder, "run.json");
    await writeFile(file, JSON.stringify(message));
    return { command: [...runnerCommand(), file], cwd, env: job.environment, outputs };
  }
  let python: string | undefined;
  if (job.python !== undefined) {
    const interpreter = await findPython();
    const { requirements } = job.python;
    const signal = new AbortController().signal;
    await mkdir(environments, { recursive: true });
    const made =
      requirements === undefined
        ? interpreter
        : await makeEnvironment(
            { folder: environments, toolsFolder: path.join(environments, "tools") },
            interpreter,
            { file: await fetch(requirements.digest), digest: requirements.digest },
            { signal, onLine: say },
          );
    python = made.path;
  }
  const helperFolder = fileURLToPath(helpers);
  const step = path.join(helperFolder, "millrace", "_step.py");
  const command = resolveCommand(job.command, note, { step, ...(python === undefined ? {} : { python }) });
  const search =
    python === undefined
      ? {}
      : { PATH: [path.dirname(python), process.env.PATH].filter((one) => one !== undefined).join(path.delimiter), PYTHONPATH: helperFolder };
  return { command, cwd, env: { ...search, ...job.environment, MILLRACE_STEP_FILE: noteFile }, outputs };
}
