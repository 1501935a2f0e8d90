/** A PostgreSQL on a folder: made where it is not there, started where it does not run, attached to where it does. */
import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chown, link, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { createServer } from "node:net";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import pg from "pg";
import { StartError } from "../errors.js";
import { isAlive } from "../process.js";
import { findPrograms, type Programs } from "./programs.js";

const run = promisify(execFile);
const major = "18";
const largestLog = 10 * 1024 * 1024;
const startMs = 60_000;
const stopMs = 30_000;
const settings = {
  shared_buffers: "128MB",
  max_connections: "100",
  max_wal_size: "2GB",
  timezone: "UTC",
  log_timezone: "UTC",
  random_page_cost: "1.1",
  jit: "off",
};

export interface RunningPostgres {
  url: string;
  port: number;
  pid: number;
  /** Whether it ran already. */
  attached: boolean;
}
export interface Cluster {
  /** Resolves when it takes connections. Several may ask at once, in several processes: one starts it. `meanwhile` is called once it is starting. */
  run(port?: number, meanwhile?: () => void): Promise<RunningPostgres>;
}

export async function openCluster(folder: string): Promise<Cluster> {
  const programs = await findPrograms();
  const data = path.join(folder, "cluster");
  await mkdir(folder, { recursive: true });
  if (programs.user !== undefined) await chown(folder, programs.user.uid, programs.user.gid);
  const password = await keptPassword(folder, programs);
  await initialize(folder, data, programs);
  const url = (port: number) => `postgres://millrace:${password}@127.0.0.1:${port}/postgres`;

  return {
    async run(port, meanwhile) {
      for (const end = performance.now() + startMs; ; await delay(50)) {
        const running = await postmaster(data);
        if (running !== undefined) {
          const failure = await answering(url(running.port), () => isAlive(running.pid));
          if (failure === undefined) return { ...running, url: url(running.port), attached: true };
        } else {
          const chosen = port ?? (await freePort());
          const started = await start(folder, data, chosen, programs, url(chosen), meanwhile);
          if ("pid" in started) return { ...started, port: chosen, url: url(chosen), attached: false };
          // Somebody else may have started it at the same moment, or what was killed may not be gone in all its parts.
          if (!/postmaster\.pid|shared memory block/.test(started.failure)) throw new StartError(`PostgreSQL does not start in ${folder}: ${started.failure}`);
        }
        if (performance.now() > end) throw new StartError(`PostgreSQL in ${folder} takes no connections. Its log is ${path.join(folder, "log")}.`);
      }
    },
  };
}

/** Ends it as soon as its clients' transactions are rolled back, and waits for that. */
export async function stopPostgres(pid: number): Promise<void> {
  if (!isAlive(pid)) return;
  process.kill(pid, "SIGINT");
  for (const end = performance.now() + stopMs; isAlive(pid) && performance.now() < end; ) await delay(10);
}

/** Of several that make one at once, the first one's counts. */
async function keptPassword(folder: string, { user }: Programs): Promise<string> {
  const kept = path.join(folder, "password");
  const before = await readFile(kept, "utf8").catch(() => "");
  if (before !== "") return before;
  const made = path.join(folder, `password.${randomBytes(6).toString("hex")}`);
  const file = await open(made, "wx", 0o600);
  try {
    await file.writeFile(randomBytes(24).toString("hex"));
    await file.sync();
  } finally {
    await file.close();
  }
  if (user !== undefined) await chown(made, user.uid, user.gid);
  await link(made, kept).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  await rm(made);
  await syncFolder(folder);
  return readFile(kept, "utf8");
}

/** Made beside its place and moved there when it is whole: a start that is killed leaves no half of one. */
async function initialize(folder: string, data: string, programs: Programs): Promise<void> {
  const found = await readFile(path.join(data, "PG_VERSION"), "utf8").catch(() => undefined);
  if (found !== undefined) {
    if (found.trim() === major) return;
    throw new StartError(`The data in ${folder} is of PostgreSQL ${found.trim()}, and this Millrace brings ${major}. Start the Millrace that wrote it.`);
  }
  await removeLeftovers(folder);
  const made = path.join(folder, `new-cluster.${randomBytes(6).toString("hex")}`);
  const { file, args, options } = programs.command("initdb", [
    ...["-D", made, "-U", "millrace", "--auth=scram-sha-256", `--pwfile=${path.join(folder, "password")}`],
    ...["--encoding=UTF8", "--locale=C", "--no-instructions"],
  ]);
  try {
    await run(file, args, { ...options, timeout: 5 * startMs });
    await rename(made, data);
    await syncFolder(folder);
  } catch (error) {
    await rm(made, { recursive: true, force: true });
    if ((error as NodeJS.ErrnoException).code === "ENOTEMPTY" || (error as NodeJS.ErrnoException).code === "EEXIST") return;
    throw failed(folder, (error as { stderr?: string }).stderr ?? (error as Error).message, `PostgreSQL can't make its data in ${folder}`);
  }
}

/** What starts that were killed left behind, long enough ago that nobody is at it. */
async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const left = path.join(folder, name);
    if (!/^(new-cluster|password)\./.test(name)) continue;
    const { mtimeMs } = await stat(left).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs > 60 * startMs) await rm(left, { recursive: true, force: true });
  }
}

async function start(
  folder: string,
  data: string,
  port: number,
  programs: Programs,
  url: string,
  meanwhile: (() => void) | undefined,
): Promise<{ pid: number } | { failure: string }> {
  const given = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const { file, args, options } = programs.command("postgres", ["-D", data, "-p", String(port), "-h", "127.0.0.1", "-k", "", ...given]);
  // To a file and not a pipe: it outlives a server that is killed.
  const logFile = path.join(folder, "log");
  const before = await stat(logFile).catch(() => ({ size: 0 }));
  if (before.size > largestLog) await rename(logFile, `${logFile}.1`);
  const log = await open(logFile, "a", 0o640);
  const said = before.size > largestLog ? 0 : before.size;
  // A group of its own: Ctrl-C is for the server, which then ends it.
  const child = spawn(file, args, { ...options, stdio: ["ignore", log.fd, log.fd], detached: true });
  let ended: string | undefined;
  child.once("error", (error) => {
    ended = error.message;
  });
  child.once("exit", (code, signal) => {
    ended = `it ended with ${code ?? signal}`;
  });
  child.unref();
  await log.close();
  meanwhile?.();
  const failure = await answering(url, () => ended === undefined);
  // That something answers may also mean that another process has it; ours is that of the folder's note.
  if (failure === undefined && child.pid !== undefined && ended === undefined) return { pid: child.pid };
  const text = (await readFile(logFile, "utf8").catch(() => "")).slice(said);
  return { failure: failed(folder, text, ended ?? "it does not answer").message };
}

function failed(folder: string, said: string, what: string): StartError {
  if (/No space left on device|disk quota exceeded|Check free disk space/i.test(said))
    return new StartError(`There is no space left in ${folder}. Free some, then start again.`);
  if (/Read-only file system/i.test(said)) return new StartError(`${folder} can't be written: its file system is read-only.`);
  return new StartError(`${what}\n${said.trim().split("\n").slice(-5).join("\n")}`);
}

/** Waits until it takes connections: after a crash it first reads its log. Answers what the matter is where it ended instead. */
async function answering(url: string, lives: () => boolean): Promise<Error | undefined> {
  for (const end = performance.now() + startMs; ; await delay(20)) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
    client.on("error", () => {});
    try {
      await client.connect();
      await client.end();
      return undefined;
    } catch (error) {
      await client.end().catch(() => {});
      if (!lives() || performance.now() > end) return error instanceof Error ? error : new Error(String(error));
    }
  }
}

/** PostgreSQL's own note of who runs on the folder. */
async function postmaster(data: string): Promise<{ pid: number; port: number } | undefined> {
  const lines = (await readFile(path.join(data, "postmaster.pid"), "utf8").catch(() => "")).split("\n");
  const [pid, port] = [Number(lines[0]), Number(lines[3])];
  if (!(pid > 0 && port > 0 && isAlive(pid))) return undefined;
  // After a reboot the number may be another program's.
  const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "postgres");
  return command.includes("postgres") ? { pid, port } : undefined;
}

async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (address !== null && typeof address === "object" ? resolve(address.port) : reject(new Error("There is no free port."))));
    });
  });
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
