/** What comes as a stream, measured and digested on its way to a file. */
import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import type { Readable } from "node:stream";
import { ApiError } from "../errors.js";
import type { StoredObject } from "./store.js";

/** A network's chunks are small; a write of many at once costs little more than that of one. */
const writeBytes = 1024 ** 2;
/** What is written is sent to the disk while more comes, so that the sync at the end has little left to do. */
const syncBytes = 64 * 1024 ** 2;

/** Everything is written when it resolves, and not yet synced. Memory stays at two writes, however large it is. */
export async function receive(source: Readable | Buffer, to: FileHandle, maxBytes: number): Promise<StoredObject> {
  const hash = createHash("sha256");
  let size = 0;
  let waiting: Buffer[] = [];
  let bytes = 0;
  let unsynced = 0;
  let written: Promise<unknown> = Promise.resolve();
  let synced: Promise<unknown> = Promise.resolve();
  let syncing = false;

  function write(): void {
    const batch = waiting;
    written = writeAll(to, batch, bytes);
    // Told where it is waited for; until then it must not end the process.
    written.catch(() => {});
    unsynced += bytes;
    waiting = [];
    bytes = 0;
    if (unsynced < syncBytes || syncing) return;
    unsynced = 0;
    syncing = true;
    synced = written
      .then(() => to.datasync())
      .finally(() => {
        syncing = false;
      });
    synced.catch(() => {});
  }

  try {
    for await (const chunk of (Buffer.isBuffer(source) ? [source] : source) as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes) throw new ApiError(413, "TOO_LARGE", `More than ${maxBytes} bytes were sent.`);
      hash.update(chunk);
      waiting.push(chunk);
      bytes += chunk.length;
      if (bytes < writeBytes) continue;
      await written;
      write();
    }
    await written;
    if (bytes > 0) write();
  } finally {
    // The file is closed or removed next: nothing may be at work on it then.
    await Promise.allSettled([written, synced]);
  }
  await Promise.all([written, synced]);
  return { digest: `sha256:${hash.digest("hex")}`, size };
}

async function writeAll(to: FileHandle, batch: Buffer[], bytes: number): Promise<void> {
  const { bytesWritten } = await to.writev(batch);
  if (bytesWritten === bytes) return;
  // A disk that is nearly full takes a part; the rest says why.
  const rest = Buffer.concat(batch).subarray(bytesWritten);
  for (let at = 0; at < rest.length; ) at += (await to.write(rest, at)).bytesWritten;
}
