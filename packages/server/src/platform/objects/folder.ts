import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { link, mkdir, open, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import path from "node:path";
import { ApiError, invalid, notFound } from "../errors.js";
import { receive } from "./receive.js";
import type { Digest, ListedObject, ObjectStore, StoredObject } from "./store.js";

const abandonedMs = 24 * 3_600_000;
/** What is being deleted lies in `tmp/` under this and its digits, until it is known that nobody put it again. */
const leaving = "leaving-";
const looksAtOnce = 64;
/** Large reads: with the usual ones the time goes into asking. */
const readBytes = 512 * 1024;

/** A store in a folder: `<first two hex digits>/<the rest>`, written to `tmp/` first and renamed when whole and synced. */
export async function openFolderStore(folder: string): Promise<ObjectStore> {
  const temporary = path.join(folder, "tmp");
  await mkdir(temporary, { recursive: true });
  // What was never finished. Another server may be at the newer ones.
  for (const name of await readdir(temporary)) {
    const left = path.join(temporary, name);
    if (name.startsWith(leaving)) await bringBack(name);
    else {
      const { mtimeMs } = await stat(left).catch(() => ({ mtimeMs: Date.now() }));
      if (Date.now() - mtimeMs > abandonedMs) await rm(left, { force: true });
    }
  }

  /** A deletion that did not end, or must not: it may have been put again. */
  async function bringBack(name: string): Promise<void> {
    const left = path.join(temporary, name);
    await link(left, place(`sha256:${name.slice(leaving.length)}`)).catch(unless("EEXIST", "ENOENT"));
    await rm(left, { force: true });
  }

  function place(digest: Digest): string {
    const hex = /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1];
    if (hex === undefined) throw invalid(`"${digest}" is not a digest: write sha256: and 64 hexadecimal digits.`);
    return path.join(folder, hex.slice(0, 2), hex.slice(2));
  }

  /** Takes a file that is synced. */
  async function settle(from: string, { digest, size }: StoredObject): Promise<StoredObject> {
    const target = place(digest);
    await mkdir(path.dirname(target), { recursive: true });
    await rename(from, target);
    const parent = await open(path.dirname(target), "r");
    try {
      await parent.sync();
    } finally {
      await parent.close();
    }
    return { digest, size };
  }

  async function find(digest: Digest): Promise<ListedObject | undefined> {
    const found = await stat(place(digest)).catch(unless("ENOENT"));
    return found && { digest, size: found.size, modified: found.mtime };
  }

  return {
    async put(source, { expect, maxBytes = Number.POSITIVE_INFINITY } = {}) {
      const file = path.join(temporary, randomUUID());
      try {
        const handle = await open(file, "wx", 0o640);
        const stored = await receive(source, handle, maxBytes)
          .then(async (received) => {
            if (expect !== undefined && expect !== received.digest) throw invalid(`The content has the digest ${received.digest}, not ${expect}.`);
            await handle.sync();
            return received;
          })
          .finally(() => handle.close());
        return await settle(file, stored);
      } catch (error) {
        await rm(file, { force: true });
        if ((error as NodeJS.ErrnoException).code === "ENOSPC")
          throw new ApiError(507, "STORAGE_FULL", "The object store is full. Free space, then repeat the request.");
        throw error;
      }
    },
    async putFile(file) {
      const hash = createHash("sha256");
      let size = 0;
      for await (const chunk of createReadStream(file, { highWaterMark: readBytes }) as AsyncIterable<Buffer>) {
        hash.update(chunk);
        size += chunk.length;
      }
      const moved = path.join(temporary, randomUUID());
      await rename(file, moved);
      const handle = await open(moved, "r+");
      try {
        await handle.utimes(new Date(), new Date());
        await handle.sync();
      } finally {
        await handle.close();
      }
      return settle(moved, { digest: `sha256:${hash.digest("hex")}`, size });
    },
    async read(digest, range) {
      const found = await find(digest);
      if (found === undefined) throw notFound("object", digest);
      // With an end it takes no more memory than there is to read.
      return createReadStream(place(digest), { end: Math.max(0, found.size - 1), ...range, highWaterMark: readBytes });
    },
    stat: find,
    async renew(digest) {
      await utimes(place(digest), new Date(), new Date()).catch(unless("ENOENT"));
      return find(digest);
    },
    async localPath(digest) {
      if ((await find(digest)) === undefined) throw notFound("object", digest);
      return place(digest);
    },
    async delete(digest) {
      await rm(place(digest), { force: true });
    },
    async *list() {
      for (const first of (await readdir(folder)).sort()) {
        if (!/^[0-9a-f]{2}$/.test(first)) continue;
        const names = (await readdir(path.join(folder, first))).sort();
        for (let at = 0; at < names.length; at += looksAtOnce) {
          const digests = names.slice(at, at + looksAtOnce).map((rest): Digest => `sha256:${first}${rest}`);
          for (const found of await Promise.all(digests.map(find))) if (found !== undefined) yield found;
        }
      }
    },
    async deleteOlder(digest, than) {
      const found = await find(digest);
      if (found === undefined || found.modified >= than) return false;
      // Moved away first: what a `put` brings between the look and the deletion is seen, and comes back.
      const name = leaving + digest.slice("sha256:".length);
      const moved = path.join(temporary, name);
      await rename(place(digest), moved).catch(unless("ENOENT"));
      const taken = await stat(moved).catch(unless("ENOENT"));
      if (taken === undefined) return false;
      if (taken.mtime >= than) {
        await bringBack(name);
        return false;
      }
      await rm(moved, { force: true });
      return true;
    },
  };
}

/** Takes an error with one of these codes as nothing found. */
function unless(...codes: string[]): (error: unknown) => undefined {
  return (error) => {
    if (error instanceof Error && "code" in error && codes.includes(String(error.code))) return undefined;
    throw error;
  };
}
