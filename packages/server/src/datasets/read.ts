import { createReadStream } from "node:fs";
import path from "node:path";
import type { Readable } from "node:stream";
import type { DatasetVersionDetail } from "@millrace/sdk/api";
import { type Digest, invalid, literal, type Platform, parquet } from "../platform/index.js";
import { openWork } from "./work.js";

export type ReadFormat = "parquet" | "csv" | "jsonl";
export const readTypes: Record<ReadFormat, string> = { parquet: "application/vnd.apache.parquet", csv: "text/csv", jsonl: "application/x-ndjson" };
const written: Record<ReadFormat, string> = { parquet: "format parquet, compression zstd", csv: "format csv, header", jsonl: "format json" };

/** The parts of a version, or of one of its partitions. */
export function partsIn(version: DatasetVersionDetail, partition: string | undefined): DatasetVersionDetail["parts"] {
  if (partition === undefined) return version.parts;
  const parts = version.parts.filter((part) => part.partition === partition);
  if (parts.length > 0) return parts;
  const known = [...new Set(version.parts.flatMap((part) => part.partition ?? []))].sort();
  const some = known.length === 0 ? "it has none" : `it has ${known.slice(0, 5).join(", ")}${known.length > 5 ? " …" : ""}`;
  throw invalid(`The version ${version.version} of "${version.dataset}" has no partition "${partition}": ${some}.`);
}

/** All rows as one stream, in their order. Times are in UTC. */
export async function readRows(
  { duckdb, objects, config }: Pick<Platform, "duckdb" | "objects" | "config">,
  version: DatasetVersionDetail,
  { format, partition }: { format: ReadFormat; partition: string | undefined },
): Promise<Readable> {
  const parts = partsIn(version, partition);
  const [only] = parts;
  if (format === "parquet" && parts.length === 1 && only !== undefined) return objects.read(only.digest as Digest);
  const paths = await Promise.all(parts.map((part) => objects.localPath(part.digest as Digest)));
  const { folder, remove } = await openWork(config);
  const file = path.join(folder, "rows");
  try {
    await duckdb.use((connection) => connection.run(`copy (select * from ${parquet(paths)}) to ${literal(file)} (${written[format]})`));
  } catch (error) {
    await remove();
    throw error;
  }
  return createReadStream(file, { highWaterMark: 512 * 1024 }).once("close", () => void remove());
}
