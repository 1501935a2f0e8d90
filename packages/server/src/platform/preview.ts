/** The first rows of a Parquet file among the objects. */
import type { DuckDb } from "./duckdb.js";
import { ApiError } from "./errors.js";
import type { Digest, ObjectStore } from "./objects/index.js";
import { identifier, literal, parquet } from "./sql.js";

/** Larger files are not read for a look: what is remote would be fetched whole. */
const largestFile = 256 * 1024 * 1024;
const most = { rows: 200, columns: 200, characters: 300 };
const waitMs = 10_000;

interface FirstRows {
  columns: { name: string; type: string }[];
  /** Each value as a text, cut where it is long. */
  rows: (string | null)[][];
  total: number;
}

/** Undefined where it can't be read as a Parquet file. Throws a 413 where it is too large for a look. */
export async function firstRows(
  { duckdb, objects }: { duckdb: DuckDb; objects: ObjectStore },
  file: { digest: Digest; size: number },
): Promise<FirstRows | undefined> {
  if (file.size > largestFile) throw new ApiError(413, "TOO_LARGE", `The file has more than ${largestFile / 1024 ** 2} MiB: download it to read it.`);
  const local = await objects.localPath(file.digest);
  return duckdb.use(async (connection) => {
    const timer = setTimeout(() => connection.interrupt(), waitMs);
    try {
      const [{ total } = { total: 0 }] = await duckdb.rows<{ total: number }>(
        `select sum(num_rows)::double as total from parquet_file_metadata(${literal(local)})`,
        connection,
      );
      const described = await duckdb.rows<{ column_name: string; column_type: string }>(`describe select * from ${parquet([local])}`, connection);
      const shown = described.slice(0, most.columns);
      const cells = shown.map(({ column_name: name }) => `left(${identifier(name)}::varchar, ${most.characters})`);
      const rows = await duckdb.rows<{ cells: (string | null)[] }>(
        `select [${cells.join(", ")}] as cells from ${parquet([local])} limit ${most.rows}`,
        connection,
      );
      return { columns: shown.map((one) => ({ name: one.column_name, type: one.column_type })), rows: rows.map((row) => row.cells), total };
    } catch {
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  });
}
