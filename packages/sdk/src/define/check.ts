import type { ParamValue } from "../spec.js";
import type { Problem } from "./definition.js";
import { type Param, plain } from "./params.js";
import type { Params, PipelineDefinition } from "./pipeline.js";
import { given, here } from "./place.js";

const mark = Symbol.for("millrace.check");

/** What a number may be; both ends included. */
export interface Bounds {
  min?: number;
  max?: number;
}
/** What an output of a step must be like. That it is there, and can be read, is asked of every output. */
export interface ExpectedArtifact {
  /** Of a table. Default 1. */
  minRows?: number;
  /** Of a table: columns that it has, among others. */
  columns?: readonly string[];
  /** Of a table: columns without a null. */
  noNulls?: readonly string[];
  /** Of a model: files that it has, among others, as `model.onnx`. */
  files?: readonly string[];
  /** Of metrics, or of a report: the candidate's. */
  metrics?: Readonly<Record<string, Bounds>>;
}
/** A training step on a few rows: what can learn at all can learn these by heart. */
export interface Overfit {
  /** The step that trains, by its id in the pipeline. */
  step: string;
  /** Default 10. */
  rows?: number;
  /** What it logs of its training, and what that must come to: `{ train_loss: { max: 0.1 } }`. */
  reaches: Readonly<Record<string, Bounds>>;
  /** Params of the pipeline for this training alone, as more rounds. */
  params?: Readonly<Record<string, ParamValue>>;
}
/** How many rows of a dataset, spread evenly over the newest files. */
export type SampleSize = number | "all";

export interface CheckSpec {
  name: string;
  pipeline: string;
  params: Readonly<Record<string, ParamValue>>;
  sample: SampleSize | Readonly<Record<string, SampleSize>>;
  data: Readonly<Record<string, readonly string[]>>;
  artifacts: Readonly<Record<string, Readonly<Record<string, ExpectedArtifact>>>>;
  metrics: Readonly<Record<string, Bounds>>;
  /** Undefined: whatever is logged by step and called a loss or an error. */
  falls?: readonly string[];
  overfits?: Overfit;
  definedAt?: string;
}

/** What `millrace check` runs and expects. It is no part of the project's document: no server is told of it. */
export interface Check {
  readonly [mark]: true;
  readonly spec: CheckSpec;
  readonly pipeline: PipelineDefinition;
}
export const isCheck = (value: unknown): value is Check => typeof value === "object" && value !== null && mark in value;

type Values<P extends Params> = { readonly [K in keyof P]?: P[K] extends Param<infer _T, boolean, infer V> ? V : never };

/**
 * A pipeline on a small sample, and what must come out: `millrace check` runs it. A pipeline without one is run with its defaults.
 * `check({ run: late, sample: 1_000, artifacts: { train: { model: { files: ["model.onnx"] } } }, overfits: { step: "train", reaches: { train_loss: { max: 0.1 } } } })`
 */
export function check<P extends Params>(options: {
  run: PipelineDefinition<P>;
  /** Default the pipeline's; of several checks of one pipeline each has its own. */
  name?: string;
  params?: Values<NoInfer<P>>;
  /** Rows of each dataset, or by its name; default 2,000. */
  sample?: SampleSize | Readonly<Record<string, SampleSize>>;
  /** By dataset: files of the project to take the rows from, where it is not what the dataset watches. A file's name may hold `*`. */
  data?: Readonly<Record<string, string | readonly string[]>>;
  /** By step, then by output. */
  artifacts?: Readonly<Record<string, Readonly<Record<string, ExpectedArtifact>>>>;
  /** What the run's metrics must come to on the sample. Gates are told, and stop nothing. */
  metrics?: Readonly<Record<string, Bounds>>;
  /** Metrics that the training logs by step and that must fall. Default: all that are called a loss or an error, but those of validation. */
  falls?: readonly string[];
  overfits?: Omit<Overfit, "params"> & { params?: Values<NoInfer<P>> };
}): Check {
  const { run, overfits } = options;
  const spec: CheckSpec = given({
    name: options.name ?? run.name,
    pipeline: run.name,
    params: valuesOf(options.params),
    sample: options.sample ?? {},
    data: Object.fromEntries(Object.entries(options.data ?? {}).map(([name, files]) => [name, typeof files === "string" ? [files] : [...files]])),
    artifacts: options.artifacts ?? {},
    metrics: options.metrics ?? {},
    falls: options.falls,
    overfits: overfits === undefined ? undefined : { ...overfits, params: valuesOf(overfits.params) },
    definedAt: here(),
  });
  return { [mark]: true, spec, pipeline: run };
}

function valuesOf(params: Readonly<Record<string, string | number | boolean | readonly (string | number)[] | undefined>> = {}): Record<string, ParamValue> {
  return Object.fromEntries(
    Object.entries(params).flatMap(([name, value]): [string, ParamValue][] => {
      const one = plain(value);
      return one === undefined ? [] : [[name, one]];
    }),
  );
}

/** A check with the same name twice is one that nobody can speak of. */
export function namedTwice(checks: readonly Check[]): Problem[] {
  const seen = new Set<string>();
  return checks.flatMap(({ spec }) => {
    if (!seen.has(spec.name)) {
      seen.add(spec.name);
      return [];
    }
    return [given({ message: `the check "${spec.name}" is defined twice: give one of them a name of its own`, at: spec.definedAt })];
  });
}
