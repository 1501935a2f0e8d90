import type { DuckDBConnection } from "@duckdb/node-api";
import type { ColumnType } from "@millrace/sdk/spec";
import type { DuckDb } from "../platform/index.js";

/** By which a table is read. */
export interface Reading {
  duckdb: DuckDb;
  connection: DuckDBConnection;
}

/** A column of a table as it lies there. `type` is undefined where the platform has none for it. */
export interface TableColumn {
  name: string;
  sqlType: string;
  type: ColumnType | undefined;
}

/** The platform's type of a DuckDB type. */
export function columnType(sqlType: string): ColumnType | undefined {
  if (/^(TINYINT|SMALLINT|INTEGER|BIGINT|UTINYINT|USMALLINT|UINTEGER|UBIGINT|HUGEINT|UHUGEINT)$/.test(sqlType)) return "int64";
  if (/^(FLOAT|DOUBLE|DECIMAL\(.*\))$/.test(sqlType)) return "float64";
  if (/^(VARCHAR|UUID|ENUM\(.*\))$/.test(sqlType)) return "string";
  if (sqlType === "BOOLEAN") return "boolean";
  if (sqlType === "DATE") return "date";
  // Times without a zone are read as UTC.
  if (/^TIMESTAMP(_S|_MS|_NS| WITH TIME ZONE)?$/.test(sqlType)) return "timestamp";
  return undefined;
}

export async function columnsOf(duckdb: DuckDb, connection: DuckDBConnection, source: string): Promise<TableColumn[]> {
  const rows = await duckdb.rows<{ column_name: string; column_type: string }>(`describe select * from ${source}`, connection);
  return rows.map((row) => ({ name: row.column_name, sqlType: row.column_type, type: columnType(row.column_type) }));
}
