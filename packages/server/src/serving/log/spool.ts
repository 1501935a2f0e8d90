import { randomUUID } from "node:crypto";
import { constants, writeSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, rmdir, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { ApiError } from "../../platform/index.js";
import type { Part } from "./packed.js";
import { BrokenRecord, readRecords } from "./records.js";
import type { LogSchema } from "./schema.js";

/** A finished file of records, with what is needed to make a segment of it. */
export interface SpoolFile {
  /** Unique for all time. */
  name: string;
  path: string;
  endpoint: string;
  schema: LogSchema;
}
export interface Spool {
  /**
   * Resolves when the system has the rows, so that they outlive this process; with `sync` when the disk has them. Rows that come while others are being written
   * are written together.
   */
  append(record: readonly Part[], rows: number): Promise<true>;
  rows(): number;
  bytes(): number;
  /** What was durable before the call as a finished file; undefined where nothing was. Appends go on into a new one. */
  rotate(): Promise<SpoolFile | undefined>;
  close(): Promise<void>;
}

/** How often a process says that it lives, and how long another machine's may be silent before its files are taken up. */
const heartbeatMs = 30_000;
const silentMs = 15 * 60_000;

/** Those of this very process. */
const mine = new Set<string>();

/** A folder of this process under the folder of all. Its name says whose it is. */
export async function openSpoolFolder(folder: string): Promise<{ path: string; close(): Promise<void> }> {
  const own = path.join(folder, `${hostname()}-${process.pid}-${(await startOf(process.pid)) ?? 0}-${randomUUID().slice(0, 8)}`);
  await mkdir(own, { recursive: true });
  const heartbeat = setInterval(() => void utimes(own, new Date(), new Date()).catch(() => {}), heartbeatMs);
  heartbeat.unref();
  mine.add(own);
  return {
    path: own,
    async close() {
      clearInterval(heartbeat);
      mine.delete(own);
      // What could not be sealed stays for the next start.
      await rmdir(own).catch(() => {});
    },
  };
}

/** With it a write ends when its bytes are on the disk, where the system knows that: one call, and one turn of the event loop less, than a sync after it. */
const synced = constants.O_DSYNC ?? 0;
/**
 * Into the system's memory a write takes microseconds, a third of what it takes to have another thread do it. Where one took longer than this, the system makes
 * whoever writes wait for the disk: other threads wait then, for so long.
 */
const slowMs = 50;
const slowForMs = 5_000;
/** What is not synced by each write is so soon after: a machine that fails loses the rows of so long. */
const syncMs = 100;

/** For what is written in this thread, which is done before the next of it. */
const shared = Buffer.allocUnsafeSlow(1024 ** 2);

interface OpenFile {
  name: string;
  handle: FileHandle;
  /** Up to here everything was acknowledged. */
  bytes: number;
  /** A write failed: what it left behind `bytes` has to go before the next one. */
  torn: boolean;
}

const refusal = (error: unknown): unknown =>
  (error as NodeJS.ErrnoException).code === "ENOSPC"
    ? new ApiError(507, "STORAGE_FULL", "The prediction can't be logged, so it is not given: the disk is full.")
    : error;

export function openSpool(
  folder: string,
  endpoint: string,
  schema: LogSchema,
  { sync, onSyncError }: { sync: boolean; onSyncError: (error: unknown) => void },
): Spool {
  let syncing: NodeJS.Timeout | undefined;
  let file: OpenFile | undefined;
  let rows = 0;
  let waiting: { record: readonly Part[]; rows: number; done: (written: true) => void; failed: (error: unknown) => void }[] = [];
  let turns: { done: (file: SpoolFile | undefined) => void; failed: (error: unknown) => void }[] = [];
  let working: Promise<void> | undefined;
  let scheduled = false;
  let slowUntil = 0;

  async function begin(): Promise<OpenFile> {
    const name = `${endpoint}.${Date.now().toString(36)}.${randomUUID().slice(0, 8)}`;
    await writeFile(path.join(folder, `${name}.schema`), JSON.stringify({ endpoint, schema }), { flush: true });
    const { O_APPEND, O_CREAT, O_EXCL, O_WRONLY } = constants;
    const handle = await open(path.join(folder, `${name}.open`), O_APPEND | O_CREAT | O_EXCL | O_WRONLY | (sync ? synced : 0));
    await syncFolder(folder);
    return { name, handle, bytes: 0, torn: false };
  }
  /** One write and one sync for all who wait. */
  async function write(batch: typeof waiting): Promise<void> {
    try {
      file ??= await begin();
      if (file.torn) await file.handle.truncate(file.bytes);
      file.torn = true;
      const bytes = bytesOf(batch, undefined);
      for (let at = 0; at < bytes.length; ) at += (await file.handle.write(bytes, at)).bytesWritten;
      if (sync && synced === 0) await file.handle.datasync();
      written(file, bytes.length, batch);
    } catch (error) {
      for (const one of batch) one.failed(refusal(error));
    }
  }
  /** The same in this thread. Answers false where it does not do it, and somebody else has to. */
  function writeHere(batch: typeof waiting): boolean {
    if (sync || file === undefined || file.torn || turns.length > 0 || performance.now() < slowUntil) return false;
    file.torn = true;
    try {
      const bytes = bytesOf(batch, shared);
      const began = performance.now();
      for (let at = 0; at < bytes.length; ) at += writeSync(file.handle.fd, bytes, at);
      if (performance.now() - began > slowMs) slowUntil = began + slowForMs;
      written(file, bytes.length, batch);
    } catch (error) {
      for (const one of batch) one.failed(refusal(error));
    }
    return true;
  }
  /** In the room that is given, where that is enough. */
  function bytesOf(batch: typeof waiting, room: Buffer | undefined): Buffer {
    let most = 0;
    for (const { record } of batch) for (const part of record) most += typeof part === "string" ? 3 * part.length : part.length;
    const bytes = room !== undefined && most <= room.length ? room : Buffer.allocUnsafe(most);
    let at = 0;
    for (const { record } of batch)
      for (const part of record) {
        if (typeof part === "string") at += bytes.write(part, at);
        else {
          bytes.set(part, at);
          at += part.length;
        }
      }
    return bytes.subarray(0, at);
  }
  function written(into: OpenFile, bytes: number, batch: typeof waiting): void {
    if (!sync) syncing ??= setTimeout(syncSoon, syncMs);
    into.torn = false;
    into.bytes += bytes;
    for (const one of batch) {
      rows += one.rows;
      one.done(true);
    }
  }
  /** A file that was closed meanwhile was synced then. */
  function syncSoon(): void {
    syncing = undefined;
    const synced = file;
    void synced?.handle.datasync().catch((error) => file === synced && onSyncError(error));
  }
  async function finish(): Promise<SpoolFile | undefined> {
    const full = file;
    if (full === undefined || rows === 0) return undefined;
    if (full.torn) await full.handle.truncate(full.bytes);
    if (!sync) await full.handle.datasync();
    const finished = path.join(folder, `${full.name}.rows`);
    await rename(path.join(folder, `${full.name}.open`), finished);
    file = undefined;
    rows = 0;
    await full.handle.close();
    return { name: full.name, path: finished, endpoint, schema };
  }
  /** Writes and turns of the file one after the other, so that a turn waits for one batch and not for the end of the traffic. */
  async function work(): Promise<void> {
    while (waiting.length > 0 || turns.length > 0) {
      const [batch, asked] = [waiting, turns];
      waiting = [];
      turns = [];
      if (batch.length > 0) await write(batch);
      for (const turn of asked) await finish().then(turn.done, turn.failed);
    }
    // Not when the promise is settled: whoever comes before that would be seen by nobody.
    working = undefined;
  }
  function kick(): void {
    if (scheduled || working !== undefined) return;
    scheduled = true;
    // What was run together is answered together: all of it comes before the next tick.
    process.nextTick(begun);
  }
  function begun(): void {
    scheduled = false;
    const batch = waiting;
    waiting = [];
    if (batch.length > 0 && writeHere(batch)) return;
    waiting = batch;
    if (waiting.length > 0 || turns.length > 0) working = work();
  }

  return {
    append: (record, count) =>
      new Promise((done, failed) => {
        waiting.push({ record, rows: count, done, failed });
        kick();
      }),
    rows: () => rows,
    bytes: () => file?.bytes ?? 0,
    rotate: () =>
      new Promise((done, failed) => {
        turns.push({ done, failed });
        kick();
      }),
    async close() {
      while (scheduled || working !== undefined) await (working ?? new Promise<void>((resolve) => process.nextTick(resolve)));
      clearTimeout(syncing);
      if (!sync) await file?.handle.datasync().catch(() => {});
      await file?.handle.close();
      file = undefined;
    },
  };
}

export async function removeSpoolFile(file: SpoolFile): Promise<void> {
  await rm(file.path, { force: true });
  await rm(path.join(path.dirname(file.path), `${file.name}.schema`), { force: true });
}

/** What servers that are gone have left: whole files, and files whose last line was cut off. Folders without any are removed. */
export async function abandoned(folder: string): Promise<SpoolFile[]> {
  const found: SpoolFile[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    const theirs = path.join(folder, name);
    if (await belongsToTheLiving(theirs, name)) continue;
    const entries = await readdir(theirs).catch(() => []);
    let left = 0;
    for (const entry of entries) {
      const base = entry.replace(/\.(open|rows)$/, "");
      if (base === entry) continue;
      const file = path.join(theirs, entry);
      if (entry.endsWith(".open")) await cutTail(file);
      if ((await stat(file)).size === 0) continue;
      left++;
      const noted = await readFile(path.join(theirs, `${base}.schema`), "utf8").catch(() => undefined);
      if (noted === undefined) continue;
      found.push({ name: base, path: file, ...(JSON.parse(noted) as { endpoint: string; schema: LogSchema }) });
    }
    if (left === 0) await rm(theirs, { recursive: true, force: true });
  }
  return found;
}

async function belongsToTheLiving(theirs: string, name: string): Promise<boolean> {
  const match = /^(.*)-([0-9]+)-([0-9]+)-[0-9a-f]{8}$/.exec(name);
  if (match === null) return true;
  const [, host, pid, start] = match;
  if (host !== hostname()) return Date.now() - (await stat(theirs)).mtimeMs < silentMs;
  if (Number(pid) === process.pid) return mine.has(theirs);
  // A number that was given to another process since is not the same process.
  return (await startOf(Number(pid))) === Number(start);
}

/** When a process of this machine began, in ticks of the kernel, or 0 where the system does not tell; undefined: there is none. */
async function startOf(pid: number): Promise<number | undefined> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return undefined;
  }
  const told = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  if (told === undefined) return 0;
  // The 22nd field; the second, a name in brackets, may hold blanks.
  const fields = told.slice(told.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? undefined : Number(fields[19]);
}

/** What was being written when the server ended was acknowledged to nobody. */
async function cutTail(file: string): Promise<void> {
  const whole = await readRecords(file, { plain() {}, packed() {} }).catch((error: unknown) => {
    if (error instanceof BrokenRecord) return error.at;
    throw error;
  });
  if (whole === (await stat(file)).size) return;
  const handle = await open(file, "r+");
  try {
    await handle.truncate(whole);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

/** A new file's name is durable when its folder is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
