import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openFolderStore } from "../platform/index.js";
import { createCompute } from "./index.js";
import { findPython } from "./interpreter.js";

let folder: string;
const config = {
  host: "127.0.0.1",
  port: 0,
  clock: { kind: "system" as const },
  logLevel: "warn",
  get dataDir() {
    return folder;
  },
};
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A command that answers as a Python of that version would. */
async function pretend(name: string, version: string): Promise<string> {
  const bin = path.join(folder, name);
  await mkdir(bin, { recursive: true });
  await writeFile(path.join(bin, "python3"), `#!/bin/sh\necho ${bin}/python3\necho ${version}\n`, { mode: 0o755 });
  return bin;
}

test("where there is no Python, the error says what to install", async () => {
  await expect(findPython({ PATH: folder })).rejects.toThrow("Python steps need Python 3.10 or newer, and none was found on the PATH. Install it, or let");
});

test("a Python that is too old is named", async () => {
  const PATH = await pretend("old", "3.9");
  await expect(findPython({ PATH })).rejects.toThrow("only older ones were found (python3 is 3.9)");
  await expect(findPython({ PATH, PYTHON: `${PATH}/python3` })).rejects.toThrow("is Python 3.9. Python steps need 3.10 or newer.");
  await expect(findPython({ PATH, PYTHON: "/nowhere/python" })).rejects.toThrow("names /nowhere/python, which does not run as Python");
});

test("an environment is made once from a lock, by two who want it at once, also where an earlier attempt was killed", async () => {
  const compute = createCompute({ config, objects: await openFolderStore(path.join(folder, "objects")) });
  const python = await compute.python();
  const file = path.join(folder, "requirements.lock");
  await writeFile(file, "iniconfig==2.0.0 --hash=sha256:b6a85871a79d2e3b22d2d1b94ac2824226a63c6b741c88f7ae975f18b6778374\n");
  const hex = "ab".repeat(32);
  const name = `${hex.slice(0, 32)}-py${python.version}`;
  const gone = Number(execFileSync("sh", ["-c", "echo $$"]).toString());
  await mkdir(path.join(folder, "environments", `${name}.lock`), { recursive: true });
  await writeFile(path.join(folder, "environments", `${name}.lock`, "holder"), JSON.stringify({ host: hostname(), pid: gone }));

  const lines: string[] = [];
  const make = () => compute.environment({ file, digest: `sha256:${hex}` }, { signal: new AbortController().signal, onLine: (text) => lines.push(text) });
  const [one, two] = await Promise.all([make(), make()]);
  expect(one).toEqual(two);
  expect(execFileSync(one.path, ["-c", "import iniconfig; print(iniconfig.__file__)"]).toString()).toContain(name);
  expect(await readdir(path.join(folder, "environments"))).toEqual([name]);
  expect(lines.filter((line) => line.startsWith("The environment is ready"))).toHaveLength(1);
  // What the tools say is told, without where things lie on this machine.
  expect(lines.join("\n")).toMatch(/Creating virtual environment at: tmp-[\s\S]* \+ iniconfig==2\.0\.0/);
  expect(lines.join("\n")).not.toMatch(/(^|[\s'"`])\/|Activate with/);
  await make();
  expect(lines.filter((line) => line.startsWith("The environment is ready"))).toHaveLength(1);
});

test("requirements whose contents are not those of the lock are refused", async () => {
  const compute = createCompute({ config, objects: await openFolderStore(path.join(folder, "objects")) });
  const file = path.join(folder, "wrong.lock");
  await writeFile(file, `iniconfig==2.0.0 --hash=sha256:${"0".repeat(64)}\n`);
  const made = compute.environment({ file, digest: `sha256:${"cd".repeat(32)}` }, { signal: new AbortController().signal, onLine: () => {} });
  await expect(made).rejects.toThrow(/The requirements can't be installed[\s\S]*[Hh]ash/);
});
