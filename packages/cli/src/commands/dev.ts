import { type FSWatcher, watch } from "node:fs";
import path from "node:path";
import { explain } from "../errors.js";
import { print, tell } from "../output.js";
import { compileProject } from "../project/compile.js";
import { ignoring } from "../project/ignore.js";
import { connect, type ServerOptions } from "../server.js";
import { appliedLines } from "./apply.js";

/** Editors save in several steps. */
const quietMs = 120;

/** Applies the project whenever a file of it is saved, until SIGINT or SIGTERM. What is wrong is told, and the next save tries again. */
export async function dev(given: string, options: ServerOptions): Promise<void> {
  const folder = path.resolve(given);
  const client = connect(options);
  let version: number | undefined;
  let applying = false;
  let again = false;

  async function apply(): Promise<void> {
    if (applying) {
      again = true;
      return;
    }
    applying = true;
    try {
      const { spec, upload } = await compileProject(folder);
      await upload(client, await client.projects.plan(spec));
      const applied = await client.projects.apply(spec);
      if (applied.version !== version) print(`${clock()} ${appliedLines(applied).join("\n         ")}`);
      version = applied.version;
    } catch (error) {
      tell(`${clock()} ${explain(error)}`);
    } finally {
      applying = false;
    }
    if (again) {
      again = false;
      await apply();
    }
  }

  await apply();
  const ignored = ignoring([]);
  let quiet: NodeJS.Timeout | undefined;
  const watcher: FSWatcher = watch(folder, { recursive: true }, (_kind, name) => {
    // Its packages, data and dotfiles are no code: those of git change with every look at it.
    if (name === null || name.split(path.sep).some((_, index, all) => ignored(`${all.slice(0, index + 1).join("/")}${index + 1 < all.length ? "/" : ""}`)))
      return;
    clearTimeout(quiet);
    quiet = setTimeout(() => void apply(), quietMs);
  });
  // Whoever reads that it watches may end it at once.
  const ended = new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
  print(`Watching ${path.relative(process.cwd(), folder) || "."}: what is saved is applied. End with Ctrl-C.`);
  await ended;
  watcher.close();
  clearTimeout(quiet);
}

const clock = (): string => new Date().toTimeString().slice(0, 8);
