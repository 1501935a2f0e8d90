/** Loads a project's definition files, and says where they are broken. */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { isProject, type Project } from "@millrace/sdk";
import { tsImport } from "tsx/esm/api";
import { CliError, exit } from "../errors.js";
import { tsconfigOf } from "./tsconfig.js";

const entries = ["millrace.ts", "millrace.mts", "millrace.js", "millrace.mjs"];

/** The file that a project begins with. Throws where the folder is no project. */
export function entryOf(folder: string): string {
  if (!existsSync(folder)) throw new CliError(`There is no folder ${folder}.`, exit.usage);
  const entry = entries.find((name) => existsSync(path.join(folder, name)));
  if (entry === undefined) throw new CliError(`${folder} is no project: it has no millrace.ts. Make a project with: millrace init <folder>`, exit.usage);
  return entry;
}

export async function loadProject(folder: string): Promise<Project> {
  const entry = entryOf(folder);
  if (!/\.m[jt]s$/.test(entry) && !isModule(folder)) {
    throw new CliError(`${entry}: a project's files are ES modules. Write { "private": true, "type": "module" } into ${path.join(folder, "package.json")}.`);
  }
  let module: unknown;
  try {
    module = await tsImport(pathToFileURL(path.join(folder, entry)).href, { parentURL: import.meta.url, tsconfig: tsconfigOf(folder) ?? false });
  } catch (error) {
    throw new CliError(broken(error, folder, entry));
  }
  const project = isRecord(module)
    ? Object.values(module)
        .flatMap((one) => (isRecord(one) && !isProject(one) ? Object.values(one) : [one]))
        .find(isProject)
    : undefined;
  if (project === undefined) throw new CliError(`${entry}:1: it exports no project. End it with: export default project({ name: "…", definitions: […] });`);
  return project;
}

/** What the nearest package.json says. */
function isModule(folder: string): boolean {
  for (let at = folder; ; at = path.dirname(at)) {
    const file = path.join(at, "package.json");
    if (existsSync(file)) return /"type"\s*:\s*"module"/.test(readFileSync(file, "utf8"));
    if (at === path.dirname(at)) return false;
  }
}

/** `file:line: what`, for each error that can be placed. */
function broken(error: unknown, folder: string, entry: string): string {
  if (!(error instanceof Error)) return `${entry}: it threw ${String(error)}.`;
  const relative = (file: string) => path.relative(folder, file).split(path.sep).join("/");
  // esbuild tells syntax errors in the message, one a line: /folder/file.ts:3:9: ERROR: Expected …
  const syntax = [...error.message.matchAll(/^(.+):(\d+):\d+: ERROR: (.+)$/gm)];
  if (syntax.length > 0) return syntax.map(([, file = "", line, what]) => `${relative(file)}:${line}: ${what}`).join("\n");
  const missing = /Cannot find (?:module|package) '([^']+)'(?: imported from (.+))?/.exec(error.message);
  if (missing?.[1] !== undefined) {
    const importer = missing[2] === undefined ? undefined : fromUrl(missing[2]);
    const what = missing[1].startsWith(folder) ? relative(missing[1]) : missing[1];
    const place = importer === undefined ? entry : `${relative(importer)}${lineOf(importer, path.basename(what).replace(/\.[^.]*$/, ""))}`;
    const hint = what.startsWith("@millrace/sdk") ? "; point to it with paths in tsconfig.json, as millrace init does, or install it" : "";
    return `${place}: there is no module "${what}"${hint}`;
  }
  const lacking = /The requested module '([^']+)' does not provide an export named '([^']+)'/.exec(error.message);
  const place = placeIn(error.stack ?? "", folder);
  if (lacking !== null) return `${place === undefined ? entry : place}: "${lacking[1]}" has nothing named "${lacking[2]}"`;
  return `${place ?? entry}: ${error.message}`;
}

/** The first line of the stack that is in the project. */
function placeIn(stack: string, folder: string): string | undefined {
  for (const line of stack.split("\n")) {
    const frame = /((?:file:\/\/)?\/[^()\n]*?):(\d+)(?::\d+)?\)?$/.exec(line.trim());
    if (frame?.[1] === undefined) continue;
    const file = fromUrl(frame[1]);
    if (file.startsWith(`${folder}${path.sep}`) && !file.includes(`${path.sep}node_modules${path.sep}`)) return `${path.relative(folder, file)}:${frame[2]}`;
  }
  return undefined;
}
function fromUrl(file: string): string {
  const [bare = file] = file.split("?");
  return bare.startsWith("file:") ? fileURLToPath(bare) : bare;
}
function lineOf(file: string, text: string): string {
  try {
    const index = readFileSync(file, "utf8")
      .split("\n")
      .findIndex((line) => line.includes(text));
    return index < 0 ? "" : `:${index + 1}`;
  } catch {
    return "";
  }
}
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
