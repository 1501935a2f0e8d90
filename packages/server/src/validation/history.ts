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
