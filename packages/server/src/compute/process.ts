/** Runs a process to its end, with limits. */
import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";

export interface ProcessEnd {
  /** null where a signal ended it. */
  code: number | null;
  signal: NodeJS.Signals | null;
  timedOut: boolean;
}
/** Between asking a process to end and making it. */
const patienceMs = 2_000;

/** The process leads a group of its own, and all of the group ends with it. Rejects where it can't be started. */
export function runProcess(options: {
  command: string;
  args: string[];
  cwd: string;
  env: Record<string, string>;
  timeoutMs: number;
  signal: AbortSignal;
  /** What goes beyond is read and dropped. */
  maxLogBytes: number;
  onLine(stream: "stdout" | "stderr", text: string): void;
}): Promise<ProcessEnd> {
  return new Promise((resolve, reject) => {
    if (options.signal.aborted) return reject(options.signal.reason);
    const child = spawn(options.command, options.args, { cwd: options.cwd, env: options.env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    let timedOut = false;
    let bytes = 0;
    const kill = (signal: NodeJS.Signals) => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, signal);
      } catch {
        // It is gone.
      }
    };
    const end = () => {
      kill("SIGTERM");
      setTimeout(() => kill("SIGKILL"), patienceMs).unref();
    };
    const timer = setTimeout(() => {
      timedOut = true;
      end();
    }, options.timeoutMs);
    options.signal.addEventListener("abort", end, { once: true });
    const finished = () => {
      clearTimeout(timer);
      options.signal.removeEventListener("abort", end);
    };
    for (const stream of ["stdout", "stderr"] as const) {
      eachLine(child[stream], (text) => {
        bytes += text.length;
        if (bytes <= options.maxLogBytes) options.onLine(stream, text);
      });
    }
    child.once("error", (error) => {
      finished();
      reject(error);
    });
    // What a child of its own still holds open is not waited for.
    child.once("exit", () => kill("SIGKILL"));
    child.once("close", (code, signal) => {
      finished();
      resolve({ code, signal, timedOut });
    });
  });
}

const longestLine = 64 * 1024;
/** Lines as they come; one that does not end is given in pieces, so that it fills no memory. */
function eachLine(source: Readable, onLine: (text: string) => void): void {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  source.on("data", (chunk: Buffer) => {
    const lines = (rest + decoder.write(chunk)).split(/\r?\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line);
    for (; rest.length > longestLine; rest = rest.slice(longestLine)) onLine(rest.slice(0, longestLine));
  });
  source.on("end", () => {
    rest += decoder.end();
    if (rest !== "") onLine(rest);
  });
}
