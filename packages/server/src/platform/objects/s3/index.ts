/**
 * A store in an S3 bucket: `<prefix>/<first two hex digits>/<the rest>`. What comes as a stream is staged under `staging/` while it is digested,
 * then copied within the store. Beside the objects lie notes without content: `renewed/` of when an object was last relied on, and `leaving/` of
 * those that are being deleted.
 */

import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import { invalid, notFound } from "../../errors.js";
import { limit } from "../../limit.js";
import type { Log } from "../../log.js";
import type { Digest, ListedObject, ObjectStore, StoredObject } from "../store.js";
import { asking, explained, isStatus, openBucket } from "./bucket.js";
import { openCache } from "./cache.js";
import { directTransfers } from "./direct.js";
import { copyWithin, measured, partBytes, putParts, putWhole } from "./upload.js";

export interface S3Options {
  /** `s3://bucket/prefix` */
  url: string;
  /** Where objects lie that this machine reads as files, and how much of them. */
  cache: { folder: string; bytes: number };
  /** Whether clients can reach the store themselves. */
  direct: boolean;
  /** Up to here S3 copies at once. */
  copyBytes?: number;
}

const largestCopy = 5 * 1024 ** 3;
const abandonedMs = 24 * 3_600_000;
const sweepMs = 3_600_000;
/** A renewal is good for so long. */
const freshMs = 1_800_000;
/** Whoever deletes is done by then, or was ended. */
const leavingMs = 120_000;
/** Each holds a part in memory. */
const streamsAtOnce = 64;
const readAgain = 3;

export async function openS3Store(
  { url, cache: { folder, bytes }, direct, copyBytes = largestCopy }: S3Options,
  log: Log,
): Promise<{ store: ObjectStore; close(): void }> {
  const on = await openBucket(url, log);
  const { client, bucket, prefix } = on;
  const cache = await openCache(folder, bytes);
  const streams = limit(streamsAtOnce);
  const ask = <T>(work: () => Promise<T>) => asking(on, work);

  function hexOf(digest: Digest): string {
    const hex = /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1];
    if (hex === undefined) throw invalid(`"${digest}" is not a digest: write sha256: and 64 hexadecimal digits.`);
    return `${hex.slice(0, 2)}/${hex.slice(2)}`;
  }
  const key = (digest: Digest) => `${prefix}${hexOf(digest)}`;
  const note = (kind: "renewed" | "leaving", digest: Digest) => `${prefix}${kind}/${hexOf(digest)}`;
  const remove = (Key: string) => client.send(new DeleteObjectCommand({ Bucket: bucket, Key }));

  async function head(Key: string): Promise<{ size: number; modified: Date } | undefined> {
    try {
      const { ContentLength = 0, LastModified = new Date() } = await client.send(new HeadObjectCommand({ Bucket: bucket, Key }));
      return { size: ContentLength, modified: LastModified };
    } catch (error) {
      if (isStatus(error, 404)) return undefined;
      throw error;
    }
  }
  async function find(digest: Digest): Promise<StoredObject | undefined> {
    const found = await head(key(digest));
    return found && { digest, size: found.size };
  }

  /** Resolves when nobody is deleting it. Answers whether somebody was. */
  async function left(digest: Digest): Promise<boolean> {
    for (let round = 0; ; round++) {
      const found = await head(note("leaving", digest));
      if (found === undefined) return round > 0;
      if (Date.now() - found.modified.getTime() > leavingMs) await remove(note("leaving", digest));
      else await delay(100);
    }
  }
  /** Writes an object so that a deletion which is under way does not take it: that is told by a note before it looks whether the object is old. */
  async function settle(stored: StoredObject, write: () => Promise<void>): Promise<StoredObject> {
    do await write();
    while ((await left(stored.digest)) || (await find(stored.digest)) === undefined);
    return stored;
  }

  /** Goes on where it broke off. */
  async function* bytesOf(digest: Digest, first: Readable, { start, end }: { start: number; end: number | undefined }): AsyncGenerator<Buffer> {
    let body = first;
    let at = start;
    try {
      for (let again = 0; ; again++) {
        try {
          for await (const chunk of body as AsyncIterable<Buffer>) {
            at += chunk.length;
            yield chunk;
          }
          return;
        } catch (error) {
          if (again === readAgain || (end !== undefined && at > end)) throw error;
          log.warn({ error, digest }, "an object broke off while it was read; the rest is asked for again");
          body = await get(digest, { start: at, end });
        }
      }
    } finally {
      body.destroy();
    }
  }
  async function get(digest: Digest, { start, end }: { start: number; end: number | undefined }): Promise<Readable> {
    const Range = start === 0 && end === undefined ? {} : { Range: `bytes=${start}-${end ?? ""}` };
    try {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key(digest), ...Range }));
      if (!(Body instanceof Readable)) throw new Error("The object store gave no stream.");
      return Body;
    } catch (error) {
      if (isStatus(error, 404)) throw notFound("object", digest);
      throw error;
    }
  }
  async function read(digest: Digest, range?: { start: number; end: number }): Promise<Readable> {
    const wanted = { start: range?.start ?? 0, end: range?.end };
    const body = await ask(() => get(digest, wanted));
    return Readable.from(bytesOf(digest, body, wanted), { objectMode: false, highWaterMark: 256 * 1024 });
  }

  /** In the order of their digests. */
  async function* listed(below: "" | "renewed/"): AsyncGenerator<{ digest: Digest; size: number; modified: Date }> {
    for await (const page of paginateListObjectsV2({ client }, { Bucket: bucket, Prefix: `${prefix}${below}` })) {
      for (const { Key = "", Size = 0, LastModified = new Date() } of page.Contents ?? []) {
        const place = Key.slice(prefix.length + below.length);
        if (below === "" && place > "g") return;
        if (/^[0-9a-f]{2}\/[0-9a-f]{62}$/.test(place)) yield { digest: `sha256:${place.replace("/", "")}`, size: Size, modified: LastModified };
      }
    }
  }

  async function sweep(): Promise<void> {
    const old = (time: Date | undefined) => time !== undefined && Date.now() - time.getTime() > abandonedMs;
    for (const below of ["staging/", "leaving/"])
      for await (const page of paginateListObjectsV2({ client }, { Bucket: bucket, Prefix: prefix + below }))
        for (const { Key, LastModified } of page.Contents ?? []) if (Key !== undefined && old(LastModified)) await remove(Key);
    const ours = /^(?:staging\/.+|[0-9a-f]{2}\/[0-9a-f]{62})$/;
    for (let from: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {}; from !== undefined; ) {
      const page: ListMultipartUploadsCommandOutput = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix, ...from }));
      for (const { Key = "", UploadId, Initiated } of page.Uploads ?? [])
        if (ours.test(Key.slice(prefix.length)) && old(Initiated)) await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }));
      const { NextKeyMarker: KeyMarker, NextUploadIdMarker: UploadIdMarker } = page;
      from = page.IsTruncated === true && KeyMarker !== undefined ? { KeyMarker, ...(UploadIdMarker === undefined ? {} : { UploadIdMarker }) } : undefined;
    }
  }
  const sweepAndTell = () =>
    void sweep().catch((error) => log.warn({ error }, "what was left in the object store by uploads that ended could not be swept away"));
  sweepAndTell();
  const sweeping = setInterval(sweepAndTell, sweepMs);
  sweeping.unref();

  async function putStream(source: Readable, expect: Digest | undefined, maxBytes: number): Promise<StoredObject> {
    const { parts, measure } = measured(source, maxBytes);
    const stored = (): StoredObject => {
      const digest = measure.digest();
      if (expect !== undefined && expect !== digest) throw invalid(`The content has the digest ${digest}, not ${expect}.`);
      return { digest, size: measure.size };
    };
    const first = (await parts.next()).value;
    const second = first === undefined || first.length < partBytes ? undefined : (await parts.next()).value;
    if (second === undefined) {
      const whole = stored();
      return settle(whole, () => putWhole(on, key(whole.digest), first ?? Buffer.alloc(0)));
    }
    const staged = `${prefix}staging/${randomUUID()}`;
    async function* all(): AsyncGenerator<Buffer> {
      if (first !== undefined) yield first;
      if (second !== undefined) yield second;
      yield* parts;
    }
    try {
      await putParts(on, staged, all());
      const whole = stored();
      return await settle(whole, () => copyWithin(on, staged, key(whole.digest), { size: whole.size, wholeBytes: copyBytes }));
    } finally {
      await remove(staged).catch(() => {});
    }
  }

  const store: ObjectStore = {
    async put(source, { expect, maxBytes = Number.POSITIVE_INFINITY } = {}) {
      const stream = Buffer.isBuffer(source) ? Readable.from([source]) : source;
      try {
        return await streams(() => putStream(stream, expect, maxBytes));
      } catch (error) {
        // Whose sender broke off is no trouble of the store.
        throw stream.errored === error ? error : explained(on, error);
      }
    },
    async putFile(file) {
      const { parts, measure } = measured(createReadStream(file, { highWaterMark: partBytes }), Number.POSITIVE_INFINITY);
      for await (const _ of parts);
      const { size } = await stat(file);
      const stored: StoredObject = { digest: measure.digest(), size };
      const write = async () => {
        const again = measured(createReadStream(file, { highWaterMark: partBytes }), Number.POSITIVE_INFINITY);
        if (size > partBytes) await putParts(on, key(stored.digest), again.parts);
        else await putWhole(on, key(stored.digest), (await again.parts.next()).value ?? Buffer.alloc(0));
        if (size > partBytes && again.measure.digest() !== stored.digest) throw new Error(`${file} was changed while it was stored.`);
      };
      await streams(() => ask(() => settle(stored, write)));
      await cache.take(stored.digest, file);
      return stored;
    },
    read,
    stat: (digest) => ask(() => find(digest)),
    renew: (digest) =>
      ask(async () => {
        const [found, renewed] = await Promise.all([head(key(digest)), head(note("renewed", digest))]);
        if (found === undefined) return undefined;
        const latest = Math.max(found.modified.getTime(), renewed?.modified.getTime() ?? 0);
        if (Date.now() - latest < freshMs) return (await left(digest)) ? find(digest) : { digest, size: found.size };
        await putWhole(on, note("renewed", digest), Buffer.alloc(0));
        await left(digest);
        return find(digest);
      }),
    async localPath(digest) {
      hexOf(digest);
      return cache.path(digest, () => read(digest));
    },
    async delete(digest) {
      await ask(async () => {
        await remove(key(digest));
        await remove(note("renewed", digest));
      });
      await cache.drop(digest);
    },
    async *list() {
      const renewals = listed("renewed/");
      let renewed = await renewals.next();
      for await (const found of listed("")) {
        while (!renewed.done && renewed.value.digest < found.digest) renewed = await renewals.next();
        const again = !renewed.done && renewed.value.digest === found.digest ? renewed.value.modified : found.modified;
        yield { ...found, modified: again > found.modified ? again : found.modified } satisfies ListedObject;
      }
    },
    async deleteOlder(digest, than) {
      const isOld = (found: { modified: Date } | undefined) => found === undefined || found.modified.getTime() + 1_000 < than.getTime();
      return ask(async () => {
        if ((await head(key(digest))) === undefined) return false;
        await putWhole(on, note("leaving", digest), Buffer.alloc(0));
        const since = Date.now();
        try {
          const [found, renewed] = await Promise.all([head(key(digest)), head(note("renewed", digest))]);
          if (found === undefined || !isOld(found) || !isOld(renewed)) return false;
          // Who waits for the note has given up on it after a while.
          if (Date.now() - since > leavingMs / 4) return false;
          const quick = { abortSignal: AbortSignal.timeout(leavingMs / 4) };
          await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key(digest) }), quick);
          await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: note("renewed", digest) }), quick);
          await cache.drop(digest);
          return true;
        } finally {
          await remove(note("leaving", digest)).catch(() => {});
        }
      });
    },
    ...(direct ? { direct: directTransfers(on, { settle, key, copyBytes, ask }) } : {}),
  };
  return {
    store,
    close() {
      clearInterval(sweeping);
      client.destroy();
    },
  };
}
