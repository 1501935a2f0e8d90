import path from "node:path";
import type { DatasetPart, DatasetPartition } from "@millrace/sdk/api";
import type { DatasetSpec } from "@millrace/sdk/spec";
import { type DuckDb, identifier, literal, parquet } from "../platform/index.js";
import { describe, type Table } from "./formats/convert.js";
import { ContentError } from "./formats/types.js";

/** So that a mistake, as a key that is different in each row, makes no million of files. */
const mostPartitions = 5_000;

export interface PartitionedTable extends Table {
  partition: string | null;
}

/** Divides a table by the dataset's partitions; rows keep their order. */
export async function divide(duckdb: DuckDb, table: Table, dataset: DatasetSpec, folder: string): Promise<PartitionedTable[]> {
  if (dataset.partition === undefined) return [{ ...table, partition: null }];
  return duckdb.use(async (connection) => {
    const key = keySql(dataset, table);
    const source = parquet([table.path]);
    const counted = await duckdb.rows<{ key: string }>(`select ${key} as key from ${source} group by 1 order by 1 limit ${mostPartitions + 1}`, connection);
    if (counted.length > mostPartitions) {
      throw new ContentError(`${table.name} would be divided into more than ${mostPartitions} partitions. Choose a coarser partition for "${dataset.name}".`);
    }
    if (counted.length <= 1) return [{ ...table, partition: counted[0]?.key ?? null }];
    // Sorted once, each partition is a stretch of the file, and the others are passed over by their statistics.
    const sorted = path.join(folder, `${path.basename(table.path, ".parquet")}-sorted.parquet`);
    const [own, place] = ["__millrace_partition", "__millrace_place"];
    const numbered = `select *, file_row_number as ${place} from read_parquet(${literal(table.path)}, file_row_number = true)`;
    await connection.run(
      `copy (select * exclude (file_row_number, ${place}), ${key} as ${own} from (${numbered}) order by ${own}, ${place})
       to ${literal(sorted)} (format parquet, row_group_size 20480)`,
    );
    const divided: PartitionedTable[] = [];
    for (const [i, { key: partition }] of counted.entries()) {
      const target = path.join(folder, `${path.basename(table.path, ".parquet")}-${i}.parquet`);
      await connection.run(
        `copy (select * exclude (${own}) from ${parquet([sorted])} where ${own} = ${literal(partition)}) to ${literal(target)} (format parquet, compression zstd)`,
      );
      divided.push({ ...table, path: target, asItCame: false, columns: await describe({ duckdb, connection }, target), partition });
    }
    return divided;
  });
}

/** The key of a row's partition, as text; never null. */
function keySql(dataset: DatasetSpec, table: Table): string {
  const { partition } = dataset;
  const need = (column: string, what: string) => {
    if (!table.columns.some(({ name }) => name.toLowerCase() === column.toLowerCase()))
      throw new ContentError(`${table.name} has no column "${column}", ${what}.`);
    return identifier(column);
  };
  if (partition?.by === "time") {
    const time = `${need(dataset.timestamp ?? "", "the dataset's timestamp, by which it is partitioned")}::timestamptz`;
    const form = { hour: "%Y-%m-%dT%H", day: "%Y-%m-%d", month: "%Y-%m" }[partition.each];
    return `coalesce(strftime(timezone(${literal(partition.zone ?? "UTC")}, ${time}), ${literal(form)}), 'none')`;
  }
  const columns = partition?.by === "key" ? partition.columns : [];
  const pairs = columns.map((column) => {
    const name = need(column, "by which the dataset is partitioned");
    return `coalesce(${literal(`${column}=`)} || url_encode(${name}::varchar), ${literal(`${column}:none`)})`;
  });
  return pairs.join(" || '/' || ");
}

/** The partitions that parts belong to, in the order of their keys. */
export function partitionsOf(parts: readonly DatasetPart[]): DatasetPartition[] {
  const found = new Map<string, DatasetPartition>();
  for (const part of parts) {
    if (part.partition === null) continue;
    const before = found.get(part.partition) ?? { key: part.partition, rows: 0, bytes: 0, parts: 0, from: null, to: null };
    found.set(part.partition, {
      key: part.partition,
      rows: before.rows + part.rows,
      bytes: before.bytes + part.bytes,
      parts: before.parts + 1,
      from: before.from === null || (part.from !== null && part.from < before.from) ? part.from : before.from,
      to: before.to === null || (part.to !== null && part.to > before.to) ? part.to : before.to,
    });
  }
  return [...found.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}
