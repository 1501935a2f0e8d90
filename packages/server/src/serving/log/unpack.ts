/** In a thread: the packed rows of a finished file as Parquet. */
import { createReadStream, readlinkSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { setPriority } from "node:os";
import path from "node:path";
import { parentPort } from "node:worker_threads";
import {
  type DuckDBAppender,
  DuckDBDataChunk,
  DuckDBInstance,
  DuckDBListValue,
  DuckDBTimestampTZValue,
  type DuckDBType,
  type DuckDBValue,
} from "@duckdb/node-api";
import { type PackedKind, type PackedLine, packedStart } from "./packed.js";
import type { LogSchema } from "./schema.js";

export interface UnpackAsked {
  id: number;
  file: string;
  schema: LogSchema;
  /** The same as a table's columns in SQL. */
  columns: string;
  /** The files that it writes begin with this. */
  into: string;
}
export interface Unpacked {
  /** Parquet with the schema's columns and `line`, the line that a row is of. */
  parquet: string[];
  /** The lines that were not packed, each with its `line`; null where there are none. */
  rest: string | null;
}
export interface UnpackDone extends Unpacked {
  id: number;
  error: string | null;
}

// Requests come first: where the processors are busy, the log waits. Only Linux knows priorities of threads.
try {
  setPriority(Number(path.basename(readlinkSync("/proc/thread-self"))), 10);
} catch {
  // It runs as all others do.
}

/** What DuckDB takes at once, and how many bytes of values this holds before it hands them over, and DuckDB before it writes them. */
const chunkRows = 2_048;
const chunkBytes = 8 * 1024 ** 2;
const fileBytes = 64 * 1024 ** 2;

const arrays = {
  ...{ Int8Array, Uint8Array, Int16Array, Uint16Array, Int32Array, Uint32Array, BigInt64Array, BigUint64Array, Float32Array, Float64Array },
} satisfies Record<PackedKind, unknown>;
type Values = InstanceType<(typeof arrays)[PackedKind]> | unknown[];

function valuesOf(kind: PackedKind | null, values: string | unknown[]): Values {
  if (kind === null || typeof values !== "string") return Array.isArray(values) ? values : [];
  // Copied, as numbers lie at multiples of their width.
  return new arrays[kind](new Uint8Array(Buffer.from(values, "base64")).buffer);
}

/** A value as a column of the type takes it; text stands for a number that JSON does not have. */
function converter(type: string): (value: unknown) => DuckDBValue {
  const known = (convert: (value: string | number | bigint | boolean) => DuckDBValue) => (value: unknown) =>
    typeof value === "string" || typeof value === "number" || typeof value === "bigint" || typeof value === "boolean" ? convert(value) : null;
  if (type === "BIGINT" || type === "UBIGINT") return known(BigInt);
  if (type === "BOOLEAN") return known(Boolean);
  return known(type === "VARCHAR" ? String : Number);
}

/** Rows as DuckDB's columns, written as a file of Parquet when they are many. */
async function openRows({ schema, columns: declared, into }: UnpackAsked) {
  const instance = await DuckDBInstance.create(":memory:", { threads: "1" });
  const connection = await instance.connect();
  await connection.run(`create table rows (${declared}, line bigint)`);
  const files: string[] = [];
  let appender: DuckDBAppender | undefined;
  let types: DuckDBType[] = [];
  let columns: DuckDBValue[][] = [];
  let count = 0;
  let held = 0;
  let appended = 0;
  const converters = new Map(schema.map(([name, type]) => [name, converter(type.replace("[]", ""))]));
  const places = new Map([...schema.map(([name]) => name), "line"].map((name, at) => [name, at]));
  const place = (name: string): number => places.get(name) ?? -1;
  const shared = {
    ...{ id: place("id"), at: place("at"), asOf: place("as_of"), version: place("version"), route: place("route"), prediction: place("prediction") },
    ...{ key: place("key"), latency: place("latency_ms"), caller: place("caller"), rollout: place("rollout"), line: place("line") },
  };

  async function hand(): Promise<void> {
    if (count === 0) return;
    appender ??= await connection.createAppender("rows");
    const table = appender;
    if (types.length === 0) types = Array.from({ length: table.columnCount }, (_, at) => table.columnType(at));
    // What a row does not have is null.
    for (const column of columns) for (let row = 0; row < count; row++) column[row] ??= null;
    const chunk = DuckDBDataChunk.create(types);
    chunk.setColumns(columns);
    table.appendDataChunk(chunk);
    appended += held;
    clear();
    if (appended >= fileBytes) await write();
  }
  function clear(): void {
    columns = Array.from({ length: schema.length + 1 }, () => []);
    count = 0;
    held = 0;
  }
  async function write(): Promise<void> {
    appender?.closeSync();
    appender = undefined;
    const file = `${into}.${files.length}.parquet`;
    await connection.run(`copy rows to '${file.replaceAll("'", "''")}' (format parquet, compression uncompressed)`);
    files.push(file);
    await connection.run("truncate rows");
    appended = 0;
  }
  clear();
  /** Of the newest row. */
  function set(at: number, value: DuckDBValue): void {
    const column = columns[at];
    if (column !== undefined) column[count] = value;
  }

  return {
    /** A promise where there is something to wait for. */
    add(text: string, line: number): Promise<void> | undefined {
      const { packed, id, suffix, rows, at, version, route, key, latency_ms: latency, caller, rollout, prediction }: PackedLine = JSON.parse(text);
      const moment = new DuckDBTimestampTZValue(BigInt(new Date(at).getTime()) * 1_000n);
      const given = packed.map(([column, one, kind, told]) => {
        const values = valuesOf(kind, told);
        return { column, at: places.get(column), convert: converters.get(column), one, values, width: values.length / rows };
      });
      const number = given.find(({ column, width }) => column === prediction && (width === 1 || width === 2));
      function from(first: number): Promise<void> | undefined {
        for (let row = first; row < rows; row++) {
          const predicted = number === undefined ? Number.NaN : Number(number.values[row * number.width + number.width - 1]);
          set(shared.id, `${rows === 1 ? id : `${id}:${row}`}${suffix}`);
          set(shared.at, moment);
          set(shared.asOf, moment);
          set(shared.version, version);
          set(shared.route, route);
          set(shared.prediction, Number.isFinite(predicted) ? predicted : null);
          set(shared.key, key);
          set(shared.latency, latency);
          set(shared.caller, caller);
          set(shared.rollout, rollout);
          set(shared.line, BigInt(line));
          for (const { at: into, convert, one, values, width } of given) {
            if (into === undefined || convert === undefined) continue;
            if (one) set(into, convert(values[row]));
            else {
              const list: DuckDBValue[] = [];
              for (let from = row * width; from < (row + 1) * width; from++) list.push(convert(values[from]));
              set(into, new DuckDBListValue(list));
            }
            held += width * 16;
          }
          held += 512;
          count++;
          if (count >= chunkRows || held >= chunkBytes) return hand().then(() => from(row + 1));
        }
        return undefined;
      }
      return from(0);
    },
    async end(): Promise<string[]> {
      await hand();
      if (appended > 0) await write();
      return files;
    },
    close(): void {
      appender?.closeSync();
      connection.closeSync();
      instance.closeSync();
    },
  };
}

/** Many at a time. */
async function* linesOf(file: string): AsyncGenerator<string[]> {
  let begun = "";
  for await (const part of createReadStream(file, { encoding: "utf8", highWaterMark: 1024 ** 2 })) {
    const lines = `${begun}${part}`.split("\n");
    begun = lines.pop() ?? "";
    yield lines;
  }
  if (begun !== "") yield [begun];
}

async function unpack(asked: UnpackAsked): Promise<Unpacked> {
  const { file, into } = asked;
  const rows = await openRows(asked);
  let rest: FileHandle | undefined;
  try {
    const others = `${into}.json`;
    let line = 0;
    for await (const lines of linesOf(file))
      for (const text of lines) {
        line++;
        if (text.startsWith(packedStart)) {
          const handing = rows.add(text, line);
          if (handing !== undefined) await handing;
        } else if (text !== "") {
          rest ??= await open(others, "w");
          await rest.write(`{"line":${line},${text.slice(1)}\n`);
        }
      }
    return { parquet: await rows.end(), rest: rest === undefined ? null : others };
  } finally {
    await rest?.close();
    rows.close();
  }
}

parentPort?.on("message", (asked: UnpackAsked) => {
  const answer = (error: string | null, made: Unpacked) => parentPort?.postMessage({ id: asked.id, error, ...made } satisfies UnpackDone);
  unpack(asked).then(
    (made) => answer(null, made),
    (error: unknown) => answer(error instanceof Error ? error.message : String(error), { parquet: [], rest: null }),
  );
});
