import type { ColumnType, FeatureServiceSpec } from "@millrace/sdk/spec";
import { identifier } from "../../platform/index.js";

const duckTypes: Record<ColumnType, string> = {
  string: "VARCHAR",
  int64: "BIGINT",
  float64: "DOUBLE",
  boolean: "BOOLEAN",
  timestamp: "TIMESTAMPTZ",
  date: "DATE",
};
/** Columns of the log in their order: name → type in DuckDB. */
export type LogSchema = [name: string, type: string][];

const fixed: LogSchema = [
  ["id", "VARCHAR"],
  ["at", "TIMESTAMPTZ"],
  ["as_of", "TIMESTAMPTZ"],
  ["version", "INTEGER"],
  ["route", "VARCHAR"],
  ["prediction", "DOUBLE"],
];
export function logSchema(service: FeatureServiceSpec): LogSchema {
  const columns = (prefix: string, of: { name: string; type: ColumnType }[]): LogSchema => of.map(({ name, type }) => [`${prefix}${name}`, duckTypes[type]]);
  return [...fixed, ...columns("r_", service.request), ...columns("f_", service.features)];
}
export const columnList = (schema: LogSchema): string => schema.map(([name, type]) => `${identifier(name)} ${type}`).join(", ");
