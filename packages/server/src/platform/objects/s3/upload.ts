/** Bytes into the bucket, part by part: memory stays at a few parts however large it is. */
import { createHash } from "node:crypto";
import type { Readable } from "node:stream";
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { ApiError } from "../../errors.js";
import { limit } from "../../limit.js";
import type { Digest } from "../store.js";
import type { Bucket } from "./bucket.js";

/** S3 takes 10,000 parts of an object: with parts of this size, 80 GB. All parts but the last have one size: some servers want it so. */
export const partBytes = 8 * 1024 ** 2;
/** Of one upload, and of all together. */
const partsAtOnce = 4;
const anyParts = limit(16);

export interface Measured {
  size: number;
  digest(): Digest;
}
/** A stream in parts, measured on the way. */
export function measured(source: Readable, maxBytes: number): { parts: AsyncGenerator<Buffer>; measure: Measured } {
  const hash = createHash("sha256");
  const measure = { size: 0, digest: (): Digest => `sha256:${hash.digest("hex")}` };
  async function* parts(): AsyncGenerator<Buffer> {
    let waiting: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of source as AsyncIterable<Buffer>) {
      measure.size += chunk.length;
      if (measure.size > maxBytes) throw new ApiError(413, "TOO_LARGE", `More than ${maxBytes} bytes were sent.`);
      hash.update(chunk);
      waiting.push(chunk);
      bytes += chunk.length;
      while (bytes >= partBytes) {
        const all = Buffer.concat(waiting, bytes);
        yield all.subarray(0, partBytes);
        waiting = bytes === partBytes ? [] : [all.subarray(partBytes)];
        bytes -= partBytes;
      }
    }
    if (bytes > 0 || measure.size === 0) yield Buffer.concat(waiting, bytes);
  }
  return { parts: parts(), measure };
}

export const putWhole = async ({ client, bucket }: Bucket, Key: string, Body: Buffer): Promise<void> =>
  void (await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body })));

export async function putParts(on: Bucket, Key: string, parts: AsyncIterable<Buffer>): Promise<void> {
  await inParts(on, Key, async (UploadId, send) => {
    const { client, bucket } = on;
    let number = 0;
    for await (const Body of parts) {
      const PartNumber = ++number;
      await send(async () => {
        const { ETag } = await client.send(new UploadPartCommand({ Bucket: bucket, Key, UploadId, PartNumber, Body }));
        return { PartNumber, ETag };
      });
    }
  });
}

const copiedPartBytes = 1024 ** 3;
/** Within the store. `tag` is that of the content which is meant. Larger ones than `wholeBytes` go in parts: S3 copies 5 GB at once. */
export async function copyWithin(
  on: Bucket,
  from: string,
  Key: string,
  { size, tag, wholeBytes }: { size: number; tag?: string; wholeBytes: number },
): Promise<void> {
  const { client, bucket } = on;
  const source = {
    Bucket: bucket,
    Key,
    CopySource: `${bucket}/${from.split("/").map(encodeURIComponent).join("/")}`,
    ...(tag === undefined ? {} : { CopySourceIfMatch: tag }),
  };
  if (size <= wholeBytes) return void (await client.send(new CopyObjectCommand(source)));
  const bytes = Math.min(copiedPartBytes, wholeBytes);
  await inParts(on, Key, async (UploadId, send) => {
    for (let at = 0, PartNumber = 1; at < size; at += bytes, PartNumber++) {
      const CopySourceRange = `bytes=${at}-${Math.min(at + bytes, size) - 1}`;
      const number = PartNumber;
      await send(async () => {
        const { CopyPartResult } = await client.send(new UploadPartCopyCommand({ ...source, UploadId, PartNumber: number, CopySourceRange }));
        return { PartNumber: number, ETag: CopyPartResult?.ETag };
      });
    }
  });
}

type Send = (part: () => Promise<CompletedPart>) => Promise<void>;
/** `all` sends the parts, and is held up while enough of them are under way. Of what fails nothing is left. */
async function inParts({ client, bucket }: Bucket, Key: string, all: (uploadId: string, send: Send) => Promise<void>): Promise<void> {
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }));
  if (UploadId === undefined) throw new Error("The object store began no upload.");
  const done: CompletedPart[] = [];
  const failures: unknown[] = [];
  const underWay = new Set<Promise<unknown>>();
  const send: Send = async (part) => {
    while (underWay.size >= partsAtOnce) await Promise.race(underWay);
    // Comes back when the part is on its way: until then the next one is not even read.
    await new Promise<void>((begun) => {
      const work = anyParts(async () => {
        begun();
        if (failures.length === 0) done.push(await part());
      })
        .catch((error: unknown) => failures.push(error))
        .finally(() => underWay.delete(work));
      underWay.add(work);
    });
    if (failures.length > 0) throw failures[0];
  };
  try {
    await all(UploadId, send);
    await Promise.all(underWay);
    if (failures.length > 0) throw failures[0];
    const Parts = done.sort((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0));
    await client.send(new CompleteMultipartUploadCommand({ Bucket: bucket, Key, UploadId, MultipartUpload: { Parts } }));
  } catch (error) {
    await Promise.all(underWay);
    // If this fails too, the next sweep takes it away.
    await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId })).catch(() => {});
    throw error;
  }
}
