/** What `millrace check` found. */

/**
 * `failed`: something is broken. `refused`: all ran, and what came out is not what is asked of it. `warned`: worth a look, and nothing that stops.
 * `skipped`: not looked at; the message says why.
 */
export type State = "passed" | "failed" | "refused" | "warned" | "skipped";
export interface Case {
  /** What it belongs to: `project`, `data`, or the check's name. */
  group: string;
  name: string;
  state: State;
  ms: number;
  /** A line. */
  message?: string;
  /** What else is worth reading: errors, the last lines of a log. */
  details?: string[];
  /** `file:line` */
  place?: string;
}
export interface Series {
  key: string;
  x: number[];
  value: number[];
}
/** What a check's run gave. */
export interface CheckedPipeline {
  name: string;
  pipeline: string;
  /** Models that it registers. */
  models: string[];
  /** As the run and its training steps told them, with the last value of what was logged by step. */
  metrics: Record<string, number>;
  /** What was logged by step. */
  series: Series[];
  gates: { gate: string; passed: boolean; message: string }[];
  /** What the training on a few rows logged, where there was one. */
  overfit?: { rows: number; series: Series[] };
  steps: { id: string; state: string; ms: number | null }[];
}
export interface CheckReport {
  project: string;
  commit: string | null;
  dirty: boolean;
  startedAt: string;
  ms: number;
  cases: Case[];
  pipelines: CheckedPipeline[];
}

export const stops = (one: Case): boolean => one.state === "failed" || one.state === "refused";
export const tally = (cases: readonly Case[], state: State): number => cases.filter((one) => one.state === state).length;

/** Takes cases as they come. */
export interface Collector {
  cases: Case[];
  add(one: Case): void;
  /** Runs and times; what it throws makes the case `failed`. The answer is undefined then. */
  timed<T>(group: string, name: string, work: () => Promise<{ value: T } & Partial<Case>>): Promise<T | undefined>;
}

export function collector(told: (one: Case) => void): Collector {
  const cases: Case[] = [];
  const add = (one: Case): void => {
    cases.push(one);
    told(one);
  };
  return {
    cases,
    add,
    async timed(group, name, work) {
      const began = performance.now();
      try {
        const { value, ...more } = await work();
        add({ group, name, state: "passed", ...more, ms: performance.now() - began });
        return value;
      } catch (error) {
        const [message = "", ...details] = (error instanceof Error ? error.message : String(error)).split("\n");
        const place = /^([^\s:]+\.[cm]?[jt]sx?:\d+): /.exec(message)?.[1];
        add({
          ...{ group, name, state: "failed", ms: performance.now() - began, message },
          ...(details.length === 0 ? {} : { details }),
          ...(place === undefined ? {} : { place }),
        });
        return undefined;
      }
    },
  };
}
