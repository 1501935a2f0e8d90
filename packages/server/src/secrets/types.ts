import type { Secret } from "@millrace/sdk/api";

export interface Secrets {
  /** Names alone, with when and by whom each was set. */
  list(): Promise<Secret[]>;
  set(name: string, value: string, by: string): Promise<Secret>;
  /** Throws a 404 where there is none. */
  delete(name: string): Promise<void>;
  /** For what another capability keeps itself: `of` says what it is of, and opens it again. */
  seal(of: string, value: string): Promise<Buffer>;
  /** Throws an error that says so where it was sealed with another key. */
  open(of: string, sealed: Buffer): Promise<string>;
  /** The values of those that are set. Throws an error that says so where they were sealed with another key. */
  read(names: string[]): Promise<Record<string, string>>;
}
