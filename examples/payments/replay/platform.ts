/** A platform of one's own, with a replayed clock, and the CLI that speaks to it. */
import { execFile, spawn } from "node:child_process";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const project = fileURLToPath(new URL("..", import.meta.url));
const checkout = path.join(project, "../..");
const command = path.join(checkout, "bin", "millrace");

export interface Platform {
  url: string;
  /** Runs the CLI against it, and answers what it prints. */
  cli(args: string[]): Promise<string>;
  stop(): Promise<void>;
  ended: Promise<void>;
}

/** `arrivals` is the folder that the project's datasets watch, relative to the project. */
export async function startPlatform({ dataDir, port, from, arrivals }: { dataDir: string; port: number; from: string; arrivals: string }): Promise<Platform> {
  const child = spawn(command, ["up", "--port", String(port), "--data-dir", dataDir, "--replay-from", from], {
    stdio: ["ignore", "pipe", "inherit"],
    // Environments are named by the locked requirements they are made from: the same for every replay.
    env: { MILLRACE_ENVIRONMENTS: path.join(checkout, ".millrace", "environments"), ...process.env },
  });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const url = await new Promise<string>((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`The platform ended with ${code}.`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const address = /https?:\/\/\S+/.exec(line)?.[0];
      if (address !== undefined) resolve(address);
    });
  });
  return {
    url,
    ended,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
      await ended;
    },
    async cli(args) {
      const env = { ...process.env, MILLRACE_URL: url, PAYMENTS_ARRIVALS: arrivals };
      return (await promisify(execFile)(command, args, { env, maxBuffer: 16 * 1024 ** 2 })).stdout;
    },
  };
}
