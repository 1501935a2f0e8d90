/** The contract between those who have work for a process and the places where processes run. */
import type { Digest } from "../platform/index.js";

export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };

/** A file of the object store, and where it belongs. */
export interface JobFile {
  /** Relative, with `/`. */
  path: string;
  digest: Digest;
  size: number;
}
export type JobInput =
  /** `type` is the artifact's; `value` is what a JSON file holds, where it is known already. */
  { kind: "artifact"; type: string; files: JobFile[]; value?: JsonValue } | { kind: "list"; items: JobInput[] } | { kind: "value"; value: JsonValue };

/** One process of a step, wherever it runs. Its files come from the object store and go back there. */
export interface Job {
  /** `<run>/<step>/<attempt>`. A backend that keeps jobs finds what it has when the same id is asked for again. */
  id: string;
  /**
   * Program and arguments; no shell reads them. `{python}`, `{inputs.x}`, `{outputs.y}` and `{params.z}` are replaced where the process runs: an input is the
   * path of its one file, or of the folder of its files; a plain value is itself. `pythonCommand` gives the command of a script.
   */
  command: string[];
  /** An interpreter is wanted: that of an environment of locked requirements, where they are named. */
  python?: { requirements?: { path: string; digest: Digest } };
  /** What the working folder holds when the process begins. */
  code: { path: string; digest: Digest }[];
  inputs: Record<string, JobInput>;
  /** What it is to leave, by name: `outputPath` says where. `type` is an artifact's. */
  outputs: Record<string, { type: string }>;
  params: Record<string, JsonValue>;
  /** Beside what the machine has; secrets among them. */
  environment: Record<string, string>;
  /** Shown as `***` where the process says them. */
  secretValues: string[];
  /** What the process and all that it starts may use. `memoryBytes` is a limit; cpus and gpus are what a cluster keeps for it. */
  resources: { cpus?: number; memoryBytes?: number; gpus?: number };
  timeoutMs: number;
}

export type JobOutcome =
  | "succeeded"
  | "failed"
  | "timed_out"
  | "out_of_memory"
  | "cancelled"
  /** The machine, or what ran there, is gone: it is to be done again, and is nobody's fault. */
  | "lost";

export interface JobEnd {
  outcome: JobOutcome;
  /** null where a signal ended it, or nothing was started. */
  code: number | null;
  signal: string | null;
  /** For the person, in a line: what went wrong. Of a traceback, its last line. */
  message: string | null;
  /** The end of what it said on standard error; of standard output where there is none. */
  lastLines: string[];
  usage: { peakMemoryBytes: number | null; cpuSeconds: number | null };
  host: string;
  /** In the object store already, as new as now. Empty unless it succeeded. */
  outputs: Record<string, JobFile[]>;
}

export interface Watch {
  /** Aborted, the job ends with all that it started, as `cancelled`. */
  signal: AbortSignal;
  onLine(stream: "stdout" | "stderr" | "millrace", text: string): void;
  onProgress(progress: { done?: number; total?: number; message?: string }): void;
  onMetrics?(metrics: Record<string, number>): void;
  /** About once a second. Of the process and all that it started. */
  onUsage(usage: { memoryBytes: number; cpuSeconds: number }): void;
}

/** A place where processes run. A further one is one file that makes this, and a line in service.ts. */
export interface Backend {
  name: string;
  /** What can be told before anything is started: sentences for whoever wrote the step. */
  check(job: Job): Promise<string[]>;
  /** Resolves however the job ended; rejects only for what is wrong with the platform itself. */
  run(job: Job, watch: Watch): Promise<JobEnd>;
  stop?(): Promise<void>;
}
