import type { ColumnStatistics } from "@millrace/sdk/api";
import type { ColumnRule, SchemaSpec } from "@millrace/sdk/spec";
import { identifier, literal } from "../platform/index.js";
import { type Check, type CheckedTable, fits, mostExamples, number, ofRows, percent, type Wrong } from "./check.js";
import { storable } from "./places.js";
import { alike, likeness } from "./rename.js";
import { isFloat, isNumber, isTime } from "./statistics/axis.js";
import type { TableColumn } from "./types.js";

/** Which rules a validation looks at. */
export type Applies = (environments: readonly string[] | undefined) => boolean;

/** Columns that are missing, that nobody expects, and that are of another type. */
export function columnSet({ columns }: Pick<CheckedTable, "columns">, schema: SchemaSpec, applies: Applies): Check[] {
  const asked = Object.entries(schema.columns).filter(([, rule]) => applies(rule.environments));
  const missing = asked.filter(([name, rule]) => rule.required !== false && !columns.some((column) => column.name === name));
  const unexpected = columns.filter((column) => schema.columns[column.name] === undefined);
  const renames = new Map<string, string>();
  const taken = new Set<string>();
  // Each missing name is compared with each new one: a table of thousands of strangers has no renames to find.
  for (const [name, rule] of missing.length * unexpected.length > 100_000 ? [] : missing) {
    const likely = unexpected
      .filter((column) => fits(rule.type, column.type) && !taken.has(column.name))
      .map((column) => ({ name: column.name, likeness: likeness(column.name, name) }))
      .sort((a, b) => b.likeness - a.likeness)[0];
    if (likely === undefined || likely.likeness < alike) continue;
    renames.set(name, likely.name);
    taken.add(likely.name);
  }
  const place = (rule: ColumnRule) => rule.definedAt ?? schema.definedAt ?? null;
  const there: Check[] = asked
    .filter(([, rule]) => rule.required !== false)
    .map(([name, rule]) => ({
      ...{ kind: "missing_column", column: name, name: `"${name}" is there`, severity: rule.severity ?? "block", rule: place(rule) },
      judge() {
        if (columns.some((column) => column.name === name)) return undefined;
        const renamed = renames.get(name);
        const hint = renamed === undefined ? "" : ` "${renamed}" has its type and looks like its new name.`;
        return { message: `The column "${name}" is missing.${hint}`, examples: renamed === undefined ? [] : [renamed] };
      },
    }));
  const typed: Check[] = asked.flatMap(([name, rule]) => {
    const column = columns.find((one) => one.name === name);
    if (column === undefined) return [];
    const check: Check = {
      ...{ kind: "wrong_type", column: name, name: `"${name}" is ${rule.type}`, severity: rule.severity ?? "block", rule: place(rule) },
      judge: (table) => (fits(rule.type, column.type) ? undefined : wrongType(table, column, rule)),
    };
    return [check];
  });
  const severity = schema.unexpectedColumns ?? "warn";
  if (severity === "allow") return [...there, ...typed];
  const old = new Map([...renames].map(([from, to]) => [to, from]));
  const strangers: Check[] = unexpected.map((column) => ({
    ...{ kind: "unexpected_column", column: column.name, name: `"${column.name}" is expected`, severity, rule: schema.definedAt ?? null },
    judge() {
      const was = old.get(column.name);
      const type = (column.type ?? column.sqlType).slice(0, 200);
      return { message: `The schema knows no column "${column.name}" (${type}).${was === undefined ? "" : ` Is it "${was}"?`}` };
    },
  }));
  return [...there, ...strangers, ...typed];
}

async function wrongType({ duckdb, connection, source }: CheckedTable, column: TableColumn, rule: ColumnRule): Promise<Wrong> {
  const name = identifier(column.name);
  const rows = await duckdb.rows<{ v: string }>(
    `select left(${name}::varchar, 200) as v from (select ${name} from ${source} where ${name} is not null limit ${mostExamples})`,
    connection,
  );
  return {
    message: `The column "${column.name}" is ${(column.type ?? column.sqlType).slice(0, 200)}; ${rule.type} is expected.`,
    examples: rows.map((row) => row.v),
  };
}

/** The rules of a column of the type that is expected. */
export function columnChecks(
  column: TableColumn,
  rule: ColumnRule,
  statistics: ColumnStatistics | undefined,
  rows: number,
  schemaPlace: string | null,
): Check[] {
  const shown = `"${column.name}"`;
  const name = identifier(column.name);
  const base = { column: column.name, severity: rule.severity ?? ("block" as const), rule: rule.definedAt ?? schemaPlace };
  const checks: Check[] = [];
  const failing = rule.maxFailing ?? 0;
  const tolerated = (count: number, allowed: number) => count === 0 || rows === 0 || count / rows <= allowed;
  /** Rows that break a condition, told with the values that they have. */
  const counting = (kind: string, said: string, where: string, allowed: number, order: string, tell: (shown: string) => string, known?: number) =>
    checks.push({
      ...{ ...base, kind, name: said, count: `count(*) filter (where ${where})` },
      ...(known === undefined ? {} : { known }),
      async judge(table, count) {
        if (tolerated(count, allowed)) return undefined;
        const examples = await frequent(table, column, where, order);
        const most = allowed > 0 ? ` At most ${percent(allowed)} is expected.` : "";
        return { message: `${tell(ofRows(count, rows))}: ${shownOf(examples)}.${most}`, count, share: count / rows, examples };
      },
    });

  if (rule.maxNullShare !== undefined) {
    const most = rule.maxNullShare;
    checks.push({
      ...{ ...base, kind: "null_share", name: `${shown} is null in at most ${percent(most)}`, count: `count(*) filter (where ${name} is null)` },
      ...(statistics === undefined ? {} : { known: statistics.nulls }),
      judge(_table, nulls) {
        if (rows === 0 || nulls / rows <= most) return undefined;
        return { message: `${shown} is null in ${ofRows(nulls, rows)}; at most ${percent(most)} is expected.`, count: nulls, share: nulls / rows };
      },
    });
  }
  if (rule.domain !== undefined) {
    const where = outside(column, rule.domain);
    const known = statistics?.complete
      ? (statistics.top ?? []).filter(({ value }) => !rule.domain?.some((one) => one === value)).reduce((n, one) => n + one.count, 0)
      : undefined;
    const tell = (of: string) => `${shown} has a value that is not known in ${of}`;
    counting("domain", `${shown} has known values`, where, rule.maxOutsideDomain ?? failing, "count(*) desc", tell, isFloat(column) ? undefined : known);
  }
  for (const side of ["min", "max"] as const) {
    const bound = rule[side];
    if (bound === undefined || !(isNumber(column) || isTime(column))) continue;
    const value = typeof bound === "number" ? exact(bound) : `${literal(bound)}::timestamptz`;
    const left = isTime(column) ? `${name}::timestamptz` : name;
    // NaN is greater than any number to DuckDB, and in no range to anyone: it is told once, with the maximum where there is one.
    const nan = isFloat(column) ? (side === "max" || rule.max === undefined ? ` or isnan(${name})` : "") : "";
    const less = isFloat(column) && side === "max" ? `not isnan(${name}) and ` : "";
    const where = `(${less}${left} ${side === "min" ? "<" : ">"} ${value})${nan}`;
    const inside = within(statistics, side, bound, column);
    const is = typeof bound === "number" ? number(bound) : bound;
    const tell = (of: string) => `${shown} is ${side === "min" ? "below the minimum" : "above the maximum"} ${is} in ${of}`;
    const order = side === "min" ? name : `${name} desc`;
    counting("range", `${shown} is at ${side === "min" ? "least" : "most"} ${is}`, where, failing, order, tell, inside ? 0 : undefined);
  }
  if (rule.finite === true && isNumber(column)) {
    const where = isFloat(column) ? `not isfinite(${name})` : "false";
    const known = statistics === undefined || !isFloat(column) ? undefined : (statistics.nan ?? 0) + (statistics.infinite ?? 0);
    counting("finite", `${shown} is finite`, where, failing, "count(*) desc", (of) => `${shown} is NaN or infinite in ${of}`, known);
  }
  if (rule.pattern !== undefined && column.type === "string") {
    const pattern = rule.pattern;
    const where = `not regexp_full_match(${name}::varchar, ${literal(pattern)})`;
    const tell = (of: string) => `${shown} does not match ${pattern} in ${of}`;
    checks.push({
      ...{ ...base, kind: "pattern", name: `${shown} matches ${pattern}` },
      async judge(table) {
        // By itself: a pattern that RE2 does not take must not take the other counts with it.
        const { duckdb, connection, source } = table;
        const unusable = await duckdb.rows(`select regexp_full_match('', ${literal(pattern)})`, connection).then(
          () => undefined,
          (error: Error) => error.message.split("\n")[0] ?? "",
        );
        if (unusable !== undefined) return { message: `${shown} has a pattern that can't be used: ${unusable.replace(/^.*?Error: /, "")}` };
        const [row] = await duckdb.rows<{ n: number }>(`select count(*) filter (where ${where})::double as n from ${source}`, connection);
        const count = row?.n ?? 0;
        if (tolerated(count, failing)) return undefined;
        const examples = await frequent(table, column, where, "count(*) desc");
        return { message: `${tell(ofRows(count, rows))}: ${shownOf(examples)}.`, count, share: count / rows, examples };
      },
    });
  }
  for (const side of ["minLength", "maxLength"] as const) {
    const bound = rule[side];
    if (bound === undefined || column.type !== "string") continue;
    const where = `length(${name}::varchar) ${side === "minLength" ? "<" : ">"} ${bound}`;
    const lengths = statistics?.lengths;
    const fine = lengths !== undefined && (side === "minLength" ? lengths.min >= bound : lengths.max <= bound);
    const tell = (of: string) => `${shown} is ${side === "minLength" ? "shorter" : "longer"} than ${number(bound)} characters in ${of}`;
    counting(
      "length",
      `${shown} has at ${side === "minLength" ? "least" : "most"} ${number(bound)} characters`,
      where,
      failing,
      "count(*) desc",
      tell,
      fine ? 0 : undefined,
    );
  }
  if (rule.unique === true) {
    checks.push({
      ...{ ...base, kind: "unique", name: `${shown} is unique`, count: `count(${name}) - count(distinct ${name})` },
      ...(statistics === undefined || statistics.approximate ? {} : { known: statistics.count - statistics.distinct }),
      async judge({ duckdb, connection, source }, repeated) {
        if (tolerated(repeated, failing)) return undefined;
        const sql = `select (${told(column)})::varchar as value, count(*)::double as count from ${source} where ${name} is not null group by ${name} having count(*) > 1 order by 2 desc, ${name} limit ${mostExamples}`;
        const examples = (await duckdb.rows<{ value: string; count: number }>(sql, connection)).map((row) => ({
          value: JSON.parse(row.value) as unknown,
          count: row.count,
        }));
        const message = `${shown} repeats a value in ${ofRows(repeated, rows)}, and each is expected once: ${shownOf(examples)}.`;
        return { message, count: repeated, share: repeated / rows, examples };
      },
    });
  }
  if (rule.minDistinct !== undefined || rule.maxDistinct !== undefined) {
    const { minDistinct: least = 0, maxDistinct: most } = rule;
    const said = most === undefined ? `at least ${number(least)}` : least === 0 ? `at most ${number(most)}` : `${number(least)} to ${number(most)}`;
    checks.push({
      ...{ ...base, kind: "distinct", name: `${shown} has ${said} values`, count: `count(distinct ${name})` },
      ...(statistics === undefined || statistics.approximate ? {} : { known: statistics.distinct }),
      judge(_table, distinct) {
        if (distinct >= least && distinct <= (most ?? Number.POSITIVE_INFINITY)) return undefined;
        return { message: `${shown} has ${number(distinct)} different values; ${said} are expected.`, count: distinct };
      },
    });
  }
  return checks;
}

/** Numbers as they are, without a place to lose a digit. */
const exact = (value: number) => (Number.isInteger(value) && Math.abs(value) < 1e18 ? String(BigInt(value)) : `${literal(String(value))}::double`);

/** Statistics show that nothing is beyond a bound. They say nothing of what is not finite. */
function within(statistics: ColumnStatistics | undefined, side: "min" | "max", bound: number | string, column: TableColumn): boolean {
  if (statistics === undefined || (statistics.nan ?? 0) + (statistics.infinite ?? 0) > 0) return false;
  if (statistics.count === 0) return true;
  const found = statistics[side];
  // Doubles don't tell 64-bit numbers beyond 2^53 apart, and an infinite time has no place among the others.
  if (typeof found !== "number" || typeof bound !== "number" || isTime(column) || Math.abs(found) > Number.MAX_SAFE_INTEGER) return false;
  return side === "min" ? found >= bound : found <= bound;
}

/** The rows whose value is not in the domain. A value of another type than the column's can't be there. */
function outside(column: TableColumn, domain: readonly (string | number | boolean)[]): string {
  const name = identifier(column.name);
  const type = column.type === "string" || isTime(column) ? "string" : column.type === "boolean" ? "boolean" : "number";
  const known = domain
    .filter((value) => typeof value === type)
    .map((value) => (typeof value === "string" ? literal(value) : typeof value === "number" ? exact(value) : String(value)));
  const left = isTime(column) ? `${name}::timestamptz` : name;
  const list = isTime(column) ? known.map((value) => `${value}::timestamptz`) : known;
  return list.length === 0 ? `${name} is not null` : `${name} is not null and ${left} not in (${list.join(", ")})`;
}

/** A value as a report has it: long texts are cut, what JSON has no number for is text. */
function told(column: TableColumn): string {
  const name = identifier(column.name);
  if (column.type === "boolean") return `to_json(${name})`;
  if (isFloat(column)) return `case when isfinite(${name}) then to_json(${name}) else to_json(${name}::varchar) end`;
  return isNumber(column) ? `to_json(${name})` : `to_json(left(${name}::varchar, 200))`;
}
const shownOf = (examples: { value: unknown; count: number }[]): string =>
  examples.map(({ value, count }) => `${tellValue(value)} (${number(count)})`).join(", ");
const tellValue = (value: unknown): string =>
  typeof value === "number" ? number(value) : typeof value === "string" ? JSON.stringify(storable(value)) : String(value);

/** Values among the rows that `where` picks, with how often each is there. */
async function frequent(
  { duckdb, connection, source }: CheckedTable,
  column: TableColumn,
  where: string,
  order: string,
): Promise<{ value: unknown; count: number }[]> {
  const name = identifier(column.name);
  const value = told(column);
  const sql = `select (${value})::varchar as value, count(*)::double as count from ${source} where ${where} group by ${name} order by ${order}, ${name} limit ${mostExamples}`;
  const rows = await duckdb.rows<{ value: string | null; count: number }>(sql, connection);
  return rows.map((row) => ({ value: row.value === null ? null : (JSON.parse(row.value) as unknown), count: row.count }));
}
