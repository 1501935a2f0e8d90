/** Objects of a remote store as files of this machine, the least recently used of which make room. */
import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import path from "node:path";
import type { Readable } from "node:stream";
import { ApiError } from "../../errors.js";
import { receive } from "../receive.js";
import type { Digest } from "../store.js";

/** Who was told a path has this long to open it, also where the cache holds more than it should. */
const heldMs = 3_600_000;
const abandonedMs = 24 * 3_600_000;

export interface Cache {
  /** Where the object lies; fetched first where it does not. Who asks for the same at once waits for the same. */
  path(digest: Digest, fetch: () => Promise<Readable>): Promise<string>;
  /** Takes a file that is known to have this content, as far as it can. */
  take(digest: Digest, file: string): Promise<void>;
  drop(digest: Digest): Promise<void>;
}

export async function openCache(folder: string, mostBytes: number): Promise<Cache> {
  const temporary = path.join(folder, "tmp");
  await mkdir(temporary, { recursive: true });
  const fetching = new Map<Digest, Promise<string>>();
  const place = (digest: Digest) => path.join(folder, digest.slice(7, 9), digest.slice(9));
  let bytes = 0;
  let clearing: Promise<void> | undefined;
  void clear();

  async function fetched(digest: Digest, fetch: () => Promise<Readable>): Promise<string> {
    const file = path.join(temporary, randomUUID());
    try {
      const source = await fetch();
      const handle = await open(file, "wx", 0o640);
      try {
        const received = await receive(source, handle, Number.POSITIVE_INFINITY);
        if (received.digest !== digest) throw new Error(`The object store gave ${received.digest} for ${digest}.`);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await keep(digest, file);
      return place(digest);
    } catch (error) {
      await rm(file, { force: true });
      if (error instanceof Error && "code" in error && error.code === "ENOSPC")
        throw new ApiError(507, "STORAGE_FULL", "There is no space left for copies of objects. Free some in the data folder, then repeat the request.");
      throw error;
    }
  }
  async function keep(digest: Digest, file: string): Promise<void> {
    const { size } = await stat(file);
    await mkdir(path.dirname(place(digest)), { recursive: true });
    await rename(file, place(digest));
    bytes += size;
    if (bytes > mostBytes) void clear();
  }

  /** Counts what is there, and makes room where it is too much. */
  function clear(): Promise<void> {
    clearing ??= (async () => {
      for (const name of await readdir(temporary)) {
        const { mtimeMs } = await stat(path.join(temporary, name)).catch(() => ({ mtimeMs: Date.now() }));
        if (Date.now() - mtimeMs > abandonedMs) await rm(path.join(temporary, name), { force: true });
      }
      const files: { file: string; size: number; used: number }[] = [];
      for (const first of await readdir(folder)) {
        if (!/^[0-9a-f]{2}$/.test(first)) continue;
        for (const rest of await readdir(path.join(folder, first))) {
          const file = path.join(folder, first, rest);
          const found = await stat(file).catch(() => undefined);
          if (found !== undefined) files.push({ file, size: found.size, used: found.mtimeMs });
        }
      }
      bytes = files.reduce((sum, { size }) => sum + size, 0);
      if (bytes <= mostBytes) return;
      for (const { file, size, used } of files.sort((a, b) => a.used - b.used)) {
        if (bytes <= mostBytes * 0.9 || Date.now() - used < heldMs) break;
        await rm(file, { force: true });
        bytes -= size;
      }
    })()
      .catch(() => {})
      .finally(() => {
        clearing = undefined;
      });
    return clearing;
  }

  return {
    async path(digest, fetch) {
      const now = new Date();
      const there = await utimes(place(digest), now, now).then(
        () => true,
        () => false,
      );
      if (there) return place(digest);
      let under = fetching.get(digest);
      if (under === undefined) {
        under = fetched(digest, fetch).finally(() => fetching.delete(digest));
        fetching.set(digest, under);
      }
      return under;
    },
    async take(digest, file) {
      try {
        const handle = await open(file, "r+");
        await handle.sync().finally(() => handle.close());
        await keep(digest, file);
      } catch {
        // It lies on another file system, or may not be written to: then there is no copy.
        await rm(file, { force: true });
      }
    },
    drop: (digest) => rm(place(digest), { force: true }),
  };
}
