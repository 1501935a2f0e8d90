import type { SweepDetail, SweepPlots, SweepRun, SweepStart } from "@millrace/sdk/api";

export interface Sweeps {
  /** Durable when it is answered. */
  start(request: SweepStart, by: string): Promise<SweepRun>;
  get(id: string): Promise<SweepDetail>;
  /** Newest first. */
  list(query: { pipeline?: string; limit?: number; after?: string }): Promise<{ items: SweepRun[]; next?: string }>;
  plots(id: string): Promise<SweepPlots>;
  /** Trials that run go on to their ends; no other is started. */
  pause(id: string): Promise<SweepRun>;
  resume(id: string): Promise<SweepRun>;
  /** Ends its runs too. */
  cancel(id: string): Promise<SweepRun>;
  /** Begins to look after those that are under way. After all capabilities are there. */
  launch(): void;
  stop(): Promise<void>;
}
