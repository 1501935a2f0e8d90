/** A small part of a dataset's files: rows that are spread evenly over the newest of them, so that all of the time that they span is in it. */
import { createReadStream } from "node:fs";
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { createGunzip } from "node:zlib";
import type { SampleSize } from "@millrace/sdk";
import type { DatasetSpec } from "@millrace/sdk/spec";
import { CliError } from "../errors.js";
import { patternOf } from "../project/ignore.js";
import { type Duck, openDuck } from "../transfer/duck.js";
import { quoted } from "../transfer/tables.js";

const mostFiles = 31;
const mostBytes = 256 * 1024 ** 2;
const usual = 2_000;

export interface Sample {
  dataset: string;
  /** What is sent to the server, in order. */
  files: { name: string; path: string }[];
  rows: number;
  of: number;
  from: number;
  /** The newest moment in it, where that is known. */
  newest: Date | undefined;
}

/** Files that a dataset's rows are taken from, the newest last; undefined where nobody says any. */
export async function filesOf(project: string, dataset: DatasetSpec, given: readonly string[] | undefined): Promise<string[] | undefined> {
  if (given !== undefined) {
    const found = await Promise.all(given.map((one) => matching(project, one)));
    return found.flat();
  }
  if (dataset.watch === undefined || !("folder" in dataset.watch)) return undefined;
  const all = await namesIn(path.resolve(project, dataset.watch.folder), dataset.watch.pattern);
  const newest = all.slice(dataset.mode === "snapshot" ? -1 : -mostFiles);
  // At least one, and as many as can be read in a moment.
  for (let bytes = 0, i = newest.length - 1; i >= 0; i--) {
    bytes += (await stat(newest[i] ?? "")).size;
    if (bytes > mostBytes && i < newest.length - 1) return newest.slice(i + 1);
  }
  return newest;
}

async function matching(project: string, given: string): Promise<string[]> {
  const file = path.resolve(project, given);
  if (!path.basename(given).includes("*")) {
    if ((await stat(file).catch(() => undefined))?.isFile() !== true) throw new CliError(`there is no file ${given}`);
    return [file];
  }
  const found = await namesIn(path.dirname(file), path.basename(file));
  if (found.length === 0) throw new CliError(`no file is called ${given}`);
  return found;
}
async function namesIn(folder: string, pattern: string): Promise<string[]> {
  const form = patternOf(`/${pattern}`);
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return entries.flatMap((entry) => (entry.isFile() && form.test(entry.name) ? [path.join(folder, entry.name)] : [])).sort();
}

/** How many rows: the most that a check asks for, as all checks share them; else the usual number, and no less than what the schema asks of an arrival. */
export function sizeOf(dataset: string, declared: readonly (SampleSize | Readonly<Record<string, SampleSize>>)[], minRows = 0): SampleSize {
  const sizes = declared.flatMap((one) => (typeof one === "object" ? (one[dataset] ?? []) : one));
  if (sizes.includes("all")) return "all";
  const numbers = sizes.flatMap((size) => (size === "all" ? [] : size));
  return numbers.length === 0 ? Math.max(usual, minRows) : Math.max(...numbers);
}

export async function takeSample(dataset: DatasetSpec, files: readonly string[], size: SampleSize, folder: string): Promise<Sample> {
  await mkdir(folder, { recursive: true });
  const kinds = new Set(files.map((file) => kindOf(file, dataset)));
  if (kinds.size > 1) throw new CliError(`the files are of different kinds: ${[...kinds].join(" and ")}`);
  const [kind = "parquet"] = kinds;
  if (kind !== "parquet") return sampleOfText(dataset, files, kind, size, folder);
  const duck = await openDuck();
  try {
    return await sampleOfParquet(duck, dataset, files, size, folder);
  } finally {
    await duck.close();
  }
}

type Kind = "parquet" | "csv" | "jsonl";
function kindOf(file: string, { format }: DatasetSpec): Kind {
  const name = file.toLowerCase().replace(/\.gz$/, "");
  if (format !== undefined && !(format.kind === "parquet" && !name.endsWith(".parquet"))) return format.kind;
  if (name.endsWith(".csv") || name.endsWith(".tsv")) return "csv";
  return name.endsWith(".jsonl") || name.endsWith(".ndjson") ? "jsonl" : "parquet";
}

async function sampleOfParquet(duck: Duck, dataset: DatasetSpec, files: readonly string[], size: SampleSize, folder: string): Promise<Sample> {
  const source = `read_parquet([${files.map(quoted).join(", ")}], union_by_name = true)`;
  const [counted] = await duck.rows(`select count(*) as n from ${source}`);
  const of = Number(counted?.n ?? 0);
  const rows = size === "all" ? of : Math.min(of, size);
  const target = path.join(folder, "sample.parquet");
  const numbered = `select *, row_number() over () - 1 as millrace_row from ${source}`;
  await duck.run(
    `copy (select * exclude (millrace_row) from (${numbered}) where (millrace_row * ${rows}) % ${Math.max(of, 1)} < ${rows} order by millrace_row) to ${quoted(target)} (format parquet)`,
  );
  const newest = await newestOf(duck, dataset.timestamp, target);
  return { dataset: dataset.name, files: [{ name: "sample.parquet", path: target }], rows, of, from: files.length, newest };
}
async function newestOf(duck: Duck, column: string | undefined, file: string): Promise<Date | undefined> {
  if (column === undefined) return undefined;
  const name = `"${column.replaceAll('"', '""')}"`;
  const found = await duck.rows(`select epoch_ms(max(${name})::timestamp)::double as ms from read_parquet(${quoted(file)})`).catch(() => []);
  const ms = found[0]?.ms;
  return typeof ms === "number" && Number.isFinite(ms) ? new Date(ms) : undefined;
}

/** By records and as they are written, so that the dataset's own format reads them. */
async function sampleOfText(dataset: DatasetSpec, files: readonly string[], kind: Kind, size: SampleSize, folder: string): Promise<Sample> {
  const format = dataset.format?.kind === "csv" ? dataset.format : undefined;
  // Bytes and not characters: quotes and line ends are the same in UTF-8 and Latin-1.
  const encoding = format?.encoding === "utf-16" ? "utf16le" : "latin1";
  const quote = kind === "csv" ? (format?.quote ?? '"') : "";
  const head = kind === "csv" ? (format?.skip ?? 0) + ((format?.header ?? true) ? 1 : 0) : 0;
  let heading: string[] = [];
  const records: string[] = [];
  // The newest says what the columns are called; what is called otherwise is left out.
  for (const file of [...files].reverse()) {
    const all = recordsOf(await textOf(file, encoding), quote);
    const own = all.splice(0, head);
    if (heading.length === 0) heading = own;
    else if (own.at(-1) !== heading.at(-1)) continue;
    records.unshift(...all);
  }
  const rows = size === "all" ? records.length : Math.min(records.length, size);
  const taken = records.filter((_, i) => (i * rows) % Math.max(records.length, 1) < rows);
  const last = path.basename(files.at(-1) ?? "").replace(/\.gz$/i, "");
  const target = path.join(folder, last);
  await writeFile(target, Buffer.from([...heading, ...taken].map((record) => `${record}\n`).join(""), encoding));
  return { dataset: dataset.name, files: [{ name: last, path: target }], rows, of: records.length, from: files.length, newest: undefined };
}

async function textOf(file: string, encoding: BufferEncoding): Promise<string> {
  const source = createReadStream(file);
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of file.toLowerCase().endsWith(".gz") ? source.pipe(createGunzip()) : source) {
    if (!Buffer.isBuffer(part)) continue;
    parts.push(part);
    bytes += part.length;
    if (bytes > mostBytes) throw new CliError(`${path.basename(file)} has more than 256 MB of text: name a smaller file in the check's data`);
  }
  return Buffer.concat(parts).toString(encoding);
}

/** Lines, but for those that end within quotes. */
function recordsOf(text: string, quote: string): string[] {
  const records: string[] = [];
  let open = "";
  for (const line of text.split(/\r?\n/)) {
    const record = open === "" ? line : `${open}\n${line}`;
    const quotes = quote === "" ? 0 : record.split(quote).length - 1;
    if (quotes % 2 === 1) {
      open = record;
      continue;
    }
    open = "";
    if (record !== "") records.push(record);
  }
  return records;
}
