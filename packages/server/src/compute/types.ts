/** What compute offers, and what it is given. */
import type { Backend } from "./backend.js";
import type { CheckRows } from "./row-checks.js";

/** A Python that can run steps. */
export interface Interpreter {
  /** The path of its executable. */
  path: string;
  /** `3.12`: what decides whether an environment can be used again. */
  version: string;
}

/** Of work that takes a while. */
export interface Progress {
  signal: AbortSignal;
  onLine(text: string): void;
}

export interface Compute {
  /** By its name; `local` without one. Throws an error that says which there are. */
  backend(name?: string): Backend;
  /** The names of those that are set up here. */
  backends: string[];
  /** Functions of bundles over the rows of a table. */
  checkRows: CheckRows;
  stop(): Promise<void>;
  /** Python 3.10 or newer of this machine, or the one of exactly this version, as `3.11`. Throws an error that says what to install. */
  python(version?: string): Promise<Interpreter>;
  /**
   * The Python of an environment with exactly what the locked requirements (with hashes) name, made where it is not there yet; of the version that is named,
   * or of the one that steps have.
   */
  environment(requirements: { file: string; digest: string }, progress: Progress, version?: string): Promise<Interpreter>;
  /** Of requirements, as pip takes them, and constraints on them: the newest versions that fit this Python and this kind of machine, with hashes. */
  lock(wanted: { requirements: string; constraints: string }, progress: Progress, version: string): Promise<string>;
}
