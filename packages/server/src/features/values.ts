import type { ColumnType } from "@millrace/sdk/spec";
import { identifier, invalid } from "../platform/index.js";
import { formatTime, parseTime } from "./times.js";

/** A value in the serving process, as JSON has it; timestamps are ISO 8601 text in UTC, dates `YYYY-MM-DD`. */
export type Value = string | number | boolean | null;

/** SQL that gives a column as its type says. What is no finite number is missing, as it is in JSON. */
export function columnSql(name: string, type: ColumnType): string {
  const column = identifier(name);
  switch (type) {
    case "float64":
      return `case when isfinite(${column}::double) then ${column}::double end`;
    case "int64":
      return `${column}::bigint`;
    case "boolean":
      return `${column}::boolean`;
    case "string":
      return `${column}::varchar`;
    case "timestamp":
      return `${column}::timestamptz`;
    case "date":
      return `${column}::date`;
  }
}

/** The same as JSON has it. */
export function jsonSql(sql: string, type: ColumnType): string {
  switch (type) {
    case "int64":
      return `(${sql})::double`;
    case "timestamp":
      // As `formatTime` has it: milliseconds, and microseconds where they matter.
      return `case when epoch_us(${sql}) % 1000 = 0 then strftime(${sql}, '%Y-%m-%dT%H:%M:%S.%gZ') else strftime(${sql}, '%Y-%m-%dT%H:%M:%S.%fZ') end`;
    case "date":
      return `strftime(${sql}, '%Y-%m-%d')`;
    default:
      return sql;
  }
}

/** A value that a client sent, as a column of the type has it. Throws a 400 that names the column where it does not fit. */
export function readValue(value: unknown, type: ColumnType, column: string): Value {
  if (value === null || value === undefined) return null;
  switch (type) {
    case "float64":
      if (typeof value === "number") return Number.isFinite(value) ? value : null;
      if (typeof value === "boolean") return value ? 1 : 0;
      break;
    case "int64":
      if (typeof value === "number" && Number.isInteger(value)) return value;
      if (typeof value === "boolean") return value ? 1 : 0;
      break;
    case "boolean":
      if (typeof value === "boolean") return value;
      if (typeof value === "number") return value !== 0;
      break;
    case "string":
      if (typeof value === "string") return value;
      break;
    case "timestamp":
      if (typeof value === "string") return canonicalTime(value);
      break;
    case "date":
      if (typeof value === "string" && /^\d{4}-\d\d-\d\d/.test(value)) return value.slice(0, 10);
      break;
  }
  throw invalid(`"${column}" is ${type}, and ${JSON.stringify(value).slice(0, 100)} is not.`);
}

/** Equal moments are equal texts. */
export const canonicalTime = (text: string): string => formatTime(parseTime(text));
