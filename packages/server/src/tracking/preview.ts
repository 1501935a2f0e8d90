/** The first rows of a table among the artifacts. */
import type { ArtifactRows } from "@millrace/sdk/api";
import { invalidValue } from "../mlflow/index.js";
import { type Digest, firstRows, type Platform } from "../platform/index.js";
import type { Artifacts } from "./artifacts.js";

/** Throws a 404 where there is no such file, and a 400 where it is no Parquet file. */
export const createPreview =
  (platform: Pick<Platform, "duckdb" | "objects">, artifacts: Pick<Artifacts, "find">) =>
  async (path: string): Promise<ArtifactRows> => {
    const file = await artifacts.find(path);
    if (!/\.parquet$/i.test(path)) throw invalidValue(`'${path.slice(0, 200)}' is no Parquet file: of other files the bytes can be read.`);
    const rows = await firstRows(platform, { digest: file.digest as Digest, size: file.size });
    if (rows === undefined) throw invalidValue(`'${path.slice(0, 200)}' can't be read as a Parquet file.`);
    return rows;
  };
