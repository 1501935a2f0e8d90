/** Python environments: one for each locked set of requirements and Python version, made once, whole or not at all. */
import { randomUUID } from "node:crypto";
import { access, copyFile, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Interpreter, Progress } from "./types.js";
import { findUv, registrySettings, tool } from "./uv.js";

/** A lock whose holder did not touch it for so long is nobody's. */
const staleMs = 20_000;
const touchMs = 4_000;
const lookMs = 300;
/** What is left of an interrupted creation may be used by nobody after this long. */
const abandonedMs = 3_600_000;

export async function makeEnvironment(
  { folder, toolsFolder }: { folder: string; toolsFolder: string },
  python: Interpreter,
  requirements: { file: string; digest: string },
  progress: Progress,
): Promise<Interpreter> {
  const name = `${requirements.digest.replace(/^sha256:/, "").slice(0, 32)}-py${python.version}`;
  const place = path.join(folder, name);
  const environment = { path: path.join(place, process.platform === "win32" ? "Scripts/python.exe" : "bin/python"), version: python.version };
  if (await exists(environment.path)) return environment;

  await mkdir(folder, { recursive: true });
  await locked(path.join(folder, `${name}.lock`), progress, async () => {
    if (await exists(environment.path)) return;
    await removeAbandoned(folder);
    const made = path.join(folder, `tmp-${name}-${randomUUID().slice(0, 8)}`);
    const began = performance.now();
    progress.onLine("Making the environment of the locked requirements; it is kept for the next runs.");
    try {
      const uv = await findUv(toolsFolder, python, progress);
      // Relocatable, so that it can be made aside and renamed when it is whole.
      await tool(uv, ["venv", "--relocatable", "--no-project", "--python", python.path, made], progress, "The environment can't be made.");
      const lock = path.join(made, "requirements.lock");
      await copyFile(requirements.file, lock);
      const pip = ["pip", "install", "--python", path.join(made, path.relative(place, environment.path)), "--require-hashes", "--compile-bytecode", "-r", lock];
      await tool(uv, pip, progress, "The requirements can't be installed.", { ...(await registrySettings(python)), UV_NO_PROGRESS: "1" });
      await rename(made, place).catch(async (error) => {
        if (!(await exists(environment.path))) throw error;
      });
      progress.onLine(`The environment is ready after ${((performance.now() - began) / 1000).toFixed(1)} s.`);
    } finally {
      await rm(made, { recursive: true, force: true });
    }
  });
  return environment;
}

/** One at a time of all processes that share the folder. Where two hold it by mischance, both make the same, and the first rename wins. */
async function locked(file: string, progress: Progress, work: () => Promise<void>): Promise<void> {
  for (let told = false; !(await take(file)); ) {
    if (await isStale(file)) {
      // Of those who see that it is stale, one takes it away.
      const taken = `${file}-${randomUUID().slice(0, 8)}`;
      await rename(file, taken).catch(() => {});
      await rm(taken, { recursive: true, force: true });
      continue;
    }
    if (!told) progress.onLine("Another run makes the environment of these requirements; this one waits for it.");
    told = true;
    await delay(lookMs, undefined, { signal: progress.signal });
  }
  const touching = setInterval(() => void utimes(file, new Date(), new Date()).catch(() => {}), touchMs);
  try {
    await work();
  } finally {
    clearInterval(touching);
    await rm(file, { recursive: true, force: true });
  }
}

async function take(file: string): Promise<boolean> {
  try {
    await mkdir(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
  await writeFile(path.join(file, "holder"), JSON.stringify({ host: hostname(), pid: process.pid }));
  return true;
}

async function isStale(file: string): Promise<boolean> {
  const touched = await stat(file).catch(() => undefined);
  if (touched === undefined) return false;
  if (Date.now() - touched.mtimeMs > staleMs) return true;
  const holder = await readFile(path.join(file, "holder"), "utf8").catch(() => "");
  const [, host, pid] = /^{"host":"(.*)","pid":(\d+)}$/.exec(holder) ?? [];
  return host === hostname() && pid !== undefined && !lives(Number(pid));
}

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

async function removeAbandoned(folder: string): Promise<void> {
  for (const entry of await readdir(folder)) {
    if (!entry.startsWith("tmp-")) continue;
    const left = await stat(path.join(folder, entry)).catch(() => undefined);
    if (left !== undefined && Date.now() - left.mtimeMs > abandonedMs) await rm(path.join(folder, entry), { recursive: true, force: true });
  }
}

const exists = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );
