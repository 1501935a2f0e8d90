/** Folders for files that are being made: each is removed by who made it, and at a start what a kill left. */
import { randomUUID } from "node:crypto";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import type { Platform } from "../platform/index.js";

type Config = Pick<Platform["config"], "dataDir">;
/** Of another machine's process nobody here knows whether it lives: what it left is old by then. */
const abandonedMs = 24 * 3_600_000;
const machine = hostname().replaceAll(/[^\w-]/g, "_");

export async function openWork({ dataDir }: Config): Promise<{ folder: string; remove: () => Promise<void> }> {
  const folder = path.join(dataDir, "ingest", `${machine}.${process.pid}.${randomUUID()}`);
  own.add(folder);
  await mkdir(folder, { recursive: true });
  return {
    folder,
    async remove() {
      await rm(folder, { recursive: true, force: true });
      own.delete(folder);
    },
  };
}
const own = new Set<string>();

/** What nobody works in any more. Other processes that live may share the data folder; one that had this one's number is gone. */
export async function clearWork({ dataDir }: Config): Promise<void> {
  const all = path.join(dataDir, "ingest");
  for (const name of await readdir(all).catch(() => [])) {
    const [host, pid] = name.split(".");
    const folder = path.join(all, name);
    if (own.has(folder)) continue;
    const left = host === machine ? !lives(Number(pid)) : Date.now() - ((await stat(folder).catch(() => undefined))?.mtimeMs ?? Date.now()) > abandonedMs;
    if (left) await rm(folder, { recursive: true, force: true });
  }
}

function lives(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It is there, and another user's.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
