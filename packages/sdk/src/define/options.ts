import type { NodeSpec, ProcessNode, RetrySpec } from "../spec.js";
import type { List, Output } from "./artifacts.js";
import type { DurationText } from "./definition.js";
import { given } from "./place.js";

export interface Retries {
  /** Attempts after the first one. */
  times: number;
  /** The pause before the second attempt; default `1s`. Each further one is `factor` (default 2) times as long, at most `longest` (default `5m`). */
  wait?: DurationText;
  factor?: number;
  longest?: DurationText;
  /** Only after these; default all of them. */
  on?: readonly ("error" | "timeout" | "out_of_memory")[];
}

/** Of any step. */
export interface StepOptions {
  /** The step's name in the run; default what it does. */
  name?: string;
  /** Whether outputs of an earlier run are used again where nothing changed: always (the default), never, or for so long after they were made. */
  cache?: boolean | { for: DurationText };
  /** Attempts after the first one, or more precisely when. */
  retries?: number | Retries;
  /** Of one attempt. */
  timeout?: DurationText;
  /** Steps that must have ended well before, though nothing is taken from them. */
  after?: Output | List | readonly (Output | List)[];
}

/** Of a step that is a process: Python, a command, TypeScript. */
export interface ProcessOptions extends StepOptions {
  /** What it needs and may use. What uses more memory is ended, and says so. */
  resources?: { cpus?: number; memory?: `${bigint}${"MiB" | "GiB"}`; gpus?: number };
  /** `local` (the default), `ray`, `kubernetes`. */
  backend?: string;
  /** Names of secrets, given to it as environment variables. */
  secrets?: readonly string[];
  /** Of all steps with this name, of any run, so many run at a time. */
  group?: { name: string; limit: number };
  /** Files of the project that its outcome depends on, beside the script and what it imports: `["config/*.yaml"]`. */
  files?: readonly string[];
}

type NodeOptions = Partial<Pick<NodeSpec, "cache" | "retries" | "timeout" | "after">>;
export function nodeOptions(options: StepOptions): NodeOptions {
  const { cache, retries, timeout, after } = options;
  const before = after === undefined ? [] : "node" in after ? [after] : after;
  return given({
    cache: typeof cache === "object" ? { for: cache.for } : cache,
    retries: retries === undefined || retries === 0 ? undefined : retrySpec(retries),
    timeout,
    after: before.length === 0 ? undefined : [...new Set(before.map((one) => one.node))],
  });
}
const retrySpec = (retries: number | Retries): RetrySpec =>
  typeof retries === "number" ? { times: retries } : given({ ...retries, on: retries.on === undefined ? undefined : [...retries.on] });

export type ProcessFields = Partial<Pick<ProcessNode, "resources" | "backend" | "secrets" | "group" | "code" | "takes">>;
export function processFields({ resources, backend, secrets, group, files }: ProcessOptions): ProcessFields {
  return given({
    resources: resources === undefined ? undefined : given(resources),
    backend,
    secrets: secrets === undefined || secrets.length === 0 ? undefined : [...secrets],
    group,
    // Patterns, until whoever knows the project's folder puts the files in their place.
    code: files === undefined || files.length === 0 ? undefined : [...files],
  });
}
