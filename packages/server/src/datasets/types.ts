import type { DatasetVersionDetail } from "@millrace/sdk/api";
import type { StepKind } from "../pipelines/step.js";

export interface Datasets {
  stepKinds: { read_dataset: StepKind<"read_dataset">; split_by_time: StepKind<"split_by_time"> };
  /** The newest accepted version. */
  latest(name: string): Promise<DatasetVersionDetail | undefined>;
  /** Any version, quarantined ones too. Throws a 404 where there is none. */
  version(name: string, version: number): Promise<DatasetVersionDetail>;
  /** The Parquet parts of a version on this machine, in order, for DuckDB. */
  partFiles(version: Pick<DatasetVersionDetail, "parts">): Promise<{ digest: string; path: string; size: number }[]>;
}
