/** Runs a process to its end, with limits. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { Socket } from "node:net";
import path from "node:path";
import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { guardGroup, marker, owner, releaseGroup } from "./guard.js";
import { oomKills, processTree, type TreeUsage } from "./tree.js";

export interface ProcessEnd {
  /** null where a signal ended it. */
  code: number | null;
  signal: NodeJS.Signals | null;
  /** The limit that it was ended for. */
  ended: "timeout" | "memory" | "folder" | null;
  /** The kernel killed it, most likely, because the machine or the container had no memory left. */
  killedForMemory: boolean;
  /** As seen by looks, of which there are ten a second: what is short may have used more. */
  usage: { peakMemoryBytes: number; cpuSeconds: number };
}
export interface ProcessOptions {
  command: string;
  /** Given as they are: no shell reads them. */
  args: string[];
  cwd: string;
  env: Record<string, string>;
  /** Without end where there is none. */
  timeoutMs?: number;
  signal: AbortSignal;
  /** What goes beyond is read and dropped, and a line says so. */
  maxLogBytes: number;
  /** They are those of each such span, for a process that goes on for long. */
  logSpanMs?: number;
  onLine(stream: "stdout" | "stderr", text: string): void;
  /** All that it reads; nothing without. */
  stdin?: string | Buffer;
  /** Of the process and all that it started. */
  memoryBytes?: number;
  /** A folder that may not grow larger. */
  folder?: { path: string; maxBytes: number };
  /** Between asking it to end and making it. Default 2 s. */
  patienceMs?: number;
  /** Lines that it writes to the file descriptor 3. */
  onReport?(text: string): void;
  /** Its file descriptor 3 instead is a Unix socket, whose other end this is. It is closed when either process ends. */
  onChannel?(channel: Socket): void;
  /** How often memory is looked at. Default each 100 ms. */
  lookMs?: number;
  /** About each second. */
  onUsage?(usage: TreeUsage): void;
}

const usualLookMs = 100;
const firstLookMs = 20;
const usageMs = 1_000;
const folderLookMs = 2_000;
const longestReports = 16 * 1024 ** 2;
let started = 0;

/** The process leads a group of its own, and the group and all else that it started end with it, and with this process. Rejects where it can't be started. */
export function runProcess(options: ProcessOptions): Promise<ProcessEnd> {
  return new Promise((resolve, reject) => {
    if (options.signal.aborted) return reject(options.signal.reason);
    const { patienceMs = 2_000, lookMs = usualLookMs } = options;
    const mark = `${owner}-${++started}`;
    const kills = oomKills();
    const child = spawn(options.command, options.args, {
      cwd: options.cwd,
      env: { ...options.env, [marker]: mark },
      stdio: ["pipe", "pipe", "pipe", options.onReport === undefined && options.onChannel === undefined ? "ignore" : "pipe"],
      detached: true,
    });
    const { pid } = child;
    if (pid === undefined) {
      child.once("error", reject);
      return;
    }
    guardGroup(pid);
    const tree = processTree(pid, mark);
    const usage = { peakMemoryBytes: 0, cpuSeconds: 0 };
    let ended: ProcessEnd["ended"] = null;
    let asked = false;
    let exited = false;
    let impatient: NodeJS.Timeout | undefined;
    const end = (why: ProcessEnd["ended"], at: "once" | "patiently") => {
      ended ??= why;
      if (asked) return;
      asked = true;
      if (at === "once") return tree.signal("SIGKILL");
      tree.signal("SIGTERM");
      impatient = setTimeout(() => tree.signal("SIGKILL"), patienceMs);
    };
    const timer = options.timeoutMs === undefined ? undefined : setTimeout(() => end("timeout", "patiently"), options.timeoutMs);
    const cancel = () => end(null, "patiently");
    options.signal.addEventListener("abort", cancel, { once: true });

    let looks = 0;
    let looking = setTimeout(look, firstLookMs);
    async function look(): Promise<void> {
      const seen = await tree.look(options.memoryBytes);
      if (exited) return;
      usage.peakMemoryBytes = Math.max(usage.peakMemoryBytes, seen.memoryBytes);
      usage.cpuSeconds = Math.max(usage.cpuSeconds, seen.cpuSeconds);
      // What is over its limit grows on: it is not asked.
      if (options.memoryBytes !== undefined && seen.memoryBytes > options.memoryBytes) end("memory", "once");
      const perUsage = Math.ceil(usageMs / lookMs);
      if (looks++ % perUsage === perUsage - 1) options.onUsage?.({ memoryBytes: seen.memoryBytes, cpuSeconds: usage.cpuSeconds });
      looking = setTimeout(look, process.platform === "linux" ? lookMs : usageMs);
    }
    const { folder } = options;
    let measuring: NodeJS.Timeout | undefined;
    async function measure(place: string, maxBytes: number): Promise<void> {
      const began = performance.now();
      if ((await bytesBelow(place, maxBytes)) > maxBytes) end("folder", "once");
      // A folder of very many files is looked at less often.
      if (!exited) measuring = setTimeout(measure, Math.max(folderLookMs, 20 * (performance.now() - began)), place, maxBytes);
    }
    if (folder !== undefined) measuring = setTimeout(measure, folderLookMs, folder.path, folder.maxBytes);
    /** What ended between two looks may have grown all the same. */
    const overflowed = async () => folder !== undefined && !asked && (await bytesBelow(folder.path, folder.maxBytes)) > folder.maxBytes;

    const [, stdout, stderr, third] = child.stdio;
    const channel = options.onChannel !== undefined && third instanceof Socket ? third : undefined;
    const reports = channel === undefined ? third : undefined;
    let bytes = 0;
    let since = performance.now();
    const full = () => {
      if (options.logSpanMs !== undefined && performance.now() - since > options.logSpanMs) {
        bytes = 0;
        since = performance.now();
      }
      return bytes > options.maxLogBytes;
    };
    const take = (stream: "stdout" | "stderr", text: string) => {
      full();
      bytes += Buffer.byteLength(text) + 1;
      if (bytes <= options.maxLogBytes) return options.onLine(stream, text);
      if (bytes !== Number.POSITIVE_INFINITY) options.onLine(stream, `… what comes after ${options.maxLogBytes} bytes is dropped.`);
      bytes = Number.POSITIVE_INFINITY;
    };
    if (isReadable(stdout)) eachLine(stdout, full, (text) => take("stdout", text));
    if (isReadable(stderr)) eachLine(stderr, full, (text) => take("stderr", text));
    channel?.on("error", () => {});
    if (channel !== undefined) options.onChannel?.(channel);
    let reported = 0;
    if (isReadable(reports)) {
      eachLine(
        reports,
        () => reported > longestReports,
        (text) => {
          reported += text.length;
          options.onReport?.(text);
        },
      );
    }
    // It may end without having read all.
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.stdin);
    child.once("error", () => {});
    child.once("exit", () => {
      exited = true;
      clearTimeout(timer);
      clearTimeout(looking);
      clearTimeout(measuring);
      clearTimeout(impatient);
      tree.signal("SIGKILL");
      tree.killStrays();
      // What could not be ended and still holds the output open is not waited for.
      impatient = setTimeout(() => {
        for (const stream of [stdout, stderr, third]) if (isReadable(stream)) stream.destroy();
      }, patienceMs);
    });
    child.once("close", (code, signal) => {
      clearTimeout(impatient);
      options.signal.removeEventListener("abort", cancel);
      releaseGroup(pid);
      const killedForMemory = !asked && (signal === "SIGKILL" || code === 137) && oomKills() > kills;
      void overflowed().then((over) => resolve({ code, signal, ended: over ? "folder" : ended, killedForMemory, usage }));
    });
  });
}

const isReadable = (stream: unknown): stream is Readable => typeof stream === "object" && stream !== null && "read" in stream && "destroy" in stream;

/** Of the files in a folder; counting ends beyond `enough`. What goes away meanwhile does not count. */
export async function bytesBelow(folder: string, enough = Number.POSITIVE_INFINITY): Promise<number> {
  let bytes = 0;
  const folders = [folder];
  for (let one = folders.pop(); one !== undefined && bytes <= enough; one = folders.pop()) {
    for (const entry of await readdir(one, { withFileTypes: true }).catch(() => [])) {
      const place = path.join(one, entry.name);
      if (entry.isDirectory()) folders.push(place);
      else if (entry.isFile()) bytes += (await stat(place).catch(() => undefined))?.size ?? 0;
    }
  }
  return bytes;
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
/** Lines as they come; one that does not end is given in pieces, so that it fills no memory. Once `full`, what comes is read and dropped. */
function eachLine(source: Readable, full: () => boolean, onLine: (text: string) => void): void {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  source.on("data", (chunk: Buffer) => {
    if (full()) return;
    const lines = (rest + decoder.write(chunk)).split(/\r?\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line);
    for (; rest.length > longestLine; rest = rest.slice(longestLine)) onLine(rest.slice(0, longestLine));
  });
  source.on("error", () => {});
  source.on("end", () => {
    rest += decoder.end();
    if (rest !== "" && !full()) onLine(rest);
  });
}
