/** Runs a step's script with the helper package that tells it what it was given. */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { runProcess } from "../platform/index.js";
import type { PythonScript } from "./types.js";

/** The folder that holds the package `millrace`. */
export const helpers = new URL("../../../../python/", import.meta.url);
const linesKept = 30;
const maxLogBytes = 64 * 1024 ** 2;
/** What the server knows and a step has no business with. */
const withheld = /^(DATABASE_URL|PG[A-Z]+|MILLRACE_.*|DBOS_.*)$/;

export async function runScript(script: PythonScript): Promise<void> {
  await mkdir(script.notes, { recursive: true });
  const outputFolders = new Set(Object.values(script.outputs).map((output) => path.dirname(output.path)));
  for (const folder of outputFolders) await mkdir(folder, { recursive: true });

  const lastErrors: string[] = [];
  const ended = await runProcess({
    command: script.interpreter.path,
    args: ["-u", fileURLToPath(new URL("millrace/_step.py", helpers)), script.script],
    cwd: script.folder,
    env: {
      ...stepEnvironment(),
      ...script.environment,
      PYTHONPATH: fileURLToPath(helpers),
      PYTHONDONTWRITEBYTECODE: "1",
      MILLRACE_STEP_FILE: await note("step", { run: "", step: "", inputs: script.inputs, outputs: script.outputs, params: script.params }),
    },
    timeoutMs: script.timeoutMs,
    signal: script.signal,
    maxLogBytes,
    onLine(stream, said) {
      // Where the project's files were put is nobody's business.
      const text = said.replaceAll(`${script.folder}${path.sep}`, "");
      if (stream === "stderr" && text.trim() !== "") lastErrors.push(text);
      if (lastErrors.length > linesKept) lastErrors.shift();
      script.onLine(stream, text);
    },
  });
  script.signal.throwIfAborted();
  if (ended.ended === "timeout") throw new Error(`${script.script} ran for longer than its timeout of ${script.timeoutMs / 1000} s, and was ended.`);
  if (ended.code === 0) return;
  const how =
    ended.signal === null ? `ended with code ${ended.code}` : `was killed by ${ended.signal}${ended.signal === "SIGKILL" ? " (out of memory, maybe)" : ""}`;
  // A traceback says what was wrong in its last line.
  const reason = lastErrors.at(-1);
  throw new Error([`${script.script} ${how}${reason === undefined ? ", and said nothing on standard error." : `: ${reason}`}`, ...lastErrors].join("\n"));

  async function note(name: string, content: unknown): Promise<string> {
    const file = path.join(script.notes, `${name}.json`);
    await writeFile(file, JSON.stringify(content));
    return file;
  }
}

export function stepEnvironment(): Record<string, string> {
  return Object.fromEntries(Object.entries(process.env).flatMap(([name, value]) => (value === undefined || withheld.test(name) ? [] : [[name, value]])));
}
