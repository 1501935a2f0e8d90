import { randomUUID } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import type { LogSchema } from "./schema.js";

/** A finished file of rows, one JSON object a line, with what is needed to make a segment of it. */
export interface SpoolFile {
  /** Unique for all time. */
  name: string;
  path: string;
  endpoint: string;
  schema: LogSchema;
}
export interface Spool {
  /** Durable when it resolves. Rows that come while others are being written are written together. */
  append(lines: string, rows: number): Promise<void>;
  rows(): number;
  /** What was appended before the call as a finished file; undefined where nothing was. Appends go on into a new one. */
  rotate(): Promise<SpoolFile | undefined>;
  close(): Promise<void>;
}

/** A folder of this process under the folder of all. Its name says whose it is. */
export async function openSpoolFolder(folder: string): Promise<string> {
  const own = path.join(folder, `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`);
  await mkdir(own, { recursive: true });
  return own;
}

export function openSpool(folder: string, endpoint: string, schema: LogSchema): Spool {
  let file: { handle: FileHandle; name: string } | undefined;
  let rows = 0;
  let waiting: { text: string; rows: number; done: () => void; failed: (error: unknown) => void }[] = [];
  let working: Promise<void> | undefined;

  async function begin(): Promise<{ handle: FileHandle; name: string }> {
    const name = `${endpoint}.${Date.now().toString(36)}.${randomUUID().slice(0, 8)}`;
    await writeFile(path.join(folder, `${name}.schema`), JSON.stringify({ endpoint, schema }), { flush: true });
    return { handle: await open(path.join(folder, `${name}.open`), "ax"), name };
  }
  /** One write and one sync for all who wait. */
  async function work(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      try {
        file ??= await begin();
        await file.handle.appendFile(batch.map((one) => one.text).join(""));
        await file.handle.datasync();
        for (const one of batch) {
          rows += one.rows;
          one.done();
        }
      } catch (error) {
        for (const one of batch) one.failed(error);
      }
    }
  }
  function kick(): Promise<void> {
    working ??= work().finally(() => {
      working = undefined;
    });
    return working;
  }

  return {
    append: (text, count) =>
      new Promise<void>((done, failed) => {
        waiting.push({ text, rows: count, done, failed });
        void kick();
      }),
    rows: () => rows,
    async rotate() {
      while (working !== undefined) await working;
      const full = file;
      if (full === undefined || rows === 0) return undefined;
      file = undefined;
      rows = 0;
      await full.handle.close();
      const finished = path.join(folder, `${full.name}.rows`);
      await rename(path.join(folder, `${full.name}.open`), finished);
      return { name: full.name, path: finished, endpoint, schema };
    },
    async close() {
      while (working !== undefined) await working;
      await file?.handle.close();
      file = undefined;
    },
  };
}

export async function removeSpoolFile(file: SpoolFile): Promise<void> {
  await rm(file.path, { force: true });
  await rm(path.join(path.dirname(file.path), `${file.name}.schema`), { force: true });
}

/** What servers that are gone have left: whole files, and files whose last line was cut off. Their folders may be removed when empty. */
export async function abandoned(folder: string, own: string): Promise<SpoolFile[]> {
  const found: SpoolFile[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    const theirs = path.join(folder, name);
    if (theirs === own || belongsToTheLiving(name)) continue;
    const entries = await readdir(theirs);
    for (const entry of entries) {
      const base = entry.replace(/\.(open|rows)$/, "");
      if (base === entry) continue;
      const noted = await readFile(path.join(theirs, `${base}.schema`), "utf8").catch(() => undefined);
      if (noted === undefined) continue;
      const file = path.join(theirs, entry);
      if (entry.endsWith(".open")) await cutTail(file);
      if ((await stat(file)).size === 0) continue;
      found.push({ name: base, path: file, ...(JSON.parse(noted) as { endpoint: string; schema: LogSchema }) });
    }
    if (!found.some((file) => path.dirname(file.path) === theirs)) await rm(theirs, { recursive: true, force: true });
  }
  return found;
}

function belongsToTheLiving(name: string): boolean {
  const match = /^(.*)-([0-9]+)-[0-9a-f]{8}$/.exec(name);
  // Another machine's, on a shared folder: its own next start takes it up.
  if (match === null || match[1] !== hostname()) return match !== null;
  const pid = Number(match[2]);
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** A line that was being written when the server ended was acknowledged to nobody. */
async function cutTail(file: string): Promise<void> {
  const text = await readFile(file);
  const end = text.lastIndexOf(0x0a) + 1;
  if (end === text.length) return;
  const handle = await open(file, "r+");
  try {
    await handle.truncate(end);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}
