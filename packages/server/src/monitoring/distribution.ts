/** Distributions of columns, and how far apart two of them are. DuckDB counts, so that requests are answered meanwhile. */
import type { DuckDBConnection } from "@duckdb/node-api";
import type { ColumnType } from "@millrace/sdk/spec";
import { type DuckDb, literal } from "../platform/index.js";

/**
 * What falls where: up to an edge, inclusive, for numbers; on one of the values for anything else. Both are in their order. The rest and the
 * missing follow them.
 */
export type Bins = { kind: "numbers"; edges: number[] } | { kind: "values"; values: string[] };
export interface Distribution {
  bins: Bins;
  counts: number[];
}
export interface Column {
  type: ColumnType;
  /** Gives a double for numbers, and for the rest what has a text. */
  sql: string;
}
interface Rows {
  duckdb: Pick<DuckDb, "rows">;
  connection: DuckDBConnection;
  /** A table, a view, or a query in brackets. */
  relation: string;
}

const numberBins = 10;
const mostValues = 50;

/** The distribution of each column of these rows, with bins of their own: of equal share for numbers; the most frequent values for the rest. */
export async function distributions(rows: Rows, columns: Column[]): Promise<Distribution[]> {
  const found: { column: Column; bins: Bins }[] = [];
  for (const column of columns) found.push({ column, bins: isNumber(column.type) ? await numberBinsOf(rows, column) : await valueBinsOf(rows, column) });
  const { counts } = await countInto(rows, found);
  return found.map(({ bins }, i) => ({ bins, counts: counts[i] ?? [] }));
}

const isNumber = (type: ColumnType): boolean => type === "int64" || type === "float64";

async function numberBinsOf({ duckdb, connection, relation }: Rows, { sql }: Column): Promise<Bins> {
  const shares = Array.from({ length: numberBins - 1 }, (_, i) => (i + 1) / numberBins);
  // Kept as JSON, which has no infinities: those fall into the first bin and the rest.
  const [row] = await duckdb.rows<{ edges: number[] | null }>(
    `select quantile_disc(value, [${shares.join(", ")}]) as edges from (select ${sql} as value from ${relation}) where isfinite(value)`,
    connection,
  );
  return { kind: "numbers", edges: [...new Set(row?.edges ?? [])] };
}
async function valueBinsOf({ duckdb, connection, relation }: Rows, { sql }: Column): Promise<Bins> {
  const rows = await duckdb.rows<{ value: string }>(
    `select value from (
       select value, count(*) as n from (select (${sql})::varchar as value from ${relation})
       where value is not null group by value order by n desc, value limit ${mostValues}
     ) order by value`,
    connection,
  );
  return { kind: "values", values: rows.map(({ value }) => value) };
}

/** How many rows fall into each bin of each column, in one query. */
export async function countInto(
  { duckdb, connection, relation }: Rows,
  columns: { column: Column; bins: Bins }[],
): Promise<{ rows: number; counts: number[][] }> {
  const histograms = columns.map(({ column, bins }, i) => `, ${histogram(column.sql, bins)} as "${i}"`);
  const [found] = await duckdb.rows<Record<string, number | number[] | null>>(`select count(*) as rows${histograms.join("")} from ${relation}`, connection);
  const rows = Number(found?.rows ?? 0);
  const counts = columns.map(({ bins }, i) => {
    const there = found?.[String(i)];
    // A rest of no rows is left out.
    const known = Array.from({ length: (bins.kind === "numbers" ? bins.edges : bins.values).length + 1 }, (_, bin) =>
      Array.isArray(there) ? (there[bin] ?? 0) : 0,
    );
    return [...known, rows - known.reduce((sum, n) => sum + n, 0)];
  });
  return { rows, counts };
}

/** Counts in the order of the bins, the rest last; the missing are in none. */
function histogram(sql: string, bins: Bins): string {
  if (bins.kind === "values") return `map_values(histogram_exact((${sql})::varchar, [${bins.values.map(literal).join(", ")}]::varchar[]))`;
  // As text, so that an edge is the very number that it was.
  const edges = bins.edges.map((edge) => literal(String(edge))).join(", ");
  return `map_values(histogram(case when not isnan(${sql}) then ${sql} end, [${edges}]::double[]))`;
}
