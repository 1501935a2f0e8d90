import { createHash } from "node:crypto";
import type { Artifact } from "@millrace/sdk/api";
import type { Platform } from "../platform/index.js";

/** A table is its parts in order, whatever they are called: equal digests are equal contents. */
export function tableDigest(parts: string[]): string {
  const hash = createHash("sha256");
  hash.update("table\n");
  for (const part of parts) hash.update(`${part}\n`);
  return `sha256:${hash.digest("hex")}`;
}

/** Takes a finished Parquet file into the store as a table of one part. */
export async function storeTable({ objects }: Pick<Platform, "objects">, name: string, file: string, meta: Artifact["meta"]): Promise<Artifact> {
  const stored = await objects.putFile(file);
  return { type: "table", digest: tableDigest([stored.digest]), files: [{ path: name, digest: stored.digest, size: stored.size }], meta };
}
