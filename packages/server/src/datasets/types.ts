import type { DatasetVersionDetail } from "@millrace/sdk/api";
import type { StepKind } from "../pipelines/step.js";

export interface Datasets {
  stepKinds: {
    read_dataset: StepKind<"read_dataset">;
    partitions: StepKind<"partitions">;
    write_dataset: StepKind<"write_dataset">;
    split_by_time: StepKind<"split_by_time">;
    split_by_group: StepKind<"split_by_group">;
    split_by_hash: StepKind<"split_by_hash">;
  };
  /** The newest accepted version. */
  latest(name: string): Promise<DatasetVersionDetail | undefined>;
  /** Any version, quarantined ones too. Throws a 404 where there is none. */
  version(name: string, version: number): Promise<DatasetVersionDetail>;
  /** The parts that a version brought. Throws a 404 where there is none. */
  added(name: string, version: number): Promise<Pick<DatasetVersionDetail, "parts">>;
  /** The Parquet parts of a version on this machine, in order, for DuckDB. */
  partFiles(version: Pick<DatasetVersionDetail, "parts">): Promise<{ digest: string; path: string; size: number }[]>;
}
