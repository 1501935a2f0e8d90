/** Rows of TypeScript steps: read from Parquet and written to it by DuckDB. */
import { tmpdir } from "node:os";
import path from "node:path";
import { threadId } from "node:worker_threads";
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
import { identifier, literal, parquet } from "../platform/sql.js";

export type Cell = string | number | boolean | Date | null;
const rowsInChunk = 2_048;

let opened: Promise<DuckDBInstance> | undefined;
/** One for each reading and each writing: what is read in parts ends, without a word, at the next statement of its connection. */
async function connect(options: Record<string, string> = {}): Promise<DuckDBConnection> {
  // Where it is not told, DuckDB spills to the working folder; two processes in one folder would write into each other's files.
  const spill = path.join(tmpdir(), `millrace-spill-${process.pid}-${threadId}`);
  opened ??= DuckDBInstance.create(":memory:", { threads: "2", temp_directory: spill, ...options });
  const db = await (await opened).connect();
  await db.run("set TimeZone = 'UTC'");
  return db;
}

/** Some thousands at a time, in their order. With `columns` these alone; one that the table lacks is null. The memory limit is DuckDB's, of the process's first reading. */
export async function* readRows(
  paths: readonly string[],
  { columns: wanted, memoryLimit }: { columns?: readonly string[]; memoryLimit?: string } = {},
): AsyncGenerator<Record<string, Cell>[]> {
  if (paths.length === 0) return;
  const db = await connect(memoryLimit === undefined ? {} : { memory_limit: memoryLimit });
  try {
    const source = parquet(paths);
    const described = await db.runAndReadAll(`describe select * from ${source}`);
    const all = described.getRows().map(([name, type]) => ({ name: String(name), type: String(type) }));
    const chosen = wanted === undefined ? all : all.filter(({ name }) => wanted.includes(name));
    // There are as many rows as there are, also where nothing of them is asked for.
    const read = chosen.length === 0 ? all.slice(0, 1) : chosen;
    const result = await db.stream(`select ${read.map(asRead).join(", ")} from ${source}`);
    const missing = wanted?.filter((name) => !all.some((one) => one.name === name)) ?? [];
    const names = [...chosen.map(({ name }) => name), ...missing];
    for (;;) {
      const chunk = await result.fetchChunk();
      if (chunk === null || chunk.rowCount === 0) return;
      const values = chunk.getColumns();
      const cells = names.map((_, i) => cellsOf(chosen[i]?.type, values[i] ?? []));
      const rows: Record<string, Cell>[] = [];
      for (let i = 0; i < chunk.rowCount; i++) {
        const row: Record<string, Cell> = {};
        for (let column = 0; column < names.length; column++) put(row, names[column] ?? "", cells[column]?.[i] ?? null);
        rows.push(row);
      }
      yield rows;
    }
  } finally {
    db.closeSync();
  }
}
function put(row: Record<string, Cell>, name: string, value: Cell): void {
  if (name !== "__proto__") row[name] = value;
  else Object.defineProperty(row, name, { value, enumerable: true, configurable: true, writable: true });
}

const isWhole = (type: string) => /^U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$/.test(type);
const isDecimal = (type: string) => /^DECIMAL\(\d+,\d+\)$/.test(type);
const isTime = (type: string) => /^TIMESTAMP(_S|_MS|_NS| WITH TIME ZONE)?$/.test(type);
/** Numbers and times as doubles: a value of 64 bits, or an object, for each would take longer than all the rest. */
function asRead({ name, type }: { name: string; type: string }): string {
  const column = identifier(name);
  if (isWhole(type) || isDecimal(type)) return `${column}::double as ${column}`;
  if (!isTime(type)) return column;
  return `case when isfinite(${column}) then epoch_ms(${column})::double when ${column} is not null then 'nan'::double end as ${column}`;
}

function cellsOf(type: string | undefined, values: readonly DuckDBValue[]): Cell[] {
  return type !== undefined && isTime(type) ? values.map((ms) => (typeof ms === "number" ? new Date(ms) : null)) : values.map(cell);
}
function cell(value: DuckDBValue): Cell {
  if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  if (typeof value === "bigint") return Number(value);
  if (value instanceof DuckDBDateValue) return new Date(value.days * 86_400_000);
  // Lists and what else there is: as DuckDB writes them.
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
  const db = await connect();
  let columns: Map<string, Kind> | undefined;
  let waiting: Record<string, unknown>[] = [];
  let count = 0;
  // All that is in memory already decides the types; of a stream its first rows do.
  const lookAt = Array.isArray(rows) ? Number.POSITIVE_INFINITY : rowsInChunk;
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
  try {
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
  } finally {
    db.closeSync();
  }
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
