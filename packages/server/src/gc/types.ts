import type { Collection } from "@millrace/sdk/api";

export interface Gc {
  /** Begins to free, in the background, what was deleted longer ago than `olderThan`. Throws a 409 while another is under way, of whatever process. */
  start(options: { olderThan?: string | undefined; dryRun?: boolean | undefined }, by: string): Promise<Collection>;
  get(id: string): Promise<Collection>;
  /** Newest first. */
  list(page: { limit: number; before: number | undefined }): Promise<Collection[]>;
  /** Ends after the batch in hand; what is left is for the next one. */
  stop(): Promise<void>;
}
