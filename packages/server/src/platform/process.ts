/** Runs a process to its end, with limits. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Readable, Writable } from "node:stream";
import { StringDecoder } from "node:string_decoder";

export interface ProcessEnd {
  /** null where a signal ended it. */
  code: number | null;
  signal: NodeJS.Signals | null;
  timedOut: boolean;
}
export interface ProcessOptions {
  command: string;
  /** Given as they are: no shell reads them. */
  args: string[];
  cwd: string;
  env: Record<string, string>;
  timeoutMs: number;
  signal: AbortSignal;
  /** What goes beyond is read and dropped, and a line says so. */
  maxLogBytes: number;
  onLine(stream: "stdout" | "stderr", text: string): void;
  /** All that it reads; nothing without. */
  stdin?: string | Buffer;
  /** It watches whoever started it by itself, and ends its whole group. Else the kernel ends it (on Linux), but not what it started. */
  watchesServer?: boolean;
}

/** Between asking a process to end and making it. */
const patienceMs = 2_000;
/** Has the kernel kill the process when the one that started it is gone, however it ended. */
const setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].find((file) => process.platform === "linux" && existsSync(file));

/** The process leads a group of its own, and all of the group ends with it. Rejects where it can't be started. */
export function runProcess(options: ProcessOptions): Promise<ProcessEnd> {
  return new Promise((resolve, reject) => {
    if (options.signal.aborted) return reject(options.signal.reason);
    const child = start(options);
    let timedOut = false;
    let bytes = 0;
    let impatient: NodeJS.Timeout | undefined;
    const kill = (signal: NodeJS.Signals) => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, signal);
      } catch {
        // It is gone.
      }
    };
    const end = () => {
      kill("SIGTERM");
      impatient = setTimeout(() => kill("SIGKILL"), patienceMs);
    };
    const timer = setTimeout(() => {
      timedOut = true;
      end();
    }, options.timeoutMs);
    options.signal.addEventListener("abort", end, { once: true });
    const finished = () => {
      clearTimeout(timer);
      clearTimeout(impatient);
      options.signal.removeEventListener("abort", end);
    };

    for (const stream of ["stdout", "stderr"] as const) {
      eachLine(child[stream], (text) => {
        const before = bytes;
        bytes += Buffer.byteLength(text) + 1;
        if (bytes <= options.maxLogBytes) options.onLine(stream, text);
        else if (before <= options.maxLogBytes) options.onLine(stream, `… what comes after ${options.maxLogBytes} bytes is dropped.`);
      });
    }
    // It may end without having read all.
    child.stdin.on("error", () => {});
    child.stdin.end(options.stdin);
    child.once("error", (error) => {
      finished();
      reject(error);
    });
    child.once("exit", () => {
      clearTimeout(timer);
      kill("SIGKILL");
      // What left the group and still holds the output open is not waited for.
      impatient = setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, patienceMs);
    });
    child.once("close", (code, signal) => {
      finished();
      resolve({ code, signal, timedOut });
    });
  });
}

function start({ command, args, cwd, env, watchesServer }: ProcessOptions): ChildProcessByStdio<Writable, Readable, Readable> {
  const settings = { cwd, env, stdio: ["pipe", "pipe", "pipe"] as ["pipe", "pipe", "pipe"], detached: true };
  // Where the command is not there, spawning it itself says so.
  if (watchesServer === true || setpriv === undefined || !path.isAbsolute(command) || !existsSync(command)) return spawn(command, args, settings);
  return spawn(setpriv, ["--pdeathsig", "KILL", command, ...args], settings);
}

/** Whether a process runs: one that ended and that nobody has asked about does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
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
