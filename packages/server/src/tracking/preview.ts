/** The first rows of a table among the artifacts. */
import type { ArtifactRows } from "@millrace/sdk/api";
import { invalidValue } from "../mlflow/index.js";
import { ApiError, type Digest, identifier, literal, type Platform, parquet } from "../platform/index.js";
import type { Artifacts } from "./artifacts.js";

/** Larger files are not read for a look: what is remote would be fetched whole. */
const largestFile = 256 * 1024 * 1024;
const most = { rows: 200, columns: 200, characters: 300 };
const waitMs = 10_000;

/** Throws a 404 where there is no such file, and a 400 where it is no Parquet file. */
export const createPreview =
  ({ duckdb, objects }: Pick<Platform, "duckdb" | "objects">, artifacts: Pick<Artifacts, "find">) =>
  async (path: string): Promise<ArtifactRows> => {
    const file = await artifacts.find(path);
    if (!/\.parquet$/i.test(path)) throw invalidValue(`'${path.slice(0, 200)}' is no Parquet file: of other files the bytes can be read.`);
    if (file.size > largestFile) throw new ApiError(413, "TOO_LARGE", `The file has more than ${largestFile / 1024 ** 2} MiB: download it to read it.`);
    const local = await objects.localPath(file.digest as Digest);
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
        throw invalidValue(`'${path.slice(0, 200)}' can't be read as a Parquet file.`);
      } finally {
        clearTimeout(timer);
      }
    });
  };
