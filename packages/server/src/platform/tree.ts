/** A process and all that it started: who they are, what they use. On Linux from /proc; elsewhere by `ps`, which knows less. */
import { execFile, execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { marker } from "./guard.js";

const linux = process.platform === "linux";
const ticksPerSecond = 100;

export interface TreeUsage {
  memoryBytes: number;
  /** Of those that live, and of those they have waited for. */
  cpuSeconds: number;
}

export interface ProcessTree {
  /** Looks again. `limit`: near it, pages that several processes share are counted once, which is slower to find out. */
  look(limit: number | undefined): Promise<TreeUsage>;
  signal(signal: NodeJS.Signals): void;
  /** Kills what left the group, also what was never seen. */
  killStrays(): void;
}

/** `leader` leads a group; `mark` is what its environment says of it. */
export function processTree(leader: number, mark: string): ProcessTree {
  /** With the moment of its start, by which a number that was given again is known. */
  const strays = new Map<number, string>();
  const group = String(leader);

  return {
    async look(limit) {
      if (!linux) return psUsage(leader);
      let memoryBytes = 0;
      let ticks = 0;
      const living: number[] = [];
      const seen = new Set<number>();
      const queue = [leader, ...strays.keys()];
      for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
        if (seen.has(pid)) continue;
        seen.add(pid);
        const stat = statOf(pid);
        const known = strays.get(pid);
        if (stat === undefined || (known !== undefined && known !== stat.start)) {
          strays.delete(pid);
          continue;
        }
        if (stat.group !== group) strays.set(pid, stat.start);
        living.push(pid);
        ticks += stat.ticks;
        memoryBytes += stat.pages * pageBytes();
        queue.push(...childrenOf(pid));
      }
      if (limit !== undefined && memoryBytes > limit * 0.9 && living.length > 1) {
        const shares = living.map(shareOf);
        if (shares.every((share) => share !== undefined)) memoryBytes = shares.reduce((sum, share) => sum + share, 0);
      }
      return { memoryBytes, cpuSeconds: ticks / ticksPerSecond };
    },
    signal(signal) {
      kill(-leader, signal);
      for (const [pid, start] of strays) if (statOf(pid)?.start === start) kill(pid, signal);
    },
    killStrays() {
      if (!linux) return;
      for (const [pid, start] of strays) if (statOf(pid)?.start === start) kill(pid, "SIGKILL");
      for (const pid of marked(leader, mark)) kill(pid, "SIGKILL");
    },
  };
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone.
  }
}

interface Stat {
  group: string;
  ticks: number;
  start: string;
  pages: number;
}
/** proc(5), /proc/[pid]/stat: the name may hold anything, so what counts comes after the last parenthesis. */
function statOf(pid: number): Stat | undefined {
  const text = read(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  if (fields[0] === "Z" || fields[0] === "X") return undefined;
  const ticks = [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at]), 0);
  return { group: fields[2] ?? "", ticks, start: fields[19] ?? "", pages: Number(fields[21]) };
}

/** 4 KiB on most machines, 16 or 64 on some of ARM's. */
let known: number | undefined;
function pageBytes(): number {
  try {
    known ??= Number(execFileSync("getconf", ["PAGESIZE"], { encoding: "utf8" })) || 4_096;
  } catch {
    known = 4_096;
  }
  return known;
}

function childrenOf(pid: number): number[] {
  const children: number[] = [];
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`))
      for (const child of (read(`/proc/${pid}/task/${thread}/children`) ?? "").split(" ")) if (child !== "") children.push(Number(child));
  } catch {
    // It is gone.
  }
  return children;
}

/** Memory of its own, and its share of what it has together with others. */
function shareOf(pid: number): number | undefined {
  const told = /^Pss:\s+(\d+) kB/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? "")?.[1];
  return told === undefined ? undefined : Number(told) * 1_024;
}

/** Who has the mark in its environment. What a process starts has a larger number than its own, until the numbers begin again. */
function marked(leader: number, mark: string): number[] {
  const newest = Number(read("/proc/loadavg")?.trim().split(" ").at(-1) ?? 0);
  const wanted = `${marker}=${mark}\0`;
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid !== leader && (newest < leader || pid > leader))
    .filter((pid) => `${read(`/proc/${pid}/environ`) ?? ""}\0`.includes(wanted));
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function psUsage(leader: number): Promise<TreeUsage> {
  return new Promise((resolve) => {
    execFile("ps", ["-A", "-o", "pgid=,rss=,time="], { timeout: 5_000, maxBuffer: 8 * 1024 ** 2 }, (_error, said) => {
      const usage = { memoryBytes: 0, cpuSeconds: 0 };
      for (const line of said.split("\n")) {
        const [pgid, rss, time = ""] = line.trim().split(/\s+/);
        if (Number(pgid) !== leader) continue;
        usage.memoryBytes += Number(rss) * 1_024;
        usage.cpuSeconds += time.split(/[:-]/).reduce((sum, part) => sum * 60 + Number(part), 0);
      }
      resolve(usage);
    });
  });
}

/** How often the kernel has killed a process for want of memory since the machine started. */
export function oomKills(): number {
  return Number(/^oom_kill (\d+)$/m.exec(linux ? (read("/proc/vmstat") ?? "") : "")?.[1] ?? 0);
}
