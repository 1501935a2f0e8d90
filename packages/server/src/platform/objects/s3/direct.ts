/** Addresses that the server signs, at which clients reach the bucket by themselves. */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { getSignedUrl, S3RequestPresigner } from "@aws-sdk/s3-request-presigner";
import { invalid } from "../../errors.js";
import type { Digest, DirectTransfers, StoredObject } from "../store.js";
import { type Bucket, isNamed, isStatus } from "./bucket.js";
import { copyWithin } from "./upload.js";

interface Parts {
  settle(stored: StoredObject, write: () => Promise<void>): Promise<StoredObject>;
  key(digest: Digest): string;
  copyBytes: number;
  ask<T>(work: () => Promise<T>): Promise<T>;
}

export function directTransfers(on: Bucket, { settle, key, copyBytes, ask }: Parts): DirectTransfers {
  const { client, bucket: Bucket, prefix } = on;
  const presigner = new S3RequestPresigner({ ...client.config });
  const place = (name: string) => ({ Bucket, Key: `${prefix}staging/${name}` });

  const uploaded: DirectTransfers["uploaded"] = async (name) => {
    try {
      const { ContentLength = 0, ETag = "", LastModified } = await client.send(new HeadObjectCommand(place(name)));
      return { size: ContentLength, tag: `${ETag} ${LastModified?.getTime() ?? 0}` };
    } catch (error) {
      if (isStatus(error, 404)) return undefined;
      throw error;
    }
  };

  return {
    uploadUrl: (name, seconds) => getSignedUrl(client, new PutObjectCommand(place(name)), { expiresIn: seconds }),
    beginParts: (name) =>
      ask(async () => {
        const { UploadId } = await client.send(new CreateMultipartUploadCommand(place(name)));
        if (UploadId === undefined) throw new Error("The object store began no upload.");
        return UploadId;
      }),
    async *partUrls(name, UploadId, count, seconds) {
      const first = await getSignedUrl(client, new UploadPartCommand({ ...place(name), UploadId, PartNumber: 1 }), { expiresIn: seconds });
      yield first;
      // The others differ by their number. Signed as they are they cost a tenth of going the whole way for each.
      const { protocol, hostname, port, pathname, host, searchParams } = new URL(first);
      const query = Object.fromEntries([...searchParams].filter(([key]) => !key.startsWith("X-Amz-")));
      const where = { protocol, hostname, ...(port === "" ? {} : { port: Number(port) }), path: pathname, headers: { host }, method: "PUT" };
      for (let part = 2; part <= count; part++) {
        const signed = await presigner.presign({ ...where, query: { ...query, partNumber: String(part) } }, { expiresIn: seconds });
        const address = new URL(pathname, `${protocol}//${host}`);
        for (const [key, value] of Object.entries(signed.query ?? {})) address.searchParams.set(key, String(value));
        yield address.href;
      }
    },
    completeParts: (name, UploadId, parts) =>
      ask(async () => {
        const Parts = parts.map(({ number, tag }) => ({ PartNumber: number, ETag: tag })).sort((a, b) => a.PartNumber - b.PartNumber);
        try {
          await client.send(new CompleteMultipartUploadCommand({ ...place(name), UploadId, MultipartUpload: { Parts } }));
        } catch (error) {
          // It was completed before, and its answer got lost; or it is none.
          if ((isNamed(error, "NoSuchUpload") || isStatus(error, 404)) && (await uploaded(name)) !== undefined) return;
          if (isStatus(error, 400, 404)) throw invalid(`The parts can't be put together: ${error instanceof Error ? error.message : "they don't fit"}`);
          throw error;
        }
      }),
    abortParts: (name, UploadId) =>
      ask(async () => {
        await client.send(new AbortMultipartUploadCommand({ ...place(name), UploadId })).catch((error: unknown) => {
          if (!isStatus(error, 404)) throw error;
        });
      }),
    uploaded: (name) => ask(() => uploaded(name)),
    adopt: (name, tag) =>
      ask(async () => {
        const [etag = ""] = tag.split(" ");
        try {
          const { Body } = await client.send(new GetObjectCommand({ ...place(name), IfMatch: etag }));
          if (!(Body instanceof Readable)) throw new Error("The object store gave no stream.");
          const hash = createHash("sha256");
          let size = 0;
          for await (const chunk of Body as AsyncIterable<Buffer>) {
            hash.update(chunk);
            size += chunk.length;
          }
          const stored: StoredObject = { digest: `sha256:${hash.digest("hex")}`, size };
          return await settle(stored, () => copyWithin(on, place(name).Key, key(stored.digest), { size, tag: etag, wholeBytes: copyBytes }));
        } catch (error) {
          if (isStatus(error, 404, 412)) return undefined;
          throw error;
        }
      }),
    async discard(name) {
      await ask(() => client.send(new DeleteObjectCommand(place(name))));
    },
    downloadUrl: (digest, { seconds, disposition }) =>
      getSignedUrl(
        client,
        new GetObjectCommand({
          Bucket,
          Key: key(digest),
          ResponseContentDisposition: disposition,
          ResponseContentType: "application/octet-stream",
        }),
        { expiresIn: seconds },
      ),
  };
}
