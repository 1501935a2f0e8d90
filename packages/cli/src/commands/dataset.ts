import { createWriteStream, openAsBlob } from "node:fs";
import { mkdir, readdir, rename, stat } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { DatasetVersionDetail, IngestionStart, SplitStart } from "@millrace/sdk/api";
import type { Client } from "@millrace/sdk/client";
import { CliError, exit } from "../errors.js";
import { count, print, printJson, table, tell, time } from "../output.js";
import { connect, type ServerOptions } from "../server.js";

type Options = ServerOptions & { json?: boolean };

export async function listDatasets(options: Options): Promise<void> {
  const { items } = await connect(options).datasets.list();
  if (options.json) return printJson(items);
  if (items.length === 0) return print("There are no datasets.");
  const rows = items.map((one) => [one.name, one.mode, String(one.latest?.version ?? "-"), count(one.latest?.rows ?? 0), time(one.latest?.createdAt)]);
  print(table(["dataset", "mode", "version", "rows", "since"], rows));
}

export async function showVersions(name: string, options: Options): Promise<void> {
  const { items } = await connect(options).datasets.versions(name);
  if (options.json) return printJson(items);
  const rows = items.map((one) => [
    String(one.version),
    one.status,
    count(one.rows),
    count(one.added.rows),
    one.origin?.kind ?? "-",
    one.added.file,
    time(one.createdAt),
  ]);
  print(items.length === 0 ? `"${name}" has no version yet.` : table(["version", "state", "rows", "added", "from", "file", "came"], rows));
}

export interface AddOptions extends Options {
  mode?: "append" | "snapshot";
  query?: string;
  pattern?: string;
}
/** A file or folder of this machine, `s3://…`, or `postgres:<connection>` with a query. */
export async function addToDataset(name: string, source: string, options: AddOptions): Promise<void> {
  const client = connect(options);
  const mode = options.mode === undefined ? {} : { mode: options.mode };
  let from: IngestionStart["from"];
  if (source.startsWith("s3://")) from = { kind: "s3", url: source, ...(options.pattern === undefined ? {} : { pattern: options.pattern }) };
  else if (source.startsWith("postgres:")) {
    if (source.startsWith("postgres://"))
      throw new CliError("Name a connection of the server, as postgres:shop: addresses and passwords stay there.", exit.usage);
    if (options.query === undefined) throw new CliError("Say which rows with --query.", exit.usage);
    from = { kind: "postgres", connection: source.slice("postgres:".length), query: options.query };
  } else from = { kind: "files", files: await uploaded(client, name, source) };
  const version = await whileTelling("the server takes it in", () => client.datasets.ingest(name, { from, ...mode }));
  if (options.json) printJson(version);
  else print(`${version.dataset} version ${version.version}: ${count(version.added.rows)} rows added, ${count(version.rows)} in all`);
}

/** Long work says every few seconds that it is under way. */
async function whileTelling<T>(what: string, work: () => Promise<T>): Promise<T> {
  const began = performance.now();
  const telling = setInterval(() => tell(`${what}: ${Math.round((performance.now() - began) / 1_000)} s`), 5_000);
  try {
    return await work();
  } finally {
    clearInterval(telling);
  }
}

async function uploaded(client: Client, name: string, source: string): Promise<{ name: string; digest: string }[]> {
  const found = await stat(source).catch(() => undefined);
  if (found === undefined) throw new CliError(`There is no file or folder ${source}.`);
  const names = found.isDirectory()
    ? (await readdir(source, { withFileTypes: true })).flatMap((entry) => (entry.isFile() && !entry.name.startsWith(".") ? [entry.name] : [])).sort()
    : [path.basename(source)];
  if (names.length === 0) throw new CliError(`The folder ${source} has no files.`);
  const folder = found.isDirectory() ? source : path.dirname(source);
  const files: { name: string; digest: string }[] = [];
  for (const [i, file] of names.entries()) {
    if (names.length > 1) tell(`${file} (${i + 1} of ${names.length})`);
    const bytes = await openAsBlob(path.join(folder, file));
    const { digest } = await whileTelling(`${file}, ${(bytes.size / 1024 ** 2).toFixed(1)} MiB, is sent`, () => client.datasets.upload(name, bytes));
    files.push({ name: file, digest });
  }
  return files;
}

export interface GetOptions extends Options {
  version?: number;
  asOf?: string;
  partition?: string;
  to?: string;
  format?: "parquet" | "csv" | "jsonl";
}
export async function getDataset(name: string, options: GetOptions): Promise<void> {
  const client = connect(options);
  const version = await wanted(client, name, options);
  const { format = "parquet", to, partition } = options;
  if (to === undefined && format === "parquet") throw new CliError("Say a folder with --to, or --format csv or jsonl to print the rows.", exit.usage);
  const response = await client.datasets.read(name, version.version, { format, partition });
  if (response.body === null) throw new CliError("The server sent nothing.");
  if (to === undefined) return pipeline(Readable.fromWeb(response.body), process.stdout, { end: false });
  await mkdir(to, { recursive: true });
  const file = path.join(to, `${name}-${version.version}${partition === undefined ? "" : `-${partition.replaceAll(/[^\w.=-]/g, "_")}`}.${format}`);
  // Whole or not there.
  await pipeline(Readable.fromWeb(response.body), createWriteStream(`${file}.part`));
  await rename(`${file}.part`, file);
  if (options.json) printJson({ dataset: name, version: version.version, digest: version.digest, file });
  else print(file);
}

async function wanted(client: Client, name: string, { version, asOf }: GetOptions): Promise<DatasetVersionDetail> {
  if (version !== undefined && asOf !== undefined) throw new CliError("Give --version or --as-of, not both.", exit.usage);
  if (asOf !== undefined) return client.datasets.asOf(name, asOf);
  const number = version ?? (await client.datasets.get(name)).latest?.version;
  if (number === undefined) throw new CliError(`The dataset "${name}" has no accepted version yet.`);
  return client.datasets.version(name, number);
}

export async function partitionsOf(name: string, options: GetOptions): Promise<void> {
  const client = connect(options);
  const { items } = await client.datasets.partitions(name, (await wanted(client, name, options)).version);
  if (options.json) return printJson(items);
  print(
    items.length === 0
      ? `"${name}" has no partitions.`
      : table(
          ["partition", "rows", "files"],
          items.map((one) => [one.key, count(one.rows), String(one.parts)]),
        ),
  );
}

export async function diffDataset(name: string, from: number, to: number, options: Options): Promise<void> {
  const diff = await connect(options).datasets.diff(name, from, to);
  if (options.json) return printJson(diff);
  const { rows, columns } = diff;
  print(
    `rows: ${count(rows.from)} and ${count(rows.to)}: ${count(rows.added)} added, ${count(rows.removed)} removed${rows.changed === null ? "" : `, ${count(rows.changed)} changed`}`,
  );
  for (const column of columns.added) print(`column added: ${column.name} ${column.type.toLowerCase()}`);
  for (const column of columns.removed) print(`column removed: ${column.name} ${column.type.toLowerCase()}`);
  for (const column of columns.retyped) print(`column retyped: ${column.name} ${column.from.toLowerCase()} to ${column.to.toLowerCase()}`);
  const pair = (a: unknown, b: unknown) => (JSON.stringify(a) === JSON.stringify(b) ? shown(a) : `${shown(a)} → ${shown(b)}`);
  const lines = diff.statistics.map(({ name: column, from: a, to: b }) => [
    column,
    pair(a?.nulls, b?.nulls),
    pair(a?.distinct, b?.distinct),
    pair(a?.min, b?.min),
    pair(a?.mean, b?.mean),
    pair(a?.max, b?.max),
  ]);
  if (lines.length > 0) print(table(["column", "nulls", "distinct", "min", "mean", "max"], lines));
}
const shown = (value: unknown): string =>
  value === null || value === undefined ? "-" : typeof value === "number" ? String(Number(value.toPrecision(5))) : String(value).slice(0, 20);

export async function splitDataset(name: string, shares: string[], options: GetOptions & { by: string[]; seed?: string; group?: boolean }): Promise<void> {
  const client = connect(options);
  const version = await wanted(client, name, options);
  const answer = await client.datasets.split(name, version.version, splitOf(shares, options));
  if (options.json) printJson(answer.splits);
  else
    print(
      table(
        ["split", "rows", "file"],
        answer.splits.map((one) => [one.name, count(one.rows), `/api/v1/objects/${one.file}`]),
      ),
    );
}

/** `time` is no column here: the dataset's timestamp is meant. */
function splitOf(shares: string[], options: { by: string[]; seed?: string; group?: boolean }): SplitStart {
  if (options.by.length === 1 && options.by[0] === "time") {
    const durations = new Map(shares.map((text) => [text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1)]));
    const [test, train] = [durations.get("test"), durations.get("train")];
    if (test === undefined || durations.size > (train === undefined ? 1 : 2))
      throw new CliError(
        "By time, say how much of the end is for tests, as test=28d, and how much before that is for training, as train=365d, or all.",
        exit.usage,
      );
    return { by: "time", test, ...(train === undefined ? {} : { train }) };
  }
  const parsed = shares.map((text) => {
    const [, side, share] = /^([A-Za-z][\w-]*)=(0?\.\d+|1)$/.exec(text) ?? [];
    if (side === undefined) throw new CliError(`"${text}" is no share: write train=0.8 test=0.2.`, exit.usage);
    return { name: side, share: Number(share) };
  });
  const seed = options.seed === undefined ? {} : { seed: options.seed };
  return { by: options.group ? "group" : "hash", columns: options.by, shares: parsed, ...seed };
}
