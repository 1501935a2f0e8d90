import type { FormatSpec } from "@millrace/sdk/spec";
import { invalid } from "../../platform/index.js";

/** A file of this machine that is to be read, and the name that its sender gave it. */
export interface SourceFile {
  name: string;
  path: string;
  size: number;
}
export type CsvFormat = Extract<FormatSpec, { kind: "csv" }>;

/** What a file's content is to be blamed for: told to its sender, with the place. */
export class ContentError extends Error {
  override readonly name = "ContentError";
}

export const mostColumns = 10_000;
export const longestLine = 16 * 1024 ** 2;

/** By the dataset, or the name. */
export function formatOf(name: string, said: FormatSpec | undefined): FormatSpec {
  if (said !== undefined) return said.kind === "csv" && said.delimiter === undefined && /\.tsv(\.gz)?$/i.test(name) ? { ...said, delimiter: "\t" } : said;
  const known = guessFormat(name);
  if (known !== undefined) return known;
  throw invalid(`The format of "${name}" can't be told from its name: .parquet, .csv, .tsv, .jsonl and .ndjson are known. Say the format.`);
}
export function guessFormat(name: string): FormatSpec | undefined {
  const ending = /\.([a-z0-9]+)(?:\.gz)?$/i.exec(name)?.[1]?.toLowerCase();
  if (ending === "parquet" || ending === "pq") return { kind: "parquet" };
  if (ending === "csv") return { kind: "csv" };
  if (ending === "tsv") return { kind: "csv", delimiter: "\t" };
  if (ending === "jsonl" || ending === "ndjson") return { kind: "jsonl" };
  return undefined;
}
export const isZipped = (file: Pick<SourceFile, "name">): boolean => /\.gz$/i.test(file.name);
