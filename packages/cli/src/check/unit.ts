/** The project's own unit tests: as package.json says them, else by the runners that its test files are written for. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { projectPaths } from "../project/files.js";
import type { Case, Collector } from "./result.js";
import { type Ended, linesOf, runTool } from "./tool.js";

const timeoutMs = 30 * 60_000;
/** The helper that Python steps import. */
const helper = fileURLToPath(new URL("../../../../python", import.meta.url));

export async function unitTests(folder: string, found: Collector, signal: AbortSignal): Promise<void> {
  const tests: Tests = { folder, run: (command, args, env = {}) => runTool(command, args, { cwd: folder, env, timeoutMs, signal }) };
  const [script, { paths: files }] = await Promise.all([testScript(folder), projectPaths(folder)]);
  const inNode = files.filter((file) => /\.(test|spec)\.[cm]?[jt]s$/.test(file));
  const inPython = files.filter((file) => /(^|\/)(test_[^/]*|[^/]*_test)\.py$/.test(file));
  if (script) await found.timed("project", "npm test", async () => told(await tests.run("npm", ["test", "--silent"])));
  else if (inNode.length > 0) {
    const texts = await Promise.all(inNode.map((file) => readFile(path.join(folder, file), "utf8")));
    const forVitest = inNode.filter((_, i) => /from\s+["']vitest["']/.test(texts[i] ?? ""));
    const forNode = inNode.filter((file) => !forVitest.includes(file));
    if (forVitest.length > 0) await found.timed("project", "tests of vitest", () => vitest(tests, forVitest));
    if (forNode.length > 0) await found.timed("project", "tests of node:test", () => node(tests, forNode));
  }
  if (inPython.length > 0) await found.timed("project", "tests in Python", () => python(tests, inPython));
  if (!script && inNode.length === 0 && inPython.length === 0) {
    const message = 'The project has no unit tests: neither "test" among the scripts of package.json, nor *.test.ts, nor test_*.py.';
    found.add({ group: "project", name: "tests", state: "skipped", ms: 0, message });
  }
}

interface Tests {
  folder: string;
  run(command: string, args: readonly string[], env?: Record<string, string>): Promise<Ended>;
}
type Told = { value: undefined } & Partial<Case>;
function told({ code, said }: Ended): Told {
  const lines = linesOf(said);
  if (code === 0) return { value: undefined, message: summaryOf(lines) };
  return { value: undefined, state: "failed", message: `ended with ${code}: ${summaryOf(lines)}`, details: lines };
}
/** How many there were, in the words of the runner. */
function summaryOf(lines: readonly string[]): string {
  const node = lines.flatMap((line) => /^(?:#|ℹ) ((?:pass|fail) \d+)$/.exec(line.trim())?.[1] ?? []);
  if (node.length > 0) return node.join(", ");
  const line = lines.findLast((one) => /\b(passed|failed|error)\b/i.test(one) && /\d/.test(one)) ?? lines.at(-1) ?? "";
  return line.replaceAll(/^[=\s]+|[=\s]+$/g, "").slice(0, 200);
}

async function testScript(folder: string): Promise<boolean> {
  const manifest: unknown = await readFile(path.join(folder, "package.json"), "utf8")
    .then(JSON.parse)
    .catch(() => undefined);
  if (typeof manifest !== "object" || manifest === null || !("scripts" in manifest)) return false;
  const { scripts } = manifest;
  if (typeof scripts !== "object" || scripts === null || !("test" in scripts) || typeof scripts.test !== "string") return false;
  // What npm writes into a new package.json is no test.
  return !scripts.test.includes("no test specified");
}

async function vitest({ folder, run }: Tests, files: readonly string[]): Promise<Told> {
  let manifest: string;
  try {
    manifest = createRequire(path.join(folder, "package.json")).resolve("vitest/package.json");
  } catch {
    throw new Error("Tests are written for vitest, which is not there. Install it: npm install --save-dev vitest");
  }
  const main = path.join(path.dirname(manifest), "vitest.mjs");
  return told(await run(process.execPath, [main, "run", "--root", folder, ...files]));
}

async function node({ run }: Tests, files: readonly string[]): Promise<Told> {
  const loader = import.meta.resolve("tsx");
  return told(await run(process.execPath, ["--import", loader, "--test", ...files]));
}

async function python({ folder, run }: Tests, files: readonly string[]): Promise<Told> {
  const texts = await Promise.all(files.map((file) => readFile(path.join(folder, file), "utf8")));
  const env = { PYTHONPATH: [helper, folder, process.env.PYTHONPATH ?? ""].filter((one) => one !== "").join(path.delimiter) };
  const own = [path.join(folder, ".venv", "bin", "python"), path.join(folder, ".venv", "Scripts", "python.exe")].filter((one) => existsSync(one));
  for (const interpreter of [...own, "python3", "python"]) {
    const has = await run(interpreter, ["-m", "pytest", "--version"]).catch(() => undefined);
    if (has?.code !== 0) continue;
    const ended = await run(interpreter, ["-m", "pytest", "-q", "-p", "no:cacheprovider", ...files], env);
    return ended.code === 5 ? { value: undefined, state: "skipped", message: "pytest found no test in these files." } : told(ended);
  }
  if (texts.every((text) => /^\s*(import unittest|from unittest)/m.test(text))) return told(await run(own[0] ?? "python3", ["-m", "unittest", ...files], env));
  throw new Error("Tests are written for pytest, which no Python here has: neither .venv nor python3. Install it: python3 -m pip install pytest");
}
