/** The tool that makes environments. Where the machine has none it is installed once, with pip, into a folder of the platform's own. */
import { execFile } from "node:child_process";
import { access, mkdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { runProcess } from "../platform/index.js";
import { stepEnvironment } from "./inherited.js";
import type { Interpreter, Progress } from "./types.js";

const run = promisify(execFile);
/** The newest of the versions whose command line is known to be the one that is used here. */
const wanted = "uv>=0.8,<1";
const minutes = 60_000;

/** The path of `uv`. */
export async function findUv(folder: string, python: Interpreter, progress: Progress): Promise<string> {
  const installed = path.join(folder, "uv", process.platform === "win32" ? "Scripts/uv.exe" : "bin/uv");
  for (const candidate of ["uv", installed]) {
    if (await works(candidate)) return candidate;
  }
  progress.onLine("Installing uv, which makes the environments of Python steps.");
  await mkdir(folder, { recursive: true });
  const made = path.join(folder, `uv-${process.pid}-${Date.now()}`);
  try {
    await tool(python.path, ["-m", "venv", made], progress, "A virtual environment can't be made. On Debian and Ubuntu: install the package python3-venv.");
    const pip = path.join(made, process.platform === "win32" ? "Scripts/python.exe" : "bin/python");
    await tool(pip, ["-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off", wanted], progress, "uv can't be installed with pip.");
    // Where another process was quicker, its installation is as good.
    await rename(made, path.join(folder, "uv")).catch(async (error) => {
      if (!(await works(installed))) throw error;
    });
  } finally {
    await rm(made, { recursive: true, force: true });
  }
  await access(installed);
  return installed;
}

async function works(command: string): Promise<boolean> {
  return run(command, ["--version"]).then(
    () => true,
    () => false,
  );
}

/** Runs a command of the set-up; its lines are the progress. */
export async function tool(command: string, args: string[], progress: Progress, failure: string, environment: Record<string, string> = {}): Promise<void> {
  const last: string[] = [];
  const ended = await runProcess({
    command,
    args,
    cwd: process.cwd(),
    env: { ...stepEnvironment(), ...environment },
    timeoutMs: 30 * minutes,
    signal: progress.signal,
    maxLogBytes: 8 * 1024 ** 2,
    onLine(_stream, said) {
      // How a person would enter the environment is nothing for a log.
      if (said.trim() === "" || said.startsWith("Activate with:")) return;
      const text = withoutFolders(said);
      last.push(text);
      if (last.length > 15) last.shift();
      progress.onLine(text);
    },
  });
  progress.signal.throwIfAborted();
  if (ended.code !== 0) throw new Error(`${failure} ${path.basename(command)} said:\n${last.join("\n")}`);
}

/** Where things lie on this machine is nobody's business who reads a step's log: of each path its last part is left. */
const withoutFolders = (text: string): string => text.replaceAll(/(?<![\w:/.])(?:file:\/\/)?(?:\/|[A-Za-z]:\\)(?:[^\s/\\`'":]+[/\\])+(?=[^\s/\\`'":])/g, "");

/** What pip is configured with on this machine, as uv reads it: uv knows pip's settings not by itself. */
export async function registrySettings(python: Interpreter): Promise<Record<string, string>> {
  const asked = await run(python.path, ["-m", "pip", "config", "list"], { timeout: 30_000 }).catch(() => undefined);
  const settings = new Map<string, string>();
  // `global.index-url='…'`, then those of the command, then `:env:.index-url='…'`: the later wins.
  for (const line of asked?.stdout.split(/\r?\n/) ?? []) {
    const match = /^(?:global|install|:env:)\.([a-z-]+)='(.*)'$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) settings.set(match[1], match[2].replaceAll("\\n", " ").trim());
  }
  const translated: [string, string[], string | undefined][] = [
    ["UV_DEFAULT_INDEX", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"], settings.get("index-url")],
    ["UV_INDEX", ["UV_INDEX", "UV_EXTRA_INDEX_URL"], settings.get("extra-index-url")],
    ["UV_FIND_LINKS", ["UV_FIND_LINKS"], settings.get("find-links")?.replaceAll(" ", ",")],
    ["UV_INSECURE_HOST", ["UV_INSECURE_HOST"], settings.get("trusted-host")],
    ["SSL_CERT_FILE", ["SSL_CERT_FILE"], settings.get("cert")],
  ];
  return Object.fromEntries(
    translated.flatMap(([name, own, value]) => (value === undefined || value === "" || own.some((o) => process.env[o] !== undefined) ? [] : [[name, value]])),
  );
}
