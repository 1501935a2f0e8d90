import { Readable } from "node:stream";
import type { S3Client } from "@aws-sdk/client-s3";
import { ApiError, invalid, type Platform, type ServerConfig, type StoredObject } from "../../platform/index.js";

export interface S3Object {
  bucket: string;
  key: string;
  /** The key below the prefix that was asked for. */
  name: string;
  size: number;
  tag: string;
}
const mostObjects = 10_000;
const largestObject = 64 * 1024 ** 3;

/** What lies below an address that the operator allows, in the order of names; or the one object at it. */
export async function listS3(config: Pick<ServerConfig, "ingestion">, url: string): Promise<S3Object[]> {
  const [, bucket, key] = /^s3:\/\/([a-z0-9][a-z0-9._-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(url) ?? [];
  if (bucket === undefined) throw invalid(`"${url}" is no address in S3: write s3://bucket/prefix/.`);
  const prefix = key ?? "";
  const allowed = (config.ingestion?.s3 ?? []).some((one) => (one.endsWith("/") ? url.startsWith(one) : url === one || url.startsWith(`${one}/`)));
  if (!allowed || prefix.split("/").includes("..")) {
    throw new ApiError(403, "FORBIDDEN", `Files below "${url}" may not be read: the operator allows addresses with MILLRACE_INGEST_S3.`);
  }
  const { ListObjectsV2Command } = await import("@aws-sdk/client-s3");
  const s3 = await client();
  const found: S3Object[] = [];
  let token: string | undefined;
  do {
    const page = await reached(url, () =>
      s3.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ...(token === undefined ? {} : { ContinuationToken: token }) })),
    );
    for (const { Key = "", Size = 0, ETag = "" } of page.Contents ?? []) {
      const whole = Key === prefix;
      // `flights` is a folder or an object, and not the beginning of `flights-old/`.
      if (Key.endsWith("/") || (!whole && prefix !== "" && !prefix.endsWith("/") && Key[prefix.length] !== "/")) continue;
      const name = whole ? Key.slice(Key.lastIndexOf("/") + 1) : Key.slice(prefix.length).replace(/^\//, "");
      found.push({ bucket, key: Key, name, size: Size, tag: ETag });
      if (found.length > mostObjects) throw invalid(`Below "${url}" are more than ${mostObjects} files: take fewer at a time.`);
    }
    token = page.NextContinuationToken;
  } while (token !== undefined);
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Its bytes into the store, as they were when it was listed. */
export async function fetchS3({ objects }: Pick<Platform, "objects">, { bucket, key, tag, name }: S3Object): Promise<StoredObject> {
  const { GetObjectCommand } = await import("@aws-sdk/client-s3");
  const s3 = await client();
  const { Body } = await reached(name, () => s3.send(new GetObjectCommand({ Bucket: bucket, Key: key, IfMatch: tag })));
  if (!(Body instanceof Readable)) throw new ApiError(503, "SOURCE_UNAVAILABLE", `"${name}" could not be read. Repeat the request.`);
  return objects.put(Body, { maxBytes: largestObject });
}

let opened: Promise<S3Client> | undefined;
/** Credentials, region and endpoint are the operator's: those of the AWS_ variables and files. */
function client(): Promise<S3Client> {
  opened ??= import("@aws-sdk/client-s3").then(({ S3Client: Client }) => {
    const endpoint = process.env.AWS_ENDPOINT_URL_S3 || process.env.AWS_ENDPOINT_URL;
    const region = process.env.AWS_REGION || process.env.AWS_DEFAULT_REGION || (endpoint ? "us-east-1" : undefined);
    return new Client({ ...(region === undefined ? {} : { region }), ...(endpoint ? { endpoint, forcePathStyle: true } : {}), maxAttempts: 4 });
  });
  return opened;
}

async function reached<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const name = error instanceof Error ? error.name : "";
    if (name === "NoSuchBucket" || name === "NoSuchKey" || name === "NotFound") throw invalid(`There is nothing at "${what}".`);
    if (name === "PreconditionFailed") throw new ApiError(409, "CONFLICT", `"${what}" was changed while it was read. Repeat the request.`);
    throw new ApiError(
      503,
      "SOURCE_UNAVAILABLE",
      `"${what}" could not be read from S3 (${name}). Look at the address and the credentials, then repeat the request.`,
    );
  }
}
