import path from "node:path";
import type { DuckDBConnection, DuckDBInstance } from "@duckdb/node-api";
import { invalid } from "./errors.js";
import { limit } from "./limit.js";
import { ownFolder } from "./own-folder.js";
import { literal } from "./sql.js";

/** SQL over Parquet, within limits on memory and threads; what does not fit spills to a folder. */
export interface DuckDb {
  /** Runs `work` on a connection of its own and closes it. Temporary tables and views are its own. */
  use<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T>;
  /**
   * As `use`, for SQL that users wrote, on an instance of its own that can read and write only the named files: no other file, no network, no
   * attached database, no extension, and no setting can be changed. It ends with a 400 after `limitMs`. At most two go on at a time.
   */
  sandbox<T>(access: SandboxAccess, work: (connection: DuckDBConnection) => Promise<T>): Promise<T>;
  /** All rows as plain values: 64-bit integers as numbers, times as Date, the rest as JSON would have it. */
  rows<Row>(sql: string, connection?: DuckDBConnection): Promise<Row[]>;
  /** For an instance that somebody else opens. Each has a folder of its own: two would write into the same files, as they give them the same names. */
  spillFolder(): Promise<string>;
  close(): Promise<void>;
}
export interface SandboxAccess {
  /** Files of this machine. */
  reads: readonly string[];
  writes?: readonly string[];
  /** Default ten minutes. */
  limitMs?: number;
}
interface Options {
  /** Of the server's own SQL; each sandbox has half of it. */
  memoryMb: number;
  threads: number;
  /** Other processes may spill there too. */
  spillFolder: string;
}

/** It is loaded when it is first used: a server that only tracks does without its memory. */
export function openDuckDb({ spillFolder, ...limits }: Options): DuckDb {
  const own = ownFolder(spillFolder);
  const newFolder = async () => path.join(await own.make(), String(++instances));
  const options = { ...limits, newFolder };
  let opened: Promise<DuckDBInstance> | undefined;
  function instance(): Promise<DuckDBInstance> {
    opened ??= open(options).catch((error: unknown) => {
      opened = undefined;
      throw error;
    });
    return opened;
  }
  async function use<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
    const connection = await (await instance()).connect();
    try {
      await connection.run("set TimeZone = 'UTC'");
      return await work(connection);
    } finally {
      connection.closeSync();
    }
  }
  const places = limit(2);
  function sandbox<T>({ reads, writes = [], limitMs = 600_000 }: SandboxAccess, work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
    return places(async () => {
      const own = await open({ ...options, memoryMb: Math.max(64, Math.floor(options.memoryMb / 2)) });
      const connection = await own.connect();
      let late = false;
      const timer = setTimeout(() => {
        late = true;
        connection.interrupt();
      }, limitMs);
      try {
        await connection.run("set global TimeZone = 'UTC'");
        await connection.run(`set global allowed_paths = [${[...reads, ...writes].map(literal).join(", ")}]`);
        await connection.run("set global enable_external_access = false");
        await connection.run("set global lock_configuration = true");
        return await work(connection);
      } catch (error) {
        if (late) throw invalid(`The SQL took longer than ${limitMs / 1_000} seconds and was ended. Read fewer rows, or join on keys.`);
        throw error;
      } finally {
        clearTimeout(timer);
        connection.closeSync();
        own.closeSync();
      }
    });
  }
  async function read<Row>(connection: DuckDBConnection, sql: string): Promise<Row[]> {
    const reader = await connection.runAndReadAll(sql);
    return reader.getRowObjectsJS().map((row) => plain(row) as Row);
  }
  return {
    use,
    sandbox,
    rows: <Row>(sql: string, connection?: DuckDBConnection) => (connection === undefined ? use((own) => read<Row>(own, sql)) : read<Row>(connection, sql)),
    spillFolder: newFolder,
    close: async () => (await opened)?.closeSync(),
  };
}

let instances = 0;
async function open({ memoryMb, threads, newFolder }: Omit<Options, "spillFolder"> & { newFolder: () => Promise<string> }): Promise<DuckDBInstance> {
  const { DuckDBInstance: Instance } = await import("@duckdb/node-api");
  return Instance.create(":memory:", {
    memory_limit: `${memoryMb}MB`,
    threads: String(threads),
    temp_directory: await newFolder(),
    autoinstall_known_extensions: "false",
    autoload_known_extensions: "false",
    preserve_insertion_order: "true",
  });
}

function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
  }
  return value;
}
