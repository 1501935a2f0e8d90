import type { DuckDBConnection } from "@duckdb/node-api";
import { type DuckDb, invalid, literal } from "../platform/index.js";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Functions that look beyond the tables of a query. */
const outward = /^(read_|glob$|getenv$|parquet_|query|sniff_|duckdb_|pragma_|which_secret|write_|json_execute|current_setting$|getvariable$|.*_scan$)/i;
const harmless = new Set(["unnest", "range", "generate_series"]);

/**
 * Refuses what is not one SELECT over the named tables: definitions come from clients, and their SQL must read nothing else of the server.
 * `what` names the text in the error.
 */
export async function assertSelect(duckdb: DuckDb, connection: DuckDBConnection, sql: string, tables: string[], what: string): Promise<void> {
  await parse(duckdb, connection, sql, tables, what);
}

async function parse(duckdb: DuckDb, connection: DuckDBConnection, sql: string, tables: string[], what: string): Promise<Json> {
  const rows = await duckdb.rows<{ tree: string }>(`select json_serialize_sql(${literal(sql)})::varchar as tree`, connection);
  const tree = JSON.parse(rows[0]?.tree ?? "{}") as { error?: boolean; error_message?: string; position?: string; statements?: Json[] };
  if (tree.error !== false || tree.statements === undefined) {
    const hint = await quoting(duckdb, connection, sql, Number(tree.position ?? -1));
    throw invalid(`${what} is no SELECT: ${tree.error_message ?? "it can't be parsed"}${hint}`);
  }
  if (tree.statements.length !== 1) throw invalid(`${what} holds ${tree.statements.length} statements: write one SELECT.`);
  const statement = tree.statements[0] ?? null;
  const known = new Set(tables.map((table) => table.toLowerCase()));
  walk(statement, (node) => {
    for (const entry of list(object(node.cte_map)?.map)) {
      const name = object(entry)?.key;
      if (typeof name !== "string") continue;
      // A name that is a file's would be read as a file where the CTE is out of scope.
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw invalid(`${what} names a part "${name}": use letters, digits and _.`);
      known.add(name.toLowerCase());
    }
  });
  walk(statement, (node) => {
    if (node.type === "BASE_TABLE") {
      const qualified = node.schema_name !== "" || node.catalog_name !== "";
      const name = String(node.table_name);
      if (qualified || !known.has(name.toLowerCase())) throw invalid(`${what} reads the table "${name}". It can read ${tables.join(", ")}.`);
    }
    if (node.class === "FUNCTION" && typeof node.function_name === "string") {
      const name = node.function_name;
      if (outward.test(name)) throw invalid(`${what} calls ${name}, which reads more than its tables.`);
    }
    if (node.type === "TABLE_FUNCTION") {
      const name = String(object(node.function)?.function_name);
      if (!harmless.has(name.toLowerCase())) throw invalid(`${what} calls ${name} as a table. It can read ${tables.join(", ")}.`);
    }
    if (node.type === "SHOW_REF" || node.type === "COLUMN_DATA" || node.type === "DELIM_GET") throw invalid(`${what} is no plain SELECT.`);
  });
  return statement;
}

/** A column may be called as a word of SQL is. The parser then stumbles over the word, or over what comes after it. */
async function quoting(duckdb: DuckDb, connection: DuckDBConnection, sql: string, position: number): Promise<string> {
  // As bytes, which is what a place in a query is counted in.
  const bytes = Buffer.from(sql);
  const at = Math.max(0, position);
  const [before, after] = [bytes.subarray(0, at).toString(), bytes.subarray(at).toString()];
  const words = [/([A-Za-z_]+)\s*$/.exec(before)?.[1], /^([A-Za-z_]+)/.exec(after)?.[1]].filter((word) => word !== undefined);
  const known = await duckdb.rows<{ word: string }>(
    `select keyword_name as word from duckdb_keywords() where keyword_category in ('reserved', 'type_function')`,
    connection,
  );
  const word = words.find((one) => !structure.has(one.toLowerCase()) && known.some((keyword) => keyword.word === one.toLowerCase()));
  return word === undefined ? "" : `. "${word}" is a word of SQL: where it is a column, write it in double quotes, as "${word}"`;
}
/** Words that are seldom a column's name. */
const structure = new Set("select from where having on as and or not is null in then when case distinct union with using".split(" "));

/** Whether the SELECT treats each row of its table by itself, so that the result of more rows is the result of some and that of the others. */
export async function isRowWise(duckdb: DuckDb, connection: DuckDBConnection, sql: string, table: string): Promise<boolean> {
  const statement = object(await parse(duckdb, connection, sql, [table], "The query"));
  const select = object(statement?.node);
  if (select?.type !== "SELECT_NODE" || object(select.from_table)?.type !== "BASE_TABLE") return false;
  if (list(select.modifiers).length > 0 || list(select.group_expressions).length > 0 || list(select.group_sets).length > 0) return false;
  if (select.having != null || select.qualify != null || select.sample != null || list(object(select.cte_map)?.map).length > 0) return false;
  const functions = new Set<string>();
  let own = true;
  walk(statement ?? null, (node) => {
    if (node.class === "WINDOW" || node.class === "SUBQUERY") own = false;
    if (typeof node.function_name === "string") functions.add(node.function_name.toLowerCase());
  });
  if (!own || functions.size === 0) return own;
  const names = [...functions].map(literal).join(", ");
  const sql2 = `select count(*) as n from duckdb_functions() where function_type = 'aggregate' and function_name in (${names})`;
  return (await duckdb.rows<{ n: number }>(sql2, connection))[0]?.n === 0;
}

const object = (value: Json | undefined): { [key: string]: Json } | undefined =>
  value !== null && typeof value === "object" && !Array.isArray(value) ? value : undefined;
const list = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : []);

function walk(value: Json, visit: (node: { [key: string]: Json }) => void): void {
  if (Array.isArray(value)) for (const inner of value) walk(inner, visit);
  else if (value !== null && typeof value === "object") {
    visit(value);
    for (const inner of Object.values(value)) walk(inner, visit);
  }
}
