import type { ColumnStatistics } from "@millrace/sdk/api";
import { identifier, literal, parquet } from "../../platform/index.js";
import { columnsOf, type Reading, type TableColumn } from "../types.js";
import { byValue } from "./by-value.js";
import { type Bounds, bySketch } from "./sketch.js";

export interface TableFacts {
  rows: number;
  columns: TableColumn[];
  statistics: ColumnStatistics[];
}

/** A column is counted value by value where it has few of them, as far as its file tells: up to here whatever its encoding is. */
const fewRows = 250_000;
/** Texts are held while they are counted. */
const mostBytes = 256 * 1024 ** 2;
/** Columns of one query: more share its overhead, and its memory. */
const together = { few: 24, many: 6, held: 8 };
/** A table with more columns than this is first taken over by so many of them: binding each query would take longer than its work. */
const wide = 200;
const mostHeld = 20_000_000;

/**
 * Statistics of every column; each is read once. A column of few values is grouped by value, and all that is known of it is exact and comes from
 * the groups, which are small beside the rows; how many there are is seen from the dictionaries of the file. The rest goes through sketches
 * (HyperLogLog, t-digest, Space-Saving), so that memory stays the same however long the table is.
 */
export async function statisticsOf(reading: Reading, files: string[], only?: (column: TableColumn) => boolean): Promise<TableFacts> {
  const { duckdb, connection } = reading;
  const source = parquet(files);
  const all = await columnsOf(duckdb, connection, source);
  const columns = only === undefined ? all : all.filter(only);
  const told = await toldByFile(reading, files);
  const rows = told.rows;
  const few = (column: TableColumn) => {
    if (column.type === undefined) return false;
    const chunk = told.columns.get(column.name);
    const bytes = chunk?.bytes ?? Number.POSITIVE_INFINITY;
    return bytes <= mostBytes && (rows <= fewRows || chunk?.dictionary === true);
  };
  const statistics = new Map<string, ColumnStatistics>();
  const take = (found: ColumnStatistics[]) => {
    for (const one of found) statistics.set(one.name, one);
  };
  const held = columns.length > wide && rows * wide <= mostHeld;
  const perQuery = held ? together.held : rows <= 1_000_000 ? together.few : together.many;
  for (const part of chunks(columns, held ? wide : perQuery)) {
    const from = held ? "statistics_part" : source;
    if (held) await connection.run(`create or replace temp table ${from} as select ${part.map(({ name }) => identifier(name)).join(", ")} from ${source}`);
    const grouped = columns.length > wide ? [] : part.filter(few);
    for (const column of grouped) take([await byValue(reading, from, column)]);
    const rest = part.filter((column) => !grouped.includes(column));
    for (const some of chunks(rest, perQuery)) take(await bySketch(reading, from, some, rows, (column) => told.columns.get(column.name)?.bounds));
  }
  await connection.run("drop table if exists statistics_part; drop table if exists value_groups");
  return {
    rows,
    columns,
    statistics: columns.map(
      ({ name, type, sqlType }) => statistics.get(name) ?? { name, type: type ?? sqlType.toLowerCase(), count: 0, nulls: rows, distinct: 0 },
    ),
  };
}

interface Told {
  rows: number;
  columns: Map<string, { dictionary: boolean; bytes: number; bounds: Bounds | undefined }>;
}
/** What the footers of Parquet files say. */
async function toldByFile({ duckdb, connection }: Reading, files: string[]): Promise<Told> {
  const list = `[${files.map(literal).join(", ")}]`;
  const [counted] = await duckdb.rows<{ n: number | null }>(`select sum(num_rows)::double as n from parquet_file_metadata(${list})`, connection);
  const chunks = await duckdb.rows<{ name: string; dictionary: boolean; bytes: number; low: number | null; high: number | null }>(
    `select path_in_schema as name, bool_and(encodings like '%DICTIONARY%' and dictionary_page_offset is not null) as dictionary,
       sum(total_uncompressed_size)::double as bytes,
       case when count(*) = count(stats_min_value) then min(coalesce(try_cast(stats_min_value as double), epoch_ms(try_cast(stats_min_value as timestamptz)))) end as low,
       case when count(*) = count(stats_max_value) then max(coalesce(try_cast(stats_max_value as double), epoch_ms(try_cast(stats_max_value as timestamptz)))) end as high
     from parquet_metadata(${list}) group by 1`,
    connection,
  );
  const bounds = (low: number | null, high: number | null) =>
    low !== null && high !== null && Number.isFinite(low) && Number.isFinite(high) ? { low, high } : undefined;
  return {
    rows: counted?.n ?? 0,
    columns: new Map(chunks.map(({ name, dictionary, bytes, low, high }) => [name, { dictionary, bytes, bounds: bounds(low, high) }])),
  };
}

function* chunks<T>(list: readonly T[], size: number): Generator<T[]> {
  for (let i = 0; i < list.length; i += size) yield list.slice(i, i + size);
}
