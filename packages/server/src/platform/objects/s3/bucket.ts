/** The bucket of an S3 server: reaching it at the start, and its errors in words. */
import { randomUUID } from "node:crypto";
import { DeleteObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client, S3ServiceException } from "@aws-sdk/client-s3";
import { ApiError, StartError } from "../../errors.js";
import type { Log } from "../../log.js";

export interface Bucket {
  client: S3Client;
  bucket: string;
  /** Empty, or with a slash at its end. */
  prefix: string;
  log: Log;
}

/** A server that says nothing for so long is given up; copies of large objects take their time. */
const silentMs = 300_000;

/** Credentials, region and endpoint are those of the AWS_ variables and files. Throws a StartError that says what to set. */
export async function openBucket(url: string, log: Log): Promise<Bucket> {
  const [, bucket, path = ""] = /^s3:\/\/([a-z0-9][a-z0-9._-]{1,61}[a-z0-9])(?:\/(.*))?$/i.exec(url) ?? [];
  const parts = path.replace(/\/+$/, "").split("/");
  if (bucket === undefined || (parts.join("") !== "" && parts.some((part) => !/^[\w.=-]+$/.test(part) || /^\.+$/.test(part))))
    throw new StartError(`MILLRACE_OBJECTS is "${url}": write it as s3://bucket or s3://bucket/prefix.`);
  const endpoint = process.env.AWS_ENDPOINT_URL_S3 || process.env.AWS_ENDPOINT_URL;
  const region = process.env.AWS_REGION || process.env.AWS_DEFAULT_REGION || (endpoint ? "us-east-1" : undefined);
  // Which Node.js a later version of the client wants is nothing that an operator can act on.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true";
  const client = new S3Client({
    ...(region === undefined ? {} : { region }),
    // Servers other than AWS have buckets in the path; names of hosts for each would have to be set up.
    ...(endpoint ? { endpoint, forcePathStyle: true } : {}),
    maxAttempts: 4,
    // The signature covers what is sent; further checksums are not known to all servers.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: { connectionTimeout: 5_000, socketTimeout: silentMs, httpAgent: { maxSockets: 128 }, httpsAgent: { maxSockets: 128 } },
  });
  const opened = { client, bucket, prefix: parts[0] === "" ? "" : `${parts.join("/")}/`, log };
  try {
    await check(opened);
  } catch (error) {
    client.destroy();
    throw new StartError(`The object store ${url}${endpoint ? ` at ${endpoint}` : ""} can't be used: ${reason(error)}`);
  }
  return opened;
}

/** Lists, writes and deletes: what is allowed now is not found missing by the first upload. */
async function check({ client, bucket, prefix }: Bucket): Promise<void> {
  const quick = () => ({ abortSignal: AbortSignal.timeout(15_000) });
  await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, MaxKeys: 1 }), quick());
  const Key = `${prefix}staging/check-${randomUUID()}`;
  await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: Buffer.from("check") }), quick());
  await client.send(new DeleteObjectCommand({ Bucket: bucket, Key }), quick());
}

function reason(error: unknown): string {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  const code = codeOf(error) ?? name;
  switch (code) {
    case "NoSuchBucket":
    case "NotFound":
      return "there is no such bucket. Make it, or name another.";
    case "InvalidAccessKeyId":
    case "SignatureDoesNotMatch":
    // versitygw's.
    case "XAdminUserNotFound":
      return "it does not know these credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.";
    case "AccessDenied":
    case "Forbidden":
      return "access is denied. The credentials must be allowed to list the bucket, and to read, write and delete its objects.";
    case "PermanentRedirect":
    case "AuthorizationHeaderMalformed":
      return "the bucket is in another region. Set AWS_REGION.";
    case "CredentialsProviderError":
      return "there are no credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.";
    case "ECONNREFUSED":
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "ECONNRESET":
    case "TimeoutError":
    case "AbortError":
      return `it can't be reached (${code}). See AWS_ENDPOINT_URL_S3 and AWS_REGION.`;
    default:
      if (isStatus(error, 401, 403)) return `it refuses these credentials (${message} ${code}). See AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.`;
      return /region is missing/i.test(message) ? "its region is not known. Set AWS_REGION." : `${message} (${code})`;
  }
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

export const isStatus = (error: unknown, ...statuses: number[]): boolean =>
  error instanceof S3ServiceException && statuses.includes(error.$metadata.httpStatusCode ?? 0);
export const isNamed = (error: unknown, ...names: string[]): boolean => error instanceof Error && names.includes(error.name);

export async function asking<T>(on: Pick<Bucket, "log">, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw explained(on, error);
  }
}
/** What passes by itself is answered so that clients try again; all else as it came. */
export function explained({ log }: Pick<Bucket, "log">, error: unknown): unknown {
  const status = error instanceof S3ServiceException ? (error.$metadata.httpStatusCode ?? 0) : 0;
  const unreachable =
    /^(ECONN|ENOTFOUND|EAI_AGAIN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH)/.test(codeOf(error) ?? "") || isNamed(error, "TimeoutError", "AbortError");
  if (status < 500 && status !== 429 && !unreachable) return error;
  log.warn({ error }, "the object store did not do what it was asked for");
  return new ApiError(503, "OBJECT_STORE_UNAVAILABLE", "The object store does not answer as it should. Repeat the request.");
}
