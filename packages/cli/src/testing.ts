/** For tests: the command as a process of its own, against a server. */
import { execFile } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("main.ts", import.meta.url));
const root = fileURLToPath(new URL("../../../", import.meta.url));
/** What Node is given to run the command from its sources, in whatever folder. */
export const source = ["--conditions=millrace-source", "--import", path.join(root, "node_modules/tsx/dist/esm/index.mjs"), main];

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}
interface Options {
  url: string;
  cwd?: string;
  env?: Record<string, string>;
  input?: string;
  timeoutMs?: number;
}
export function runCommand(args: readonly string[], { url, cwd = root, env = {}, input, timeoutMs = 60_000 }: Options): Promise<Ended> {
  return new Promise((resolve) => {
    const settings = { cwd, env: { ...process.env, MILLRACE_URL: url, ...env }, timeout: timeoutMs };
    const child = execFile(process.execPath, [...source, ...args], settings, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : -1, stdout, stderr }),
    );
    if (input !== undefined) child.stdin?.end(input);
  });
}
