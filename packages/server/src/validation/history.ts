import type { DatasetSpec, SchemaSpec } from "@millrace/sdk/spec";

/** A table that a checked one is compared with. Its files are on this machine. */
export interface OtherTable {
  /** For people, as `flights version 3`. */
  name: string;
  files: string[];
  rows: number;
}
/** What a rule may look at beside the table. Each answers undefined where there is none. */
export interface Surroundings {
  now(): Date;
  /** A version of a dataset as a whole; the newest where none is named. */
  version?(dataset: string, version: number | undefined): Promise<OtherTable | undefined>;
  /** What the last arrivals before this table brought, the newest first. */
  arrivals?(last: number): Promise<OtherTable[]>;
  /** The dataset that the table belongs to. */
  dataset?: string;
}

/** Tables of datasets, which are built on validation. */
export interface Tables {
  /**
   * A file as Parquet, read as an arrival of the dataset, else as its name says: CSV, JSON lines, or Parquet as it is. What is made lies in the folder.
   * What can't be read is an ApiError that names the line.
   */
  asParquet(
    file: { name: string; path: string; size: number },
    as: { dataset: DatasetSpec | undefined; schema: SchemaSpec | undefined; folder: string },
  ): Promise<string>;
  /**
   * What is around a table of a dataset: arrivals before a version, or all there are, each as what it brought, or with `whole` as the dataset was
   * then. A table of no dataset has only versions to look at.
   */
  around(of: { dataset?: string | undefined; before?: number | undefined; whole?: boolean }): Omit<Surroundings, "now">;
}

export interface ValidationOptions {
  /** Only the rules of this environment, and those of all. */
  environment?: string | undefined;
  /** What the rules may look at beside the table. */
  around?: Omit<Surroundings, "now">;
  /** A digest of the files' contents, by which their statistics are kept. */
  digest?: string;
}
