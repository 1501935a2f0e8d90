import type { Backfill, BackfillItem, BackfillStart } from "@millrace/sdk/api";

export interface Backfills {
  /** Durable when it is answered. */
  start(request: BackfillStart, by: string): Promise<Backfill>;
  get(id: string): Promise<Backfill>;
  /** Newest first. */
  list(query: { pipeline?: string; limit?: number; after?: string }): Promise<{ items: Backfill[]; next?: string }>;
  /** In order. */
  items(id: string, query: { state?: BackfillItem["state"]; limit?: number; after?: string }): Promise<{ items: BackfillItem[]; next?: string }>;
  /** What runs goes on to its end; nothing else is started. */
  pause(id: string): Promise<Backfill>;
  resume(id: string): Promise<Backfill>;
  /** Ends its runs too. */
  cancel(id: string): Promise<Backfill>;
  /** Does what failed or was cancelled again. */
  retry(id: string): Promise<Backfill>;
  /** Begins to look after those that are under way. After all capabilities are there. */
  launch(): void;
  stop(): Promise<void>;
}
