/** A platform of the replay's own: a server with a replayed clock, and the CLI that speaks to it. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const checkout = fileURLToPath(new URL("../../../", import.meta.url));
const command = path.join(checkout, "bin", "millrace");

export interface Platform {
  url: string;
  /** Runs the CLI against it; what it prints is passed on. */
  cli(args: string[]): Promise<void>;
  stop(): Promise<void>;
  ended: Promise<void>;
}

export async function startPlatform({ dataDir, port, from }: { dataDir: string; port: number; from: string }): Promise<Platform> {
  if (port !== 0 && (await isTaken(port)))
    throw new Error(`The port ${port} is in use, perhaps by an earlier replay. End that, or choose another with --port.`);
  await emptied(dataDir);
  const child = spawn(command, ["up", "--port", String(port), "--data-dir", dataDir, "--replay-from", from], {
    stdio: ["ignore", "pipe", "inherit"],
    // Environments are named by the locked requirements they are made from: the same for every replay.
    env: { MILLRACE_ENVIRONMENTS: path.join(checkout, ".millrace", "environments"), ...process.env },
  });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill("SIGTERM"));
  const url = await firstAddress(child);
  return {
    url,
    ended,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
      await ended;
    },
    cli: (args) =>
      new Promise((resolve, reject) => {
        const cli = spawn(command, args, { stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, MILLRACE_URL: url } });
        cli.once("error", reject);
        cli.once("exit", (code) => (code === 0 ? resolve() : reject(new Error(`millrace ${args[0]} ended with ${code}.`))));
      }),
  };
}

/** A replay begins from nothing. What is not an earlier replay's is left alone. */
async function emptied(folder: string): Promise<void> {
  const mark = path.join(folder, ".replay");
  const entries = await readdir(folder).catch((): string[] => []);
  if (entries.length > 0 && !entries.includes(".replay"))
    throw new Error(`${folder} holds something else than an earlier replay. Choose another folder with --data-dir.`);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await writeFile(mark, "The data of a replay: the next one removes it.\n");
}

function isTaken(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    const end = (taken: boolean) => {
      socket.destroy();
      resolve(taken);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
    socket.setTimeout(1_000, () => end(false));
  });
}

function firstAddress(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    if (child.stdout === null) return reject(new Error("The server has no output."));
    const lines = createInterface({ input: child.stdout });
    lines.on("line", (line) => {
      const url = /https?:\/\/\S+/.exec(line)?.[0];
      if (url !== undefined) resolve(url);
    });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`The server ended with ${code} at its start.`)));
  });
}
