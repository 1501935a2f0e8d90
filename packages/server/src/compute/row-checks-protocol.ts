/** What is said between the platform, a process that checks rows, and the thread in it that runs the functions. */

export interface CheckMessage {
  kind: "check";
  /** Parquet files of one table, in order. */
  files: string[];
  /** Those that are read of it; one that the table lacks is null in every row. */
  columns: string[];
  /** A row with a null in one of these is not given to a function that reads it. */
  certain: string[];
  /** `bundle` is a file that exports the function as `check`. Without `columns` it reads all. */
  functions: { bundle: string; columns?: string[] | undefined }[];
  /** How many failing rows are told of each. */
  examples: number;
  limits: CheckLimits;
}
export interface CheckLimits {
  /** For one row, or for loading a module. */
  rowMs: number;
  totalMs: number;
  heapMb: number;
  /** Of the process, with what is beside the heap. */
  processMb: number;
}

/** What came of a function. Rows are counted from 1. */
export type FunctionOutcome =
  | { failing: number; examples: Record<string, string | number | boolean | null>[] }
  /** It could not go on; `problem` goes on after "it". */
  | { problem: string; row: number | null };

/** The thread is gone: what it was at, by number, where it is known. `row` is null while a module is loaded; `fn` is null while rows are read. */
export interface LostCheck {
  fn: number | null;
  row: number | null;
  why: "slow" | "late" | "memory" | "exit" | "crash";
  message?: string;
}
export type CheckAnswer =
  | { kind: "at"; fn: number | null; row: number | null }
  | { kind: "checked"; outcomes: FunctionOutcome[]; memoryBytes: number }
  | { kind: "lost"; lost: LostCheck };

/** What the thread is given. `at` is shared: the number of the function, and of the row before the one that it is called for; -1 is none. */
export interface CheckThread extends Omit<CheckMessage, "kind" | "limits"> {
  at: Float64Array;
}
/** `crash`: something threw that nobody waits for. */
export type ThreadAnswer = { outcomes: FunctionOutcome[] } | { crash: string };
