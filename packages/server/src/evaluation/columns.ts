import type { DuckDBConnection } from "@duckdb/node-api";
import type { Columns } from "@millrace/sdk/api";
import type { ColumnType } from "@millrace/sdk/spec";
import { identifier } from "../platform/index.js";

/** Rows that go through a model at once: enough to use its batching, few enough to let others in between. */
export const batchRows = 8_192;

/**
 * SQL that gives a column as a model takes it: numbers as double, times as ISO 8601 text. `prefix` is put before the name in the
 * table, as in the prediction log's `f_distance`.
 */
export function modelInput(feature: { name: string; type: ColumnType }, prefix = ""): string {
  const column = identifier(`${prefix}${feature.name}`);
  switch (feature.type) {
    case "int64":
    case "float64":
      return `${column}::double`;
    case "boolean":
      return `${column}::boolean`;
    case "string":
      return `${column}::varchar`;
    case "timestamp":
      return `strftime(${column}, '%Y-%m-%dT%H:%M:%S.%gZ')`;
    case "date":
      return `strftime(${column}, '%Y-%m-%d')`;
  }
}

/**
 * Reads what a query answers in batches of about `batchRows` rows, column by column. Every column must be a double, text or boolean. Until the last
 * batch the connection is for this alone: with another statement the batches end.
 */
export async function* streamColumns(connection: DuckDBConnection, sql: string): AsyncGenerator<{ columns: Columns; rows: number }> {
  yield* batches(connection, sql, scalar);
}

/** As `streamColumns`, of columns of any type; what is in a list comes as an array. */
export async function* streamValues(connection: DuckDBConnection, sql: string): AsyncGenerator<{ columns: Record<string, unknown[]>; rows: number }> {
  const { DuckDBArrayValue, DuckDBListValue } = await import("@duckdb/node-api");
  yield* batches(connection, sql, (value) => (value instanceof DuckDBListValue || value instanceof DuckDBArrayValue ? value.items : value));
}

async function* batches<T>(
  connection: DuckDBConnection,
  sql: string,
  read: (value: unknown, column: string) => T,
): AsyncGenerator<{ columns: Record<string, T[]>; rows: number }> {
  const result = await connection.stream(sql);
  const names = result.columnNames();
  let columns: Record<string, T[]> = {};
  let rows = 0;
  const empty = () => Object.fromEntries(names.map((name): [string, T[]] => [name, []]));
  columns = empty();
  for (let chunk = await result.fetchChunk(); chunk !== null && chunk.rowCount > 0; chunk = await result.fetchChunk()) {
    for (const [index, name] of names.entries()) {
      const into = columns[name];
      for (const value of chunk.getColumnValues(index)) into?.push(read(value, name));
    }
    rows += chunk.rowCount;
    if (rows >= batchRows) {
      yield { columns, rows };
      columns = empty();
      rows = 0;
    }
  }
  if (rows > 0) yield { columns, rows };
}

function scalar(value: unknown, column: string): string | number | boolean | null {
  if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  throw new TypeError(`The column ${column} is neither a number, a text nor a boolean.`);
}
