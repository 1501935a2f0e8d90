/** In a thread: a finished file's rows as Parquet. */
import { readlinkSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { setPriority } from "node:os";
import path from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { type DuckDBConnection, DuckDBInstance, DuckDBPendingResultState } from "@duckdb/node-api";
import { literal, parquet } from "../../platform/sql.js";
import { openPackedTables } from "./packed-tables.js";
import { lookOver, readRecords } from "./records.js";
import type { LogSchema } from "./schema.js";

export interface SealerOptions {
  memoryMb: number;
  spillFolder: string;
}
/** A file of Parquet with some rows: columns of a schema, and `line`, in which order they came. */
export interface Piece {
  path: string;
  rows: number;
  from: Date;
  to: Date;
  firstId: string;
  lastId: string;
}
export type SealerWork =
  /** The rows of a finished file. */
  | { what: "read"; file: string; schema: LogSchema; into: string }
  /** Those of the pieces' rows whose id is not in files of the log, each once, as it came first: the pieces themselves where that is all of them. */
  | { what: "once"; pieces: Piece[]; logged: string[]; into: string }
  /** All rows of files of the log. */
  | { what: "merge"; files: string[]; into: string };
export type SealerAsked = { id: number } & SealerWork;
export interface SealerDone {
  id: number;
  error: string | null;
  pieces: Piece[];
}

// Requests come first: where the processors are busy, the log waits. Only Linux knows priorities of threads.
try {
  setPriority(Number(path.basename(readlinkSync("/proc/thread-self"))), 10);
} catch {
  // It runs as all others do.
}

/** So many bytes of rows are held before they are written as a piece. */
const pieceBytes = 64 * 1024 ** 2;
/** Readers skip groups of rows by their time. Wide rows are in smaller ones, as a group is held until it is whole. */
const groupRows = 20_000;
const groupBytes = 32 * 1024 ** 2;

const options: SealerOptions = workerData;
let opened: Promise<DuckDBInstance> | undefined;
async function connect(): Promise<DuckDBConnection> {
  opened ??= DuckDBInstance.create(":memory:", { threads: "1", memory_limit: `${options.memoryMb}MB`, temp_directory: options.spillFolder }).catch(
    (error: unknown) => {
      opened = undefined;
      throw error;
    },
  );
  const connection = await (await opened).connect();
  await connection.run("set TimeZone = 'UTC'");
  return connection;
}

/** In this thread, with its priority: `connection.run` takes one of those that all of the process shares. */
async function run<Row>(connection: DuckDBConnection, sql: string): Promise<Row[]> {
  const statement = await connection.prepare(sql);
  try {
    const pending = statement.start();
    for (let state = pending.runTask(); state !== DuckDBPendingResultState.RESULT_READY; state = pending.runTask())
      if (state === DuckDBPendingResultState.NO_TASKS_AVAILABLE) await new Promise(setImmediate);
    return (await pending.readAll()).getRowObjectsJS() as Row[];
  } finally {
    statement.destroySync();
  }
}

async function write(connection: DuckDBConnection, rows: string, file: string, rowBytes: number): Promise<Piece[]> {
  const group = Math.max(2_048, Math.min(groupRows, Math.floor(groupBytes / rowBytes)));
  await run(connection, `copy (${rows}) to ${literal(file)} (format parquet, compression zstd, row_group_size ${group})`);
  const [found] = await run<{ rows: number; from: Date | null; to: Date | null; first: string; last: string }>(
    connection,
    `select count(*)::int as rows, min("at") as "from", max("at") as "to", min(id) as first, max(id) as last from ${parquet([file])}`,
  );
  if (found === undefined || found.from === null || found.to === null) return [];
  return [{ path: file, rows: found.rows, from: found.from, to: found.to, firstId: found.first, lastId: found.last }];
}
/** What a row of them takes as Parquet has it before it is compressed. */
async function rowBytesOf(connection: DuckDBConnection, files: readonly string[]): Promise<number> {
  const [found] = await run<{ bytes: number | null }>(
    connection,
    `select (sum(row_group_bytes) / sum(row_group_num_rows))::double as bytes from (
       select distinct file_name, row_group_id, row_group_bytes, row_group_num_rows from parquet_metadata([${files.map(literal).join(", ")}]))`,
  );
  return found?.bytes ?? 1;
}

type Of<What extends SealerWork["what"]> = Extract<SealerWork, { what: What }>;

async function read(connection: DuckDBConnection, { file, schema, into }: Of<"read">): Promise<Piece[]> {
  const { isPacked, lineBytes } = await lookOver(file);
  const ofJson = `${into}.json.parquet`;
  if (!isPacked) return readJson(connection, { file, schema, lineBytes, into: ofJson });
  const pieces: Piece[] = [];
  const others = `${into}.json`;
  let rest: FileHandle | undefined;
  const tables = await openPackedTables(connection, schema);
  async function writeTables(): Promise<void> {
    tables.flush();
    pieces.push(...(await write(connection, tables.relation, `${into}.${pieces.length}.parquet`, tables.bytes() / tables.rows())));
    await tables.clear();
  }
  let line = 0;
  try {
    await readRecords(file, {
      packed(told, bytes) {
        tables.add(told, bytes, ++line);
        return tables.bytes() >= pieceBytes ? writeTables() : undefined;
      },
      async plain(text) {
        line++;
        rest ??= await open(others, "w");
        await rest.write(`{"line":${line},${text.slice(1)}\n`);
      },
    });
    if (tables.rows() > 0) await writeTables();
  } finally {
    await rest?.close();
    tables.close();
  }
  if (rest === undefined) return pieces;
  return [...pieces, ...(await readJson(connection, { file: others, schema: [...schema, ["line", "INTEGER"]], lineBytes, into: ofJson }))];
}
function readJson(
  connection: DuckDBConnection,
  { file, schema, lineBytes, into }: { file: string; schema: LogSchema; lineBytes: number; into: string },
): Promise<Piece[]> {
  const types = schema.map(([name, type]) => `${literal(name)}: ${literal(type)}`);
  const line = schema.some(([name]) => name === "line") ? "" : ", row_number() over ()::integer as line";
  const rows = `select *${line} from read_json(${literal(file)}, format = 'newline_delimited', columns = {${types.join(", ")}})`;
  return write(connection, rows, into, lineBytes);
}

async function once(connection: DuckDBConnection, { pieces, logged, into }: Of<"once">): Promise<Piece[]> {
  if (pieces.length === 0) return [];
  const files = pieces.map((piece) => piece.path);
  const rows = parquet(files);
  const known = logged.length === 0 ? "(select null::varchar as id where false)" : parquet(logged);
  const [repeated] = await run<{ found: boolean }>(
    connection,
    `select count(distinct id) < count(*) or exists (select 1 from ${known} k semi join ${rows} r using (id)) as found from ${rows}`,
  );
  if (repeated?.found === false) return pieces;
  const fresh = `select * from ${rows} r anti join ${known} k using (id) qualify row_number() over (partition by id order by line) = 1`;
  return write(connection, fresh, `${into}.once.parquet`, await rowBytesOf(connection, files));
}

async function merge(connection: DuckDBConnection, { files, into }: Of<"merge">): Promise<Piece[]> {
  return write(connection, `select * from ${parquet(files)} order by "at", id`, `${into}.parquet`, await rowBytesOf(connection, files));
}

async function work(asked: SealerWork): Promise<Piece[]> {
  const connection = await connect();
  try {
    if (asked.what === "read") return await read(connection, asked);
    return await (asked.what === "once" ? once(connection, asked) : merge(connection, asked));
  } finally {
    connection.closeSync();
  }
}

parentPort?.on("message", ({ id, ...asked }: SealerAsked) => {
  const answer = (error: string | null, pieces: Piece[]) => parentPort?.postMessage({ id, error, pieces } satisfies SealerDone);
  work(asked).then(
    (pieces) => answer(null, pieces),
    (error: unknown) => answer(error instanceof Error ? error.message : String(error), []),
  );
});
