/** Expectations of a schema's author: conditions in SQL, and functions of a row. */
import type { ExpectationSpec, FunctionExpectationSpec, SchemaSpec } from "@millrace/sdk/spec";
import type { CheckRows } from "../compute/index.js";
import { type Digest, identifier } from "../platform/index.js";
import { type Check, type CheckedTable, fits, mostExamples, number, ofRows, percent, Skipped, type Wrong } from "./check.js";
import type { Applies } from "./column-rules.js";
import { assertSelect } from "./select.js";

type SqlExpectation = Exclude<ExpectationSpec, FunctionExpectationSpec>;
type Judge = (table: CheckedTable) => Promise<Wrong | undefined>;

/** In their order. Those in SQL run in one sandbox, and functions share one reading of the rows in a process of their own: both are users' code. */
export function expectationChecks(schema: SchemaSpec, applies: Applies, checkRows: CheckRows): Check[] {
  const asked = (schema.expectations ?? []).filter(({ environments }) => applies(environments));
  const isFunction = (one: ExpectationSpec): one is FunctionExpectationSpec => "bundle" in one;
  const inSql = together(
    asked.filter((one): one is SqlExpectation => !isFunction(one)),
    bySql,
  );
  const asFunctions = together(asked.filter(isFunction), (table, functions) => byFunctions(table, functions, schema, checkRows));
  return asked.map((one) => {
    const judge = isFunction(one) ? asFunctions(one) : inSql(one);
    return {
      ...{ kind: "expectation", column: null, name: `expectation "${one.name}"`, severity: one.severity ?? "block" },
      ...{ rule: one.definedAt ?? schema.definedAt ?? null, judge },
    };
  });
}

/** All are looked at when the first one is asked for. */
function together<T>(all: T[], look: (table: CheckedTable, all: T[]) => Promise<(Wrong | undefined)[]>): (one: T) => Judge {
  let found: Promise<(Wrong | undefined)[]> | undefined;
  return (one) => async (table) => {
    found ??= look(table, all);
    return (await found)[all.indexOf(one)];
  };
}

/** A row fails where the condition is false; where it is null it holds, as in a CHECK of SQL. */
function bySql(table: CheckedTable, asked: SqlExpectation[]): Promise<(Wrong | undefined)[]> {
  return table.duckdb.sandbox({ reads: table.files }, async (connection) => {
    const found: (Wrong | undefined)[] = [];
    for (const expectation of asked) found.push(await evaluate({ ...table, connection }, expectation));
    return found;
  });
}

async function evaluate(table: CheckedTable, expectation: SqlExpectation): Promise<Wrong | undefined> {
  const { duckdb, connection, source, rows } = table;
  const name = `expectation "${expectation.name}"`;
  const condition = `from checked where (${expectation.sql}\n) is false`;
  try {
    await assertSelect(duckdb, connection, `select count(*) ${condition}`, ["checked"], `The ${name}`);
    const counted = await duckdb.rows<{ n: number }>(`with checked as (select * from ${source}) select count(*)::double as n ${condition}`, connection);
    const failing = counted[0]?.n ?? 0;
    const allowed = expectation.maxFailing ?? 0;
    if (rows === 0 || failing / rows <= allowed) return undefined;
    const examples = await shownRows(table, expectation.sql, `${condition} limit ${mostExamples}`);
    const message = `The ${name} (${expectation.sql.slice(0, 200)}) fails in ${ofRows(failing, rows)}; at most ${percent(allowed)} is expected.`;
    return { message, count: failing, share: failing / rows, examples };
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";
    return { message: `The ${name} can't be evaluated: ${reason}` };
  }
}

/** The columns that an expression speaks of, so that an example shows what matters. */
function named({ columns }: Pick<CheckedTable, "columns">, expression: string): string[] {
  const words = new Set(expression.match(/[\p{L}\p{N}_]+/gu) ?? []);
  const spoken = columns.filter((column) => words.has(column.name)).slice(0, 20);
  return (spoken.length === 0 ? columns.slice(0, 8) : spoken).map(({ name }) => name);
}

/**
 * Functions are given rows that fit the types of the schema's columns. So they wait where a column is missing or of another type, which is told by
 * itself; a column that need not be there is null, and a row with a null where the schema has none is the column's matter.
 */
async function byFunctions(table: CheckedTable, asked: FunctionExpectationSpec[], schema: SchemaSpec, checkRows: CheckRows): Promise<(Wrong | undefined)[]> {
  const unfit = Object.entries(schema.columns).flatMap(([name, rule]) => {
    const column = table.columns.find((one) => one.name === name);
    if (column === undefined) return rule.required === false || rule.environments !== undefined ? [] : [`The column "${name}" is missing.`];
    return fits(rule.type, column.type) ? [] : [`The column "${name}" is ${column.type ?? column.sqlType}; its functions are for ${rule.type}.`];
  });
  if (unfit[0] !== undefined) throw new Skipped(`${unfit[0]} Functions are given rows that fit the schema's types.`);
  const known = [...new Set([...table.columns.map(({ name }) => name), ...Object.keys(schema.columns)])];
  // What a function names beside columns, as a method of every object, is none.
  const functions = asked.map(({ digest, columns }) => ({ bundle: (digest ?? "") as Digest, columns: columns?.filter((name) => known.includes(name)) }));
  const columns = functions.every((one) => one.columns !== undefined) ? known.filter((name) => functions.some((one) => one.columns?.includes(name))) : known;
  const certain = Object.entries(schema.columns).flatMap(([name, { maxNullShare, required, environments }]) =>
    maxNullShare === 0 && required !== false && environments === undefined ? [name] : [],
  );
  const outcomes = await checkRows({ files: table.files, columns, certain, functions, examples: mostExamples });
  return Promise.all(asked.map(async (one, i) => wrongOf(table, one, outcomes[i], one.definedAt ?? schema.definedAt)));
}

async function wrongOf(
  table: CheckedTable,
  { name, maxFailing = 0, columns }: FunctionExpectationSpec,
  outcome: Awaited<ReturnType<CheckRows>>[number] | undefined,
  place: string | undefined,
): Promise<Wrong | undefined> {
  const said = `The expectation "${name}"${place === undefined ? "" : ` (${place})`}`;
  if (outcome === undefined) return { message: `${said} can't be evaluated.` };
  if ("problem" in outcome) {
    const { problem, row } = outcome;
    if (row === null) return { message: `${said} can't be evaluated: it ${problem}.` };
    return { message: `${said} can't be evaluated: it ${problem}, at row ${number(row)}.`, examples: await rowAt(table, row, columns) };
  }
  const { failing, examples } = outcome;
  if (failing === 0 || failing / table.rows <= maxFailing) return undefined;
  const message = `${said} fails in ${ofRows(failing, table.rows)}; at most ${percent(maxFailing)} is expected.`;
  return { message, count: failing, share: failing / table.rows, examples };
}

/** A row by its number, counted from 1, as the examples of a condition in SQL show one. */
const rowAt = (table: CheckedTable, row: number, columns: string[] | undefined): Promise<unknown[]> =>
  shownRows(table, (columns ?? []).join(" "), `from checked limit 1 offset ${row - 1}`);

/** Rows of `checked`, as people are shown them: the columns that an expression speaks of, as text that is cut. */
async function shownRows({ duckdb, connection, source, ...table }: CheckedTable, expression: string, which: string): Promise<unknown[]> {
  const shown = named(table, expression).map((column) => `${identifier(column)}: left(${identifier(column)}::varchar, 200)`);
  const rows = await duckdb.rows<{ v: string }>(
    `with checked as (select * from ${source}) select to_json({${shown.join(", ")}})::varchar as v ${which}`,
    connection,
  );
  return rows.map(({ v }) => JSON.parse(v) as unknown);
}
