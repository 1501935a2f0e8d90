/** In a thread: packed lines as two tables of DuckDB, what lines say and what rows say, whose values are copied as they lie in memory. */
import {
  type DuckDBAppender,
  type DuckDBConnection,
  DuckDBDataChunk,
  DuckDBListValue,
  DuckDBTimestampTZValue,
  type DuckDBType,
  type DuckDBValue,
} from "@duckdb/node-api";
import bindings from "@duckdb/node-bindings";
import { identifier } from "../../platform/sql.js";
import type { PackedKind, PackedLine } from "./packed.js";
import type { LogSchema } from "./schema.js";

export interface PackedTables {
  /** `values` are the bytes behind the line; they are held for a while. */
  add(line: PackedLine, values: Buffer, at: number): void;
  /** Of the rows that the tables hold. */
  rows(): number;
  bytes(): number;
  /** Gives DuckDB what was added, so that a query finds it. */
  flush(): void;
  /** The rows with the schema's columns and `line`. */
  relation: string;
  clear(): Promise<void>;
  close(): void;
}

/** What DuckDB takes at once, and how many bytes of values this holds before it hands them over. */
const chunkRows = 2_048;
const chunkBytes = 8 * 1024 ** 2;
/** About what a line and a row take beside their values. */
const lineBytes = 200;
const rowBytes = 16;

const lineColumns = `line integer, id varchar, suffix varchar, rows integer, "at" timestamptz, version integer, route varchar, key varchar, latency_ms double, caller varchar, rollout varchar`;
/** What a row's columns are made of, where they are not in the table of rows. */
const ofLines: Record<string, string> = {
  id: `case when l.rows = 1 then l.id else l.id || ':' || r.row end || l.suffix`,
  at: `l."at"`,
  as_of: `l."at"`,
  prediction: "case when isfinite(r.prediction) then r.prediction end",
  ...Object.fromEntries(["version", "route", "key", "latency_ms", "caller", "rollout"].map((name) => [name, `l.${name}`])),
};

const arrays = {
  ...{ Int8Array, Uint8Array, Int16Array, Uint16Array, Int32Array, Uint32Array, BigInt64Array, BigUint64Array, Float32Array, Float64Array },
} satisfies Record<PackedKind, unknown>;
const getters = {
  ...{ Int8Array: "getInt8", Int16Array: "getInt16", Int32Array: "getInt32", BigInt64Array: "getBigInt64", Float32Array: "getFloat32" },
  ...{ Uint8Array: "getUint8", Uint16Array: "getUint16", Uint32Array: "getUint32", BigUint64Array: "getBigUint64", Float64Array: "getFloat64" },
} as const satisfies Record<PackedKind, keyof DataView>;
/** As what a column's values lie in memory, for DuckDB as for a tensor. */
const kinds: Record<string, PackedKind> = {
  ...{ TINYINT: "Int8Array", SMALLINT: "Int16Array", INTEGER: "Int32Array", BIGINT: "BigInt64Array" },
  ...{ UTINYINT: "Uint8Array", USMALLINT: "Uint16Array", UINTEGER: "Uint32Array", UBIGINT: "BigUint64Array" },
  ...{ FLOAT: "Float32Array", DOUBLE: "Float64Array" },
};

interface Column {
  name: string;
  isList: boolean;
  kind: PackedKind | undefined;
  convert: (value: unknown) => DuckDBValue;
  /** In this chunk its values are copied as they lie; else they are made one by one. */
  copied: boolean;
  /** Bytes of `rows` rows with `width` values each. */
  parts: { bytes: Uint8Array; rows: number; width: number }[];
  values: DuckDBValue[];
}

export async function openPackedTables(connection: DuckDBConnection, schema: LogSchema): Promise<PackedTables> {
  const own = schema.filter(([name]) => !(name in ofLines));
  const declared = own.map(([name, type]) => `${identifier(name)} ${type}`);
  await connection.run(`create temp table packed_line (${lineColumns})`);
  await connection.run(`create temp table packed_row (${["line integer", "row integer", "prediction double", ...declared].join(", ")})`);
  let lineTable = await appenderOf(connection, "packed_line");
  let rowTable = await appenderOf(connection, "packed_row");

  let lines: DuckDBValue[][] = [];
  let held = 0;
  let count = 0;
  let rows = 0;
  let bytes = 0;
  const lineOf = new Int32Array(chunkRows);
  const rowOf = new Int32Array(chunkRows);
  const predictionOf = new Float64Array(chunkRows);
  const columns = own.map(([name, type]): Column => {
    const one = type.replace("[]", "");
    return { name, isList: one !== type, kind: kinds[one], convert: converter(one), copied: false, parts: [], values: [] };
  });

  const places = new Map(columns.map(({ name }, each) => [name, each]));

  function handLines(): void {
    if (lines.length === 0) return;
    const chunk = DuckDBDataChunk.create(lineTable.types);
    chunk.setRows(lines);
    lineTable.appender.appendDataChunk(chunk);
    lines = [];
  }
  function handRows(): void {
    if (count === 0) return;
    const chunk = DuckDBDataChunk.create(rowTable.types, count);
    for (const [at, values] of [lineOf, rowOf, predictionOf].entries())
      copy(vectorOf(chunk, at), 0, new Uint8Array(values.buffer, 0, count * values.BYTES_PER_ELEMENT));
    for (const [at, column] of columns.entries()) {
      if (!column.copied) chunk.setColumnValues(at + 3, column.values);
      else if (column.isList) copyLists(vectorOf(chunk, at + 3), column.parts, count);
      else copyParts(vectorOf(chunk, at + 3), column.parts);
      column.parts = [];
      column.values = [];
    }
    rowTable.appender.appendDataChunk(chunk);
    count = 0;
    held = 0;
  }

  return {
    add({ packed, id, suffix, rows: all, at, version, route, key, latency_ms: latency, caller, rollout, prediction }, behind, line) {
      if (all === 0) return;
      const moment = new DuckDBTimestampTZValue(BigInt(at) * 1_000n);
      lines.push([line, id, suffix, all, moment, version, route, key, latency, caller, rollout]);
      if (lines.length === chunkRows) handLines();

      const given = new Array<Values | undefined>(columns.length).fill(undefined);
      let begins = 0;
      for (const [name, , kind, told] of packed) {
        const bytes = typeof told === "number" ? behind.subarray(begins, begins + told) : undefined;
        begins += bytes?.length ?? 0;
        const each = places.get(name);
        const column = each === undefined ? undefined : columns[each];
        if (each === undefined || column === undefined) continue;
        if (typeof told !== "number") given[each] = told;
        else if (bytes !== undefined && kind !== null) given[each] = isAsItLies(bytes, kind, column, all) ? bytes : arrayOf(bytes, kind);
      }
      // A chunk's column is copied or it is not.
      if (columns.some((column, each) => column.copied !== isBytes(given[each]))) handRows();
      for (const [each, column] of columns.entries()) column.copied = isBytes(given[each]);
      // Values of a row, or bytes of them.
      const strides = given.map((values) => (values?.length ?? 0) / all);
      const perRow = strides.reduce((sum, stride, each) => sum + stride * (columns[each]?.copied ? 1 : 16), rowBytes);
      const predicting = prediction === null ? undefined : places.get(prediction);
      const predicted = predicting === undefined ? undefined : numbersOf(given[predicting], columns[predicting]?.kind, all);

      for (let first = 0; first < all; ) {
        const part = Math.min(all - first, chunkRows - count, Math.max(1, Math.floor((chunkBytes - held) / perRow)));
        lineOf.fill(line, count, count + part);
        for (let row = 0; row < part; row++) {
          rowOf[count + row] = first + row;
          predictionOf[count + row] = predicted?.(first + row) ?? Number.NaN;
        }
        for (const [each, { isList, kind, convert, parts, values }] of columns.entries()) {
          const from = given[each];
          const stride = strides[each] ?? 0;
          if (isBytes(from)) parts.push({ bytes: from.subarray(first * stride, (first + part) * stride), rows: part, width: stride / widthOf(kind) });
          else
            for (let row = first; row < first + part; row++) {
              if (from === undefined) values.push(null);
              else if (!isList) values.push(convert(from[row * stride]));
              else values.push(new DuckDBListValue(Array.from({ length: stride }, (_, value) => convert(from[row * stride + value]))));
            }
        }
        first += part;
        count += part;
        held += part * perRow;
        if (count === chunkRows || held >= chunkBytes) handRows();
      }
      rows += all;
      bytes += lineBytes + all * perRow;
    },
    rows: () => rows,
    bytes: () => bytes,
    flush() {
      handLines();
      handRows();
      lineTable.appender.flushSync();
      rowTable.appender.flushSync();
    },
    relation: `(select ${schema.map(([name]) => `${ofLines[name] ?? `r.${identifier(name)}`} as ${identifier(name)}`).join(", ")}, line from packed_row r join packed_line l using (line))`,
    async clear() {
      lineTable.appender.closeSync();
      rowTable.appender.closeSync();
      await connection.run("truncate packed_line");
      await connection.run("truncate packed_row");
      lineTable = await appenderOf(connection, "packed_line");
      rowTable = await appenderOf(connection, "packed_row");
      rows = 0;
      bytes = 0;
    },
    close() {
      lineTable.appender.closeSync();
      rowTable.appender.closeSync();
    },
  };
}

async function appenderOf(connection: DuckDBConnection, table: string): Promise<{ appender: DuckDBAppender; types: DuckDBType[] }> {
  const appender = await connection.createAppender(table, "main", "temp");
  return { appender, types: Array.from({ length: appender.columnCount }, (_, at) => appender.columnType(at)) };
}

// ------------------------------------------------------------------------------------------------ values

/** Bytes where a column's values are copied as they lie, else values to be converted. */
type Values = ArrayLike<unknown>;
const widthOf = (kind: PackedKind | undefined): number => (kind === undefined ? 1 : arrays[kind].BYTES_PER_ELEMENT);

/** The bytes lie as the column has its values, and are as many as its rows need. */
function isAsItLies(bytes: Buffer, kind: PackedKind, column: Column, rows: number): boolean {
  const width = bytes.length / widthOf(kind) / rows;
  return kind === column.kind && (column.isList ? Number.isInteger(width) : width === 1);
}
/** Copied, as numbers lie at multiples of their width. */
const arrayOf = (bytes: Buffer, kind: PackedKind): Values => new arrays[kind](new Uint8Array(bytes).buffer);
/** Values of one byte that are converted are an array of their kind too, but not one of Node's. */
const isBytes = (values: Values | undefined): values is Buffer => Buffer.isBuffer(values);
/** What a row predicts, of a column with one number for each of `rows` rows, or two of which the second is meant. */
function numbersOf(values: Values | undefined, kind: PackedKind | undefined, rows: number): ((row: number) => number) | undefined {
  const width = (values?.length ?? 0) / (isBytes(values) ? widthOf(kind) : 1) / rows;
  if (values === undefined || (width !== 1 && width !== 2)) return undefined;
  if (!isBytes(values) || kind === undefined) return (row) => Number(values[row * width + width - 1]);
  const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
  const get: (at: number, littleEndian: boolean) => number | bigint = view[getters[kind]].bind(view);
  const bytes = widthOf(kind);
  return (row) => Number(get((row * width + width - 1) * bytes, true));
}

/** A value as a column of the type takes it; text stands for a number that JSON does not have. */
function converter(type: string): (value: unknown) => DuckDBValue {
  const known = (convert: (value: string | number | bigint | boolean) => DuckDBValue) => (value: unknown) =>
    typeof value === "string" || typeof value === "number" || typeof value === "bigint" || typeof value === "boolean" ? convert(value) : null;
  if (type === "BIGINT" || type === "UBIGINT") return known(BigInt);
  if (type === "BOOLEAN") return known(Boolean);
  return known(type === "VARCHAR" ? String : Number);
}

// ------------------------------------------------------------------------------------------------ DuckDB's vectors

type Vector = ReturnType<typeof bindings.data_chunk_get_vector>;
const vectorOf = ({ chunk }: DuckDBDataChunk, at: number): Vector => bindings.data_chunk_get_vector(chunk, at);

/** Nothing is checked by whoever copies: the vector has the room. */
function copy(vector: Vector, at: number, { buffer, byteOffset, byteLength }: Uint8Array): void {
  if (byteLength > 0) bindings.copy_data_to_vector(vector, at, buffer as ArrayBuffer, byteOffset, byteLength);
}
function copyParts(vector: Vector, parts: Column["parts"]): void {
  let at = 0;
  for (const { bytes } of parts) {
    copy(vector, at, bytes);
    at += bytes.length;
  }
}
/** A list is where it begins among all values, and how many it has, of 64 bits each. */
function copyLists(vector: Vector, parts: Column["parts"], rows: number): void {
  const entries = new Uint32Array(rows * 4);
  let row = 0;
  let begins = 0;
  for (const part of parts)
    for (let each = 0; each < part.rows; each++) {
      entries[row * 4] = begins;
      entries[row * 4 + 2] = part.width;
      begins += part.width;
      row++;
    }
  copy(vector, 0, new Uint8Array(entries.buffer));
  bindings.list_vector_reserve(vector, begins);
  bindings.list_vector_set_size(vector, begins);
  copyParts(bindings.list_vector_get_child(vector), parts);
}
