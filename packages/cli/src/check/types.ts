/** The project's own types, by its own tsconfig.json and the TypeScript that is there. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { tsconfigOf } from "../project/tsconfig.js";
import type { Collector } from "./result.js";
import { linesOf, runTool } from "./tool.js";

const mostErrors = 100;

export async function checkTypes(folder: string, found: Collector, signal: AbortSignal): Promise<void> {
  await found.timed("project", "types", async () => {
    const config = tsconfigOf(folder);
    if (config === undefined) return { value: undefined, state: "skipped", message: "The project has no tsconfig.json, so its types are not checked." };
    const compiler = await typescriptOf(folder);
    if (compiler === undefined)
      return {
        value: undefined,
        state: "skipped",
        message: "There is no TypeScript, so the types are NOT checked. Install it: npm install --save-dev typescript",
      };
    const { code, said } = await runTool(process.execPath, [compiler.tsc, "--noEmit", "--pretty", "false", "-p", config], {
      cwd: folder,
      timeoutMs: 10 * 60_000,
      signal,
    });
    const with_ = `TypeScript ${compiler.version}`;
    if (code === 0) return { value: undefined, message: with_ };
    const lines = linesOf(said, mostErrors);
    const errors = lines.flatMap((line) => {
      const [, file, row, what] = /^(.+?)\((\d+),\d+\): error (TS\d+: .+)$/.exec(line) ?? [];
      return file === undefined ? [] : [{ place: `${file}:${row}`, what: what ?? "" }];
    });
    const [first] = errors;
    if (first === undefined) return { value: undefined, state: "failed", message: `${with_} ended with ${code}`, details: lines };
    return {
      value: undefined,
      state: "failed",
      message: `${first.place}: ${first.what}${errors.length > 1 ? ` (and ${errors.length - 1} more)` : ""}`,
      details: lines,
      place: first.place,
    };
  });
}

/** The project's, else that which comes with the command. */
async function typescriptOf(folder: string): Promise<{ tsc: string; version: string } | undefined> {
  for (const from of [path.join(folder, "package.json"), import.meta.url]) {
    try {
      const manifest = createRequire(from).resolve("typescript/package.json");
      const { version }: { version?: unknown } = JSON.parse(await readFile(manifest, "utf8"));
      const tsc = path.join(path.dirname(manifest), "bin", "tsc");
      if (existsSync(tsc)) return { tsc, version: String(version) };
    } catch {
      // The next place.
    }
  }
  return undefined;
}
