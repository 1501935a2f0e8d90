import type { DuckDBConnection } from "@duckdb/node-api";
import type { Anomaly, ColumnStatistics, ValidationCheck } from "@millrace/sdk/api";
import type { ColumnType, Severity } from "@millrace/sdk/spec";
import type { DuckDb } from "../platform/index.js";
import type { TableColumn } from "./types.js";

/** A table and what is known of it. */
export interface CheckedTable {
  duckdb: DuckDb;
  connection: DuckDBConnection;
  source: string;
  files: string[];
  columns: TableColumn[];
  rows: number;
  /** In the order of the columns. */
  statistics: ColumnStatistics[];
}

/** A rule of a schema, ready to be looked at. */
export interface Check {
  kind: string;
  column: string | null;
  name: string;
  severity: Severity;
  rule: string | null;
  /** SQL of an aggregate that counts the rows that break it. */
  count?: string;
  /** Where statistics know the count already. */
  known?: number;
  /** What is wrong, from the count; nothing where it is right. Without a count the check looks by itself. */
  judge(table: CheckedTable, count: number): Promise<Wrong | undefined> | Wrong | undefined;
}
export interface Wrong {
  message: string;
  count?: number;
  share?: number;
  examples?: unknown[];
}
/** Thrown by a check that has nothing to compare with. */
export class Skipped extends Error {}

export const mostExamples = 5;
export const number = (value: number): string => value.toLocaleString("en", { maximumFractionDigits: 6 });
export const percent = (share: number): string => `${(share * 100).toLocaleString("en", { maximumSignificantDigits: 3 })}%`;
export const ofRows = (count: number, rows: number): string => `${number(count)} of ${number(rows)} rows (${percent(count / Math.max(1, rows))})`;

/** Whole numbers are numbers: a column without fractions may come as integers. */
export const fits = (expected: ColumnType, actual: ColumnType | undefined): boolean => actual === expected || (expected === "float64" && actual === "int64");

/** Looks at every check: those that count rows share one pass. Anomalies in the order of the checks. */
export async function look(table: CheckedTable, checks: Check[]): Promise<{ anomalies: Anomaly[]; checks: ValidationCheck[] }> {
  const counts = await countAll(table, checks);
  const anomalies: Anomaly[] = [];
  const told: ValidationCheck[] = [];
  for (const [i, check] of checks.entries()) {
    const { kind, column, name, severity, rule } = check;
    try {
      const wrong = await check.judge(table, check.known ?? counts.get(i) ?? 0);
      told.push({ kind, column, name, severity, passed: wrong === undefined, rule });
      if (wrong === undefined) continue;
      const { message, count = null, share = null, examples = [] } = wrong;
      anomalies.push({ kind, severity, column, message, count, share, examples, rule });
    } catch (error) {
      if (!(error instanceof Skipped)) throw error;
      told.push({ kind, column, name, severity, passed: true, skipped: error.message, rule });
    }
  }
  return { anomalies, checks: told };
}

/** Aggregates of one query: more of them take longer to plan than to run. */
const together = 500;
async function countAll({ duckdb, connection, source }: CheckedTable, checks: Check[]): Promise<Map<number, number>> {
  const asked = checks.flatMap(({ count, known }, i) => (count === undefined || known !== undefined ? [] : [{ i, sql: count }]));
  const found = new Map<number, number>();
  for (let from = 0; from < asked.length; from += together) {
    const some = asked.slice(from, from + together);
    const [row] = await duckdb.rows<Record<string, number | null>>(
      `select ${some.map(({ i, sql }) => `${sql} as c${i}`).join(", ")} from ${source}`,
      connection,
    );
    for (const { i } of some) found.set(i, Number(row?.[`c${i}`] ?? 0));
  }
  return found;
}
