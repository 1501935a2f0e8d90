import type { Firing, Trigger } from "@millrace/sdk/api";

export interface Triggers {
  triggers(): Promise<Trigger[]>;
  /** Throws a 404 where there is none. */
  trigger(name: string): Promise<Trigger>;
  /** Newest first. */
  firings(name: string, limit: number): Promise<Firing[]>;
  /** A paused trigger starts nothing; cron moments that pass are gone, and what still holds at the end of the pause counts then. */
  setPaused(name: string, paused: boolean): Promise<Trigger>;
}
