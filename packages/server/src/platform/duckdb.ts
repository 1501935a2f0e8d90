import type { DuckDBConnection, DuckDBInstance } from "@duckdb/node-api";

/** SQL over Parquet, within limits on memory and threads; what does not fit spills to a folder. */
export interface DuckDb {
  /** Runs `work` on a connection of its own and closes it. Temporary tables and views are its own. */
  use<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T>;
  /** All rows as plain values: 64-bit integers as numbers, times as Date, the rest as JSON would have it. */
  rows<Row>(sql: string, connection?: DuckDBConnection): Promise<Row[]>;
  close(): Promise<void>;
}
interface Options {
  memoryMb: number;
  threads: number;
  spillFolder: string;
}

/** It is loaded when it is first used: a server that only tracks does without its memory. */
export function openDuckDb(options: Options): DuckDb {
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
  async function read<Row>(connection: DuckDBConnection, sql: string): Promise<Row[]> {
    const reader = await connection.runAndReadAll(sql);
    return reader.getRowObjectsJS().map((row) => plain(row) as Row);
  }
  return {
    use,
    rows: <Row>(sql: string, connection?: DuckDBConnection) => (connection === undefined ? use((own) => read<Row>(own, sql)) : read<Row>(connection, sql)),
    close: async () => (await opened)?.closeSync(),
  };
}

async function open({ memoryMb, threads, spillFolder }: Options): Promise<DuckDBInstance> {
  const { DuckDBInstance: Instance } = await import("@duckdb/node-api");
  return Instance.create(":memory:", {
    memory_limit: `${memoryMb}MB`,
    threads: String(threads),
    temp_directory: spillFolder,
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

/** A SQL string literal. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
/** A quoted SQL identifier. */
export const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;
/** `read_parquet` over files of this machine, in order. */
export const parquet = (paths: string[]): string => `read_parquet([${paths.map(literal).join(", ")}])`;
