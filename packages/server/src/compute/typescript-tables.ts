/** Rows of TypeScript steps: read from Parquet and written to it by DuckDB. */
import {
  BIGINT,
  BOOLEAN,
  DATE,
  DOUBLE,
  type DuckDBConnection,
  DuckDBDataChunk,
  DuckDBDateValue,
  DuckDBInstance,
  DuckDBTimestampValue,
  type DuckDBType,
  type DuckDBValue,
  TIMESTAMP,
  VARCHAR,
} from "@duckdb/node-api";

export type Cell = string | number | boolean | Date | null;
const rowsInChunk = 2_048;

let opened: Promise<DuckDBConnection> | undefined;
const connection = (): Promise<DuckDBConnection> => {
  opened ??= DuckDBInstance.create(":memory:", { threads: "2" }).then((instance) => instance.connect());
  return opened;
};
const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

export async function* readRows(paths: readonly string[]): AsyncGenerator<Record<string, Cell>[]> {
  if (paths.length === 0) return;
  const result = await (await connection()).stream(`select * from read_parquet([${paths.map(literal).join(", ")}], union_by_name = true)`);
  const names = result.deduplicatedColumnNames();
  for (;;) {
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) return;
    yield chunk.getRows().map((row) => Object.fromEntries(names.map((name, index) => [name, cell(row[index] ?? null)])));
  }
}

function cell(value: DuckDBValue): Cell {
  if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  if (typeof value === "bigint") return Number(value);
  if (value instanceof DuckDBTimestampValue) return new Date(Number(value.micros / 1000n));
  if (value instanceof DuckDBDateValue) return new Date(value.days * 86_400_000);
  // Decimals, nanoseconds, lists: as DuckDB writes them.
  const text = String(value);
  return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

type Kind = "string" | "int64" | "float64" | "boolean" | "timestamp" | "date";
const types: Record<Kind, DuckDBType> = { string: VARCHAR, int64: BIGINT, float64: DOUBLE, boolean: BOOLEAN, timestamp: TIMESTAMP, date: DATE };
const isKind = (text: string | undefined): text is Kind => text !== undefined && text in types;

/** Columns are those that are declared, then those that the rows have. Throws an error that names the column and row that is wrong. */
export async function writeRows(
  name: string,
  place: string,
  rows: Iterable<Record<string, unknown>> | AsyncIterable<Record<string, unknown>>,
  declared: Record<string, string> = {},
): Promise<void> {
  const db = await connection();
  let columns: Map<string, Kind> | undefined;
  let waiting: Record<string, unknown>[] = [];
  let count = 0;
  // All that is in memory already decides the types; of a stream its first rows do.
  const lookAt = Array.isArray(rows) ? Number.POSITIVE_INFINITY : rowsInChunk;
  await db.run("create or replace temp table written (nothing boolean)");
  const flush = async () => {
    columns ??= await create(db, name, waiting, declared);
    const known = columns;
    const appender = await db.createAppender("written");
    for (let from = 0; from < waiting.length; from += rowsInChunk) {
      const part = waiting.slice(from, from + rowsInChunk);
      const chunk = DuckDBDataChunk.create(
        [...known.values()].map((kind) => types[kind]),
        part.length,
      );
      chunk.setColumns(
        [...known].map(([column, kind]) => part.map((row, index) => converted(row[column], kind, `row ${count + index + 1} of "${name}" has in "${column}"`))),
      );
      appender.appendDataChunk(chunk);
      count += part.length;
    }
    appender.closeSync();
    waiting = [];
  };
  for await (const row of rows) {
    if (typeof row !== "object" || row === null) throw new Error(`Row ${count + waiting.length + 1} of "${name}" is no object of values by column.`);
    waiting.push(row);
    if (columns !== undefined) {
      const stranger = Object.keys(row).find((column) => !columns?.has(column));
      if (stranger !== undefined)
        throw new Error(
          `Row ${count + waiting.length} of "${name}" has a column "${stranger}", which the first ${rowsInChunk} rows had not: declare it, as table({ ${stranger}: float64() }).`,
        );
    }
    if (waiting.length >= lookAt) await flush();
  }
  await flush();
  await db.run(`copy written to ${literal(place)} (format parquet, compression zstd)`);
  await db.run("drop table written");
}

async function create(
  db: DuckDBConnection,
  name: string,
  rows: readonly Record<string, unknown>[],
  declared: Record<string, string>,
): Promise<Map<string, Kind>> {
  const columns = new Map<string, Kind | undefined>();
  for (const [column, type] of Object.entries(declared)) columns.set(column, isKind(type) ? type : undefined);
  for (const row of rows) {
    for (const [column, value] of Object.entries(row)) {
      if (isKind(declared[column])) continue;
      columns.set(column, wider(columns.get(column), kindOf(value)));
    }
  }
  if (columns.size === 0)
    throw new Error(`The output "${name}" has no rows, and its columns are not declared: say them, as out: { ${name}: table({ km: float64() }) }.`);
  const known = new Map([...columns].map(([column, kind]): [string, Kind] => [column, kind ?? "string"]));
  const definitions = [...known].map(([column, kind]) => `"${column.replaceAll('"', '""')}" ${types[kind]}`);
  await db.run(`create or replace temp table written (${definitions.join(", ")})`);
  return known;
}

function kindOf(value: unknown): Kind | undefined {
  if (value === null || value === undefined) return undefined;
  if (typeof value === "number") return Number.isSafeInteger(value) ? "int64" : "float64";
  if (typeof value === "bigint") return "int64";
  if (typeof value === "boolean") return "boolean";
  return value instanceof Date ? "timestamp" : "string";
}
function wider(a: Kind | undefined, b: Kind | undefined): Kind | undefined {
  if (a === undefined || b === undefined || a === b) return a ?? b;
  const numbers = (kind: Kind) => kind === "int64" || kind === "float64";
  return numbers(a) && numbers(b) ? "float64" : a;
}

function converted(value: unknown, kind: Kind, where: string): DuckDBValue {
  if (value === null || value === undefined) return null;
  switch (kind) {
    case "int64":
      if (typeof value === "bigint") return value;
      if (typeof value === "number" && Number.isInteger(value)) return BigInt(value);
      break;
    case "float64":
      if (typeof value === "number") return value;
      break;
    case "boolean":
      if (typeof value === "boolean") return value;
      break;
    case "string":
      if (typeof value === "string") return value;
      break;
    case "timestamp":
      if (value instanceof Date && !Number.isNaN(value.getTime())) return new DuckDBTimestampValue(BigInt(value.getTime()) * 1000n);
      break;
    case "date":
      if (value instanceof Date && !Number.isNaN(value.getTime())) return new DuckDBDateValue(Math.floor(value.getTime() / 86_400_000));
      break;
  }
  const shown = typeof value === "object" ? "an object" : JSON.stringify(typeof value === "bigint" ? String(value) : value);
  throw new Error(`Of the table, ${where} ${shown?.slice(0, 100)}, where the column is of type ${kind}.`);
}
