/** Tools of the project's own, as processes. */
import { spawn } from "node:child_process";

export interface Ended {
  code: number;
  /** The last of what it said, on both streams. */
  said: string;
}
const mostSaid = 1_000_000;

export function runTool(
  command: string,
  args: readonly string[],
  options: { cwd: string; env?: Record<string, string>; timeoutMs: number; signal: AbortSignal },
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: options.cwd, env: { ...process.env, ...options.env }, stdio: ["ignore", "pipe", "pipe"], detached: true });
    let said = "";
    const heard = (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-mostSaid);
    };
    child.stdout.on("data", heard);
    child.stderr.on("data", heard);
    // With all that it started: test runners have workers.
    const end = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch {
        // It is gone.
      }
    };
    const timer = setTimeout(() => {
      said += `\nIt was ended after ${Math.round(options.timeoutMs / 60_000)} min.\n`;
      end();
    }, options.timeoutMs);
    process.once("exit", end);
    options.signal.addEventListener("abort", end, { once: true });
    const over = () => {
      clearTimeout(timer);
      process.removeListener("exit", end);
      options.signal.removeEventListener("abort", end);
    };
    child.once("error", (error) => {
      over();
      reject(error);
    });
    child.once("close", (code) => {
      over();
      resolve({ code: code ?? 1, said });
    });
  });
}

/** Without what colours it, at most so many of its last lines. */
export function linesOf(said: string, most = 60): string[] {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what colours
  const lines = said.replaceAll(/\u001b\[[0-9;]*[A-Za-z]/g, "").split(/\r?\n/);
  while (lines.at(-1)?.trim() === "") lines.pop();
  return lines.slice(-most);
}
