import type { DatasetVersionDetail } from "@millrace/sdk/api";
import type { DatasetSpec } from "@millrace/sdk/spec";
import type { StepKind } from "../pipelines/step.js";

export type PushedRow = Readonly<Record<string, unknown>>;
/** Looks at the rows before they are kept, and throws a 400 where they do not fit. What is answered is asked to take them once they are durable in the dataset. */
export type TakeOnline = (dataset: DatasetSpec, rows: readonly PushedRow[]) => Promise<{ views: string[]; take: () => Promise<void> }>;

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
  /** Who takes pushed rows whose sender wants them online at once. */
  onlineBy(take: TakeOnline): void;
  /** The Parquet parts of a version on this machine, in order, for DuckDB. */
  partFiles(version: Pick<DatasetVersionDetail, "parts">): Promise<{ digest: string; path: string; size: number }[]>;
}
