import type { DuckDBConnection } from "@duckdb/node-api";
import { type DuckDb, identifier, literal } from "../platform/index.js";
import { assertSelect, isRowWise } from "../validation/index.js";
import { columnSql } from "./values.js";
import type { View } from "./views.js";

/** Rows of a dataset under its name, whatever its parts are. Columns that came later are null in earlier parts. */
function dataset(name: string, files: string[]): string {
  return `with ${identifier(name)} as (select * from read_parquet([${files.map(literal).join(", ")}], union_by_name = true))`;
}

/** A subquery of the view's source as it is defined, over the given parts. */
function definedSql(view: View, files: string[]): string {
  return `(${dataset(view.dataset, files)} select * from (${view.sql ?? `select * from ${identifier(view.dataset)}`}\n))`;
}

/**
 * The source's rows: keys `k0`…, the moment `t` in microseconds (0 where the view has none), values `v0`…, and where the view says when its
 * rows were created, that as `c` (the moment where it is null). Rows without a key or a moment are no rows.
 */
export function sourceSql(view: View, files: string[], extra = ""): string {
  const keys = view.keys.map(({ name, type }, i) => `${columnSql(name, type)} as k${i}`);
  const time = view.timestamp === undefined ? "0::bigint as t" : `epoch_us(${columnSql(view.timestamp, "timestamp")}) as t`;
  const values = view.columns.map(({ name, type }, i) => `${columnSql(name, type)} as v${i}`);
  if (view.created !== undefined) values.push(`epoch_us(${columnSql(view.created, "timestamp")}) as created`);
  const known = [...view.keys.map((_, i) => `k${i} is not null`), "t is not null"].join(" and ");
  const found = view.created === undefined ? "*" : "* exclude (created), coalesce(created, t) as c";
  return `(select ${found} from (select ${[...keys, time, ...values].join(", ")}${extra} from ${definedSql(view, files)}) where ${known})`;
}

/** Of rows of one entity and one moment only one is used: that created last, of the later part, and in it the one whose values stand last in order. */
export function newestFirst(view: View, perCreated = false): string {
  const created = view.created === undefined ? { of: "", order: "" } : perCreated ? { of: ", c", order: "" } : { of: "", order: "c desc, " };
  const values = view.columns.map((_, i) => `v${i} desc nulls last`).join(", ");
  return `row_number() over (partition by ${keyColumns(view)}, t${created.of} order by ${created.order}part desc, ${values}) = 1`;
}
export const keyColumns = (view: View): string => view.keys.map((_, i) => `k${i}`).join(", ");

/** Refuses a source that reads more than its dataset. */
export function assertSource(duckdb: DuckDb, connection: DuckDBConnection, view: View): Promise<void> {
  return view.sql === undefined ? Promise.resolve() : assertSelect(duckdb, connection, view.sql, [view.dataset], `The source of the view "${view.name}"`);
}

/** Whether the rows of a new part can be added to those of the others. */
export async function isIncremental(duckdb: DuckDb, connection: DuckDBConnection, view: View): Promise<boolean> {
  return view.sql === undefined || isRowWise(duckdb, connection, view.sql, view.dataset);
}
