import path from "node:path";
import type { DuckDBConnection } from "@duckdb/node-api";
import type { TableColumn } from "@millrace/sdk/api";
import type { FormatSpec } from "@millrace/sdk/spec";
import { type DuckDb, identifier, literal, parquet } from "../../platform/index.js";
import { columnType } from "../../validation/index.js";
import { csvColumns, csvError, csvSource } from "./csv.js";
import { inferTypes } from "./infer.js";
import { checkJsonLines, jsonError, jsonSource } from "./jsonl.js";
import { ContentError, type CsvFormat, formatOf, mostColumns, type SourceFile } from "./types.js";

export interface Table {
  /** The name of the file that it came from. */
  name: string;
  path: string;
  /** The file itself: nothing was to be changed. */
  asItCame: boolean;
  columns: TableColumn[];
}
export interface Reading {
  format: FormatSpec | undefined;
  /** Of times that are written without one. */
  zone: string | undefined;
  /** Types of columns that are known already, as DuckDB names them, by the name in lower case. */
  pinned: ReadonlyMap<string, string>;
  /** Where what is made lies. */
  folder: string;
}

/** Makes files Parquet, in their order. Throws a ContentError that names file and line where one can't be read. */
export async function toParquet(duckdb: DuckDb, files: readonly SourceFile[], reading: Reading): Promise<Table[]> {
  const texts = files.filter((file) => formatOf(file.name, reading.format).kind !== "parquet");
  return duckdb.use(async (connection) => {
    await connection.run(`set TimeZone = ${literal(reading.zone ?? "UTC")}`);
    const on = { duckdb, connection };
    // Files that come together are one table: their columns have one type.
    const types = new Map(reading.pinned);
    const read = new Map<SourceFile, { columns: TableColumn[]; source: (columns: TableColumn[]) => string }>();
    for (const file of texts) {
      const format = formatOf(file.name, reading.format);
      const found = format.kind === "csv" ? await lookAtCsv(on, file, format, reading.pinned) : await lookAtJson(on, file, reading.pinned);
      read.set(file, found);
      for (const { name, type } of found.columns) types.set(name.toLowerCase(), together(types.get(name.toLowerCase()), type));
    }
    const tables: Table[] = [];
    for (const [i, file] of files.entries()) {
      const target = path.join(reading.folder, `${i}.parquet`);
      const text = read.get(file);
      if (text === undefined) tables.push(await fromParquet(on, file, target, reading.zone));
      else {
        const columns = text.columns.map(({ name, type }) => ({ name, type: types.get(name.toLowerCase()) ?? type }));
        // Nested JSON is kept as its text.
        const selected = columns.map(({ name, type }) => (type === "JSON" ? `${identifier(name)}::varchar as ${identifier(name)}` : identifier(name)));
        const sql = `select ${selected.join(", ")} from ${text.source(columns)}`;
        await told(file, () => connection.run(`copy (${sql}) to ${literal(target)} (format parquet, compression zstd)`));
        tables.push({ name: file.name, path: target, asItCame: false, columns: await describe(on, target) });
      }
    }
    return tables;
  });
}

interface On {
  duckdb: DuckDb;
  connection: DuckDBConnection;
}

async function lookAtCsv({ duckdb, connection }: On, file: SourceFile, format: CsvFormat, pinned: Reading["pinned"]) {
  const names = await csvColumns(file, format);
  const source = (columns: TableColumn[]) => csvSource(file, format, columns);
  const open = names.filter((name) => pinned.get(name.toLowerCase()) === undefined);
  if (open.length === 0) return { columns: names.map((name) => ({ name, type: pinned.get(name.toLowerCase()) ?? "VARCHAR" })), source };
  const texts = source(names.map((name) => ({ name, type: "VARCHAR" })));
  const found = await told(file, () => inferTypes(duckdb, connection, texts, open, { format }));
  return { columns: names.map((name) => ({ name, type: pinned.get(name.toLowerCase()) ?? found[open.indexOf(name)] ?? "VARCHAR" })), source };
}

async function lookAtJson({ duckdb, connection }: On, file: SourceFile, pinned: Reading["pinned"]) {
  await checkJsonLines(file);
  const rows = await told(file, () =>
    duckdb.rows<TableColumn>(`select column_name as name, column_type as type from (describe select * from ${jsonSource(file)})`, connection),
  );
  if (rows.length > mostColumns) throw new ContentError(`${file.name}: its rows have more than ${mostColumns} different keys.`);
  const source = (columns: TableColumn[]) => jsonSource(file, columns);
  const scalar = (type: string) => /^(BOOLEAN|BIGINT|UBIGINT|HUGEINT|DOUBLE)$/.test(type);
  const isText = (type: string) => /^(VARCHAR|DATE|TIME|TIMESTAMP.*|UUID|INTERVAL)$/.test(type);
  const asRead = rows.map(({ name, type }) => ({ name, type: scalar(type) ? type : isText(type) ? "VARCHAR" : "JSON" }));
  const open = asRead.filter(({ name, type }) => type === "VARCHAR" && pinned.get(name.toLowerCase()) === undefined).map(({ name }) => name);
  const found = open.length === 0 ? [] : await told(file, () => inferTypes(duckdb, connection, source(asRead), open, { candidates: ["DATE", "TIMESTAMPTZ"] }));
  const columns = asRead.map(({ name, type }) => {
    const before = pinned.get(name.toLowerCase());
    if (before === undefined) return { name, type: found[open.indexOf(name)] ?? type };
    // A fraction where whole numbers were is not rounded away.
    return { name, type: before === "BIGINT" && type === "DOUBLE" ? type : before === "VARCHAR" && type === "JSON" ? type : before };
  });
  return { columns, source };
}

/** What holds both; texts hold all. */
function together(one: string | undefined, other: string): string {
  if (one === undefined || one === other) return other;
  const numbers = ["BIGINT", "UBIGINT", "HUGEINT", "DOUBLE"];
  if (numbers.includes(one) && numbers.includes(other)) return one === "DOUBLE" || other === "DOUBLE" ? "DOUBLE" : "HUGEINT";
  const times = ["DATE", "TIMESTAMPTZ"];
  if (times.includes(one) && times.includes(other)) return "TIMESTAMPTZ";
  return one === "JSON" || other === "JSON" ? "JSON" : "VARCHAR";
}

async function fromParquet(on: On, file: SourceFile, target: string, zone: string | undefined): Promise<Table> {
  const columns = await told(file, () => describe(on, file.path));
  if (columns.length > mostColumns) throw new ContentError(`${file.name} has more than ${mostColumns} columns.`);
  // Pages are read, too: a footer may be whole where they are not.
  const counts = columns.map(({ name }, i) => `count(${identifier(name)}) as c${i}`);
  await told(file, () => on.connection.run(`select ${counts.join(", ")} from ${parquet([file.path])}`));
  const naive = zone === undefined ? [] : columns.filter(({ type }) => /^TIMESTAMP(_S|_MS|_NS)?$/.test(type));
  if (naive.length === 0) return { name: file.name, path: file.path, asItCame: true, columns };
  const zoned = naive.map(({ name }) => `timezone(${literal(zone ?? "UTC")}, ${identifier(name)}::timestamp) as ${identifier(name)}`);
  const sql = `select * replace (${zoned.join(", ")}) from ${parquet([file.path])}`;
  await told(file, () => on.connection.run(`copy (${sql}) to ${literal(target)} (format parquet, compression zstd)`));
  return { name: file.name, path: target, asItCame: false, columns: await describe(on, target) };
}

export function describe({ duckdb, connection }: On, ...places: string[]): Promise<TableColumn[]> {
  return duckdb.rows<TableColumn>(`select column_name as name, column_type as type from (describe select * from ${parquet(places)})`, connection);
}

/** DuckDB's refusal, told to the sender of the file without the server's paths. */
async function told<T>(file: SourceFile, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    if (/out of memory|No space left/i.test(said) || error instanceof ContentError) throw error;
    const known = csvError(file, said) ?? jsonError(file, said);
    const plain = (said.split("\n")[0] ?? "").replaceAll(literal(file.path), "the file").replaceAll(file.path, file.name);
    throw new ContentError(known?.replaceAll(file.path, file.name) ?? `${file.name} can't be read: ${plain}`);
  }
}

/** The type in which a column of a schema's type is read from text. */
export const sqlTypes = { string: "VARCHAR", int64: "BIGINT", float64: "DOUBLE", boolean: "BOOLEAN", timestamp: "TIMESTAMPTZ", date: "DATE" } as const;
/** The type in which texts are read into a column that the dataset has already. Undefined for what texts can't be. */
export function readAs(type: string): string | undefined {
  const known = columnType(type);
  return known === undefined ? undefined : sqlTypes[known];
}
