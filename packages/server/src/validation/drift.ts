/** How far apart two distributions are, over the same bins. */
import type { DuckDBConnection } from "@duckdb/node-api";
import type { ColumnComparison, ColumnStatistics } from "@millrace/sdk/api";
import { type DuckDb, identifier, literal, parquet } from "../platform/index.js";
import type { OtherTable } from "./history.js";
import { isTime, place, shownLength } from "./statistics/axis.js";
import { columnsOf, type TableColumn } from "./types.js";

const total = (counts: readonly number[]) => counts.reduce((sum, count) => sum + count, 0);
const shares = (counts: readonly number[]) => counts.map((count) => count / total(counts));

/**
 * max |pᵢ − qᵢ| over the shares of the bins: the L-infinity distance, as TensorFlow Data Validation takes it for categorical features
 * (Breck et al., Data Validation for Machine Learning, MLSys 2019, section 4). null where one side is empty.
 */
export function lInfinity(reference: readonly number[], now: readonly number[]): number | null {
  if (total(reference) === 0 || total(now) === 0) return null;
  const [q, p] = [shares(reference), shares(now)];
  return Math.max(...p.map((share, i) => Math.abs(share - (q[i] ?? 0))));
}

/**
 * The Jensen-Shannon divergence ½ Σ pᵢ log₂(pᵢ/mᵢ) + ½ Σ qᵢ log₂(qᵢ/mᵢ) with m = (p + q) / 2 (Lin, Divergence measures based on the Shannon
 * entropy, IEEE Transactions on Information Theory 37(1), 1991, eq. 3.3 ff.), between 0 and 1. null where one side is empty.
 */
export function jensenShannon(reference: readonly number[], now: readonly number[]): number | null {
  if (total(reference) === 0 || total(now) === 0) return null;
  const [q, p] = [shares(reference), shares(now)];
  let sum = 0;
  for (const [i, share] of p.entries()) {
    const other = q[i] ?? 0;
    const middle = (share + other) / 2;
    if (share > 0) sum += (share * Math.log2(share / middle)) / 2;
    if (other > 0) sum += (other * Math.log2(other / middle)) / 2;
  }
  return Math.min(1, Math.max(0, sum));
}

/** A share that is never seen would make the index infinite. */
const least = 1e-4;
/**
 * The population stability index Σ (pᵢ − qᵢ) ln(pᵢ/qᵢ) with q the reference's shares and p those of now, each at least 0.0001 (Siddiqi, Credit
 * Risk Scorecards, 2006, p. 136). null where one side is empty.
 */
export function psi(reference: readonly number[], now: readonly number[]): number | null {
  if (total(reference) === 0 || total(now) === 0) return null;
  const [q, p] = [shares(reference), shares(now)];
  return p.reduce((sum, share, i) => {
    const [a, b] = [Math.max(least, share), Math.max(least, q[i] ?? 0)];
    return sum + (a - b) * Math.log(a / b);
  }, 0);
}

interface Side {
  duckdb: DuckDb;
  connection: DuckDBConnection;
  source: string;
  columns: TableColumn[];
}
/** Values that get a bin of their own; the rest share one. */
const mostValues = 50;
const shownBins = 20;

/**
 * Columns of a table beside the reference's. Numbers and times are compared by the deciles of the reference and shown in bins of equal width over
 * both; everything else by its most frequent values in the reference and a rest. A column that the reference lacks is left out.
 */
export async function compareWith(
  now: Side,
  statistics: ColumnStatistics[],
  other: OtherTable,
  wanted: (column: TableColumn) => boolean,
): Promise<ColumnComparison[]> {
  const { duckdb, connection } = now;
  const source = parquet(other.files);
  const there = { duckdb, connection, source, columns: await columnsOf(duckdb, connection, source) };
  const found: ColumnComparison[] = [];
  for (const column of now.columns) {
    const before = there.columns.find((one) => one.name === column.name);
    if (before === undefined || column.type === undefined || !wanted(column)) continue;
    const [at, was] = [place(column), place(before)];
    let compared: Compared | undefined;
    if (at === undefined && was === undefined) compared = await compareValues(now, there, column);
    else if (at !== undefined && was !== undefined && isTime(column) === isTime(before)) {
      compared = await compareNumbers(
        now,
        there,
        [at, was],
        statistics.find(({ name }) => name === column.name),
      );
    }
    if (compared === undefined) continue;
    const { distance, ...shown } = compared;
    found.push({ name: column.name, ...shown, lInfinity: lInfinity(...distance), jensenShannon: jensenShannon(...distance), psi: psi(...distance) });
  }
  return found;
}

type Compared = Pick<ColumnComparison, "edges" | "values" | "now" | "reference"> & { distance: [reference: number[], now: number[]] };

async function compareNumbers(
  now: Side,
  other: Side,
  [at, before]: readonly [string, string],
  statistics: ColumnStatistics | undefined,
): Promise<Compared | undefined> {
  const { duckdb, connection } = now;
  const grouped = (side: Side, sql: string) => `(select ${sql} as x, count(*) as n from ${side.source} group by 1)`;
  await connection.run(`create or replace temp table drift_before as from ${grouped(other, before)} where x is not null`);
  await connection.run(`create or replace temp table drift_now as from ${grouped(now, at)} where x is not null`);
  const levels = Array.from({ length: 9 }, (_, i) => `min(x) filter (where upto >= ${(i + 1) / 10} * total)`);
  const [row] = await duckdb.rows<{ deciles: (number | null)[]; low: number | null; high: number | null }>(
    `select [${levels.join(", ")}] as deciles, min(x) as low, max(x) as high
     from (select x, sum(n) over (order by x rows unbounded preceding) as upto, sum(n) over () as total from drift_before)`,
    connection,
  );
  if (row === undefined || row.low === null || row.high === null) return undefined;
  const edges = [...new Set(row.deciles.filter((one) => one !== null))];
  const ends = statistics?.histogram?.edges ?? [];
  const [low, high] = [Math.min(row.low, ends[0] ?? row.low), Math.max(row.high, ends.at(-1) ?? row.high)];
  const width = (high - low) / shownBins;
  const flat = !(width > 0) || !Number.isFinite(width);
  const shown = flat ? [low, high] : Array.from({ length: shownBins + 1 }, (_, i) => (i === shownBins ? high : low + i * width));
  const count = async (table: string): Promise<[number[], number[]]> => {
    const decile = (i: number) =>
      [...(i === 0 ? [] : [`x > ${number(edges[i - 1])}`]), ...(i === edges.length ? [] : [`x <= ${number(edges[i])}`])].join(" and ");
    const byDecile = Array.from({ length: edges.length + 1 }, (_, i) => `coalesce(sum(n) filter (where ${decile(i) || "true"}), 0)::double`);
    const bin = flat ? "0" : `greatest(0, least(${shownBins - 1}, floor((x - ${number(low)}) / ${number(width)})))::int`;
    const byBin = Array.from({ length: flat ? 1 : shownBins }, (_, i) => `coalesce(sum(n) filter (where bin = ${i}), 0)::double`);
    const [counted] = await duckdb.rows<{ d: number[]; b: number[] }>(
      `select [${byDecile.join(", ")}] as d, [${byBin.join(", ")}] as b from (select x, n, ${bin} as bin from ${table})`,
      connection,
    );
    return [counted?.d ?? [], counted?.b ?? []];
  };
  const [q, reference] = await count("drift_before");
  const [p, current] = await count("drift_now");
  await connection.run("drop table drift_before; drop table drift_now");
  return { edges: shown, now: current, reference, distance: [q, p] };
}
/** As text, so that an edge is the very number that it was. */
const number = (value: number | undefined) => `${literal(String(value))}::double`;

async function compareValues(now: Side, other: Side, column: TableColumn): Promise<Compared> {
  const { duckdb, connection } = now;
  const text = `left(${identifier(column.name)}::varchar, ${shownLength})`;
  const before = await duckdb.rows<{ v: string; n: number }>(
    `select ${text} as v, count(*)::double as n from ${other.source} where ${identifier(column.name)} is not null group by 1 order by 2 desc, 1 limit ${mostValues}`,
    connection,
  );
  const values = before.map(({ v }) => v);
  const list = values.map(literal).join(", ");
  const counted = await duckdb.rows<{ v: string | null; n: number }>(
    `select ${list === "" ? "null" : `case when ${text} in (${list}) then ${text} end`} as v, count(*)::double as n from ${now.source} where ${identifier(column.name)} is not null group by 1`,
    connection,
  );
  const [all] = await duckdb.rows<{ n: number }>(`select count(${identifier(column.name)})::double as n from ${other.source}`, connection);
  const known = new Map(counted.map(({ v, n }) => [v, n]));
  const reference = [...before.map(({ n }) => n), (all?.n ?? 0) - total(before.map(({ n }) => n))];
  const current = [...values.map((value) => known.get(value) ?? 0), known.get(null) ?? 0];
  return { values, now: current, reference, distance: [reference, current] };
}
