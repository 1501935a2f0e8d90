import type { DuckDBConnection } from "@duckdb/node-api";
import type { Anomaly, ColumnStatistics } from "@millrace/sdk/api";
import type { ColumnRule, ColumnType, SchemaSpec, Severity } from "@millrace/sdk/spec";
import { type DuckDb, identifier, literal } from "../platform/index.js";
import { alike, likeness } from "./rename.js";
import { assertSelect } from "./select.js";
import type { TableColumn } from "./types.js";

/** A table and what is known of it. */
export interface CheckedTable {
  duckdb: DuckDb;
  connection: DuckDBConnection;
  source: string;
  columns: TableColumn[];
  rows: number;
  statistics: ColumnStatistics[];
}
const mostExamples = 5;
const number = (value: number) => value.toLocaleString("en", { maximumFractionDigits: 6 });
const percent = (share: number) => `${(share * 100).toLocaleString("en", { maximumSignificantDigits: 3 })}%`;

/** Everything in which the table differs from the schema, blocking anomalies first. */
export async function anomaliesOf(table: CheckedTable, schema: SchemaSpec): Promise<Anomaly[]> {
  const rule = schema.definedAt ?? null;
  const anomalies: Anomaly[] = [...columnSet(table.columns, schema)];
  if (schema.minRows !== undefined && table.rows < schema.minRows) {
    anomalies.push(wrong("rows", "block", null, `The table has ${number(table.rows)} rows; at least ${number(schema.minRows)} are expected.`, table.rows));
  }
  const counts = await countViolations(table, schema);
  for (const [name, columnRule] of Object.entries(schema.columns)) {
    const column = table.columns.find((one) => one.name === name);
    if (column === undefined) continue;
    if (!fits(columnRule.type, column.type)) anomalies.push(await wrongType(table, column, columnRule));
    else anomalies.push(...(await columnAnomalies(table, column, columnRule, counts)));
  }
  anomalies.push(...(await expectationAnomalies(table, schema)));
  const order = (anomaly: Anomaly) => (anomaly.severity === "block" ? 0 : 1);
  return anomalies.map((anomaly) => ({ ...anomaly, rule })).sort((a, b) => order(a) - order(b));
}

function wrong(
  kind: string,
  severity: Severity,
  column: string | null,
  message: string,
  count: number | null = null,
  share: number | null = null,
  examples: unknown[] = [],
): Anomaly {
  return { kind, severity, column, message, count, share, examples, rule: null };
}

/** Whole numbers are numbers: a column without fractions may come as integers. */
const fits = (expected: ColumnType, actual: ColumnType | undefined) => actual === expected || (expected === "float64" && actual === "int64");

function columnSet(columns: TableColumn[], schema: SchemaSpec): Anomaly[] {
  const missing = Object.entries(schema.columns).filter(([name, rule]) => rule.required !== false && !columns.some((column) => column.name === name));
  const unexpected = columns.filter((column) => schema.columns[column.name] === undefined);
  const renames = new Map<string, string>();
  for (const [name, rule] of missing) {
    const likely = unexpected
      .filter((column) => fits(rule.type, column.type) && ![...renames.values()].includes(column.name))
      .map((column) => ({ name: column.name, likeness: likeness(column.name, name) }))
      .sort((a, b) => b.likeness - a.likeness)[0];
    if (likely !== undefined && likely.likeness >= alike) renames.set(name, likely.name);
  }
  const anomalies = missing.map(([name, rule]) => {
    const renamed = renames.get(name);
    const hint = renamed === undefined ? "" : ` "${renamed}" has its type and looks like its new name.`;
    return wrong(
      "missing_column",
      rule.severity ?? "block",
      name,
      `The column "${name}" is missing.${hint}`,
      null,
      null,
      renamed === undefined ? [] : [renamed],
    );
  });
  const severity = schema.unexpectedColumns ?? "warn";
  if (severity === "allow") return anomalies;
  for (const column of unexpected) {
    const old = [...renames].find(([, renamed]) => renamed === column.name)?.[0];
    const hint = old === undefined ? "" : ` Is it "${old}"?`;
    anomalies.push(wrong("unexpected_column", severity, column.name, `The schema knows no column "${column.name}" (${column.type ?? column.sqlType}).${hint}`));
  }
  return anomalies;
}

async function wrongType({ duckdb, connection, source }: CheckedTable, column: TableColumn, rule: ColumnRule): Promise<Anomaly> {
  const name = identifier(column.name);
  const rows = await duckdb.rows<{ v: string }>(
    `select left(${name}::varchar, 200) as v from (select ${name} from ${source} where ${name} is not null limit ${mostExamples})`,
    connection,
  );
  const message = `The column "${column.name}" is ${column.type ?? column.sqlType}; ${rule.type} is expected.`;
  return wrong(
    "wrong_type",
    rule.severity ?? "block",
    column.name,
    message,
    null,
    null,
    rows.map((row) => row.v),
  );
}

/** The rows whose value is not in the domain. A value of another type than the column's can't be there. */
function outside(column: TableColumn, rule: ColumnRule): string {
  const name = identifier(column.name);
  const type = column.type === "string" ? "string" : column.type === "boolean" ? "boolean" : "number";
  const known = (rule.domain ?? []).filter((value) => typeof value === type).map((value) => (typeof value === "string" ? literal(value) : String(value)));
  return known.length === 0 ? `${name} is not null` : `${name} is not null and ${name} not in (${known.join(", ")})`;
}
const isNumber = (column: TableColumn) => column.type === "int64" || column.type === "float64";

/** One pass that counts the rows against every rule. */
async function countViolations(table: CheckedTable, schema: SchemaSpec): Promise<Record<string, number>> {
  const parts: string[] = [];
  table.columns.forEach((column, i) => {
    const rule = schema.columns[column.name];
    if (rule === undefined || !fits(rule.type, column.type)) return;
    const name = identifier(column.name);
    if (rule.domain !== undefined) parts.push(`count(*) filter (where ${outside(column, rule)}) as d${i}`);
    // NaN is greater than any number to DuckDB, and no number of a range to anyone.
    if (rule.min !== undefined && isNumber(column)) parts.push(`count(*) filter (where ${name} < ${rule.min}) as l${i}`);
    if (rule.max !== undefined && isNumber(column)) parts.push(`count(*) filter (where ${name} > ${rule.max}) as u${i}`);
    if (rule.unique === true) parts.push(`count(${name}) - count(distinct ${name}) as q${i}`);
  });
  if (parts.length === 0) return {};
  return (await table.duckdb.rows<Record<string, number>>(`select ${parts.join(", ")} from ${table.source}`, table.connection))[0] ?? {};
}

async function columnAnomalies(table: CheckedTable, column: TableColumn, rule: ColumnRule, counts: Record<string, number>): Promise<Anomaly[]> {
  const { rows } = table;
  const i = table.columns.indexOf(column);
  const statistics = table.statistics[i];
  const severity = rule.severity ?? "block";
  const name = identifier(column.name);
  const anomalies: Anomaly[] = [];
  const of = (count: number) => `${number(count)} of ${number(rows)} rows (${percent(count / rows)})`;

  const nulls = statistics?.nulls ?? 0;
  const allowed = rule.maxNullShare ?? 1;
  if (rows > 0 && nulls / rows > allowed) {
    const message = `"${column.name}" is null in ${of(nulls)}; at most ${percent(allowed)} is expected.`;
    anomalies.push(wrong("null_share", severity, column.name, message, nulls, nulls / rows));
  }
  const strange = counts[`d${i}`] ?? 0;
  if (strange > 0 && strange / rows > (rule.maxOutsideDomain ?? 0)) {
    const examples = await frequent(table, name, outside(column, rule), "count(*) desc");
    const shown = examples.map(({ value, count }) => `${JSON.stringify(value)} (${number(count)})`).join(", ");
    const message = `"${column.name}" has a value that is not known in ${of(strange)}: ${shown}.`;
    anomalies.push(wrong("domain", severity, column.name, message, strange, strange / rows, examples));
  }
  for (const side of ["l", "u"] as const) {
    const count = counts[`${side}${i}`] ?? 0;
    if (count === 0) continue;
    const bound = side === "l" ? rule.min : rule.max;
    const examples = await frequent(table, name, `${name} ${side === "l" ? "<" : ">"} ${bound}`, side === "l" ? name : `${name} desc`);
    const shown = examples.map(({ value, count: n }) => `${typeof value === "number" ? number(value) : String(value)} (${number(n)})`).join(", ");
    const where = side === "l" ? `below the minimum ${number(bound ?? 0)}` : `above the maximum ${number(bound ?? 0)}`;
    anomalies.push(wrong("range", severity, column.name, `"${column.name}" is ${where} in ${of(count)}: ${shown}.`, count, count / rows, examples));
  }
  const repeated = counts[`q${i}`] ?? 0;
  if (repeated > 0) {
    const sql = `select ${name} as value, count(*) as count from ${table.source} where ${name} is not null group by 1 having count(*) > 1 order by 2 desc, 1 limit ${mostExamples}`;
    const examples = await table.duckdb.rows<{ value: unknown; count: number }>(sql, table.connection);
    const shown = examples.map(({ value, count }) => `${JSON.stringify(value)} (${number(count)})`).join(", ");
    const message = `"${column.name}" repeats a value in ${of(repeated)}, and each is expected once: ${shown}.`;
    anomalies.push(wrong("unique", severity, column.name, message, repeated, repeated / rows, examples));
  }
  return anomalies;
}

/** Values among the rows that `where` picks, with how often each is there. */
function frequent({ duckdb, connection, source }: CheckedTable, name: string, where: string, order: string): Promise<{ value: unknown; count: number }[]> {
  const sql = `select ${name} as value, count(*) as count from ${source} where ${where} group by ${name} order by ${order}, ${name} limit ${mostExamples}`;
  return duckdb.rows(sql, connection);
}

/** A row fails where the condition is false; where it is null it holds, as in a CHECK of SQL. */
async function expectationAnomalies(table: CheckedTable, schema: SchemaSpec): Promise<Anomaly[]> {
  const { duckdb, connection, source, rows } = table;
  const anomalies: Anomaly[] = [];
  for (const expectation of schema.expectations ?? []) {
    const severity = expectation.severity ?? "block";
    const name = `expectation "${expectation.name}"`;
    const condition = `from checked where (${expectation.sql}\n) is false`;
    try {
      await assertSelect(duckdb, connection, `select count(*) ${condition}`, ["checked"], `The ${name}`);
      const counted = await duckdb.rows<{ n: number }>(`with checked as (select * from ${source}) select count(*) as n ${condition}`, connection);
      const failing = counted[0]?.n ?? 0;
      const allowed = expectation.maxFailing ?? 0;
      if (rows === 0 || failing / rows <= allowed) continue;
      const examples = await duckdb.rows<Record<string, unknown>>(
        `with checked as (select * from ${source}) select ${named(table, expectation.sql)} ${condition} limit ${mostExamples}`,
        connection,
      );
      const message = `The ${name} (${expectation.sql.slice(0, 200)}) fails in ${number(failing)} of ${number(rows)} rows (${percent(failing / rows)}); at most ${percent(allowed)} is expected.`;
      anomalies.push(wrong("expectation", severity, null, message, failing, failing / rows, examples));
    } catch (error) {
      const reason = (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";
      anomalies.push(wrong("expectation", severity, null, `The ${name} can't be evaluated: ${reason}`));
    }
  }
  return anomalies;
}

/** The columns that an expression speaks of, so that an example shows what matters. */
function named(table: CheckedTable, expression: string): string {
  const words = new Set(expression.match(/[\p{L}\p{N}_]+/gu) ?? []);
  const columns = table.columns.filter((column) => words.has(column.name));
  return (columns.length === 0 ? table.columns.slice(0, 8) : columns).map((column) => identifier(column.name)).join(", ");
}
