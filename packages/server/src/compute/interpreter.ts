/** Which Python of this machine runs steps. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Interpreter } from "./types.js";

const oldest = [3, 10] as const;
const newest = 20;
const askMs = 15_000;
const run = promisify(execFile);

/** The one that the environment variable PYTHON names, else the first that is new enough of python3, python3.20 down to python3.10, and python. */
export async function findPython(environment: NodeJS.ProcessEnv = process.env): Promise<Interpreter> {
  const named = environment.PYTHON;
  if (named !== undefined && named !== "") {
    const found = await ask(named, environment);
    if (found === undefined) throw new Error(`The environment variable PYTHON names ${named}, which does not run as Python. Let it name Python 3.10 or newer.`);
    if (!isNewEnough(found))
      throw new Error(`The environment variable PYTHON names ${named}, which is Python ${found.version}. Python steps need 3.10 or newer.`);
    return found;
  }
  const tooOld: string[] = [];
  const numbered = Array.from({ length: newest - oldest[1] + 1 }, (_, i) => `python3.${newest - i}`);
  for (const name of ["python3", ...numbered, "python"]) {
    const found = await ask(name, environment);
    if (found !== undefined && isNewEnough(found)) return found;
    if (found !== undefined) tooOld.push(`${name} is ${found.version}`);
  }
  const seen = tooOld.length === 0 ? "none was found on the PATH" : `only older ones were found (${tooOld.join(", ")})`;
  throw new Error(`Python steps need Python 3.10 or newer, and ${seen}. Install it, or let the environment variable PYTHON name it.`);
}

/** The one of exactly this version, as `3.11`: `usual` where that is it, else what the PATH has of it. What was pickled by one version is not read by others. */
export async function findPythonOf(version: string, usual: () => Promise<Interpreter>): Promise<Interpreter> {
  const known = await usual().catch(() => undefined);
  if (known?.version === version) return known;
  const found = await ask(`python${version}`, process.env);
  if (found?.version === version) return found;
  const has = known === undefined ? "" : `; its own Python is ${known.version}`;
  throw new Error(`Python ${version} is needed, and this machine has none on the PATH of the server as python${version}${has}. Install it.`);
}

async function ask(command: string, environment: NodeJS.ProcessEnv): Promise<Interpreter | undefined> {
  try {
    const asked = await run(command, ["-c", "import sys; print(sys.executable); print('%d.%d' % sys.version_info[:2])"], { timeout: askMs, env: environment });
    const [path, version] = asked.stdout.trim().split(/\r?\n/);
    return path === undefined || version === undefined || !/^\d+\.\d+$/.test(version) ? undefined : { path, version };
  } catch {
    return undefined;
  }
}

function isNewEnough({ version }: Interpreter): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > oldest[0] || (major === oldest[0] && minor >= oldest[1]);
}
