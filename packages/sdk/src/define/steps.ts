import { durationMs } from "../duration.js";
import type { GateSpec, Severity } from "../spec.js";
import type { Model, ModelVersion, Table } from "./artifacts.js";
import type { Column, Columns, TypesOf } from "./columns.js";
import { addNode, problem } from "./context.js";
import type { Schema } from "./data.js";
import type { DurationText } from "./definition.js";
import type { StepOptions } from "./options.js";
import { given } from "./place.js";
import type { FeatureService, FeatureTable, Report } from "./service.js";

/** Metrics of binary predictions. `auc` is better when larger, the others when smaller. */
export type MetricName = "auc" | "log_loss" | "brier" | "calibration_error";

/** Checks rows against a schema: what breaks it ends the run, with a report. With an `environment`, only its rules and those of all. */
export function validate<A extends Columns, C extends Columns>(
  rows: Table<A>,
  schema: Schema<C>,
  options: StepOptions & { environment?: string } = {},
): Table<A & C> {
  const node = addNode(
    options.name ?? `validate_${schema.name}`,
    { kind: "validate", config: given({ schema: schema.name, environment: options.environment }) },
    { rows },
    [
      ["rows", "table"],
      ["report", "report"],
    ],
    [schema],
    options,
  );
  return given({ ...node.output("rows", "table"), time: rows.time });
}

interface AsOf {
  /** `known` (default): what had been created by a row's moment. `event_time` (Feast's rule): whatever speaks of it, also what was created later. */
  asOf?: "known" | "event_time";
}
/** Joins a service's features to rows, as they were known at each row's own moment. The rows have the service's request columns. */
export function historicalFeatures<R extends Columns, F extends Columns, A extends NoInfer<R>>(
  rows: Table<A>,
  service: FeatureService<R, F>,
  options?: StepOptions & AsOf & { select?: never },
): FeatureTable<A & F>;
/**
 * As above, where a SELECT over the table `rows` first shapes the rows: it gives the request columns, and what else is to be kept, as
 * the label. Name the latter in `columns` to have the compiler check who uses it.
 */
export function historicalFeatures<R extends Columns, F extends Columns, const L extends Readonly<Record<string, Column>>>(
  rows: Table,
  service: FeatureService<R, F>,
  options: StepOptions & AsOf & { select: string; columns: L },
): FeatureTable<R & F & TypesOf<L>>;
export function historicalFeatures<R extends Columns, F extends Columns>(
  rows: Table,
  service: FeatureService<R, F>,
  options: StepOptions & AsOf & { select: string },
): FeatureTable<R & F & Columns>;
export function historicalFeatures(rows: Table, service: FeatureService, options: StepOptions & AsOf & { select?: string } = {}): FeatureTable {
  const config = given({ service: service.name, select: options.select, asOf: options.asOf });
  const node = addNode(options.name ?? "features", { kind: "historical_features", config }, { rows }, [["rows", "table"]], [service], options);
  return { ...node.output("rows", "table"), service, time: service.timestamp };
}

/** The rows before the last `test` of time, and those in it. With `train`, only that much time before. */
export function splitByTime<T extends Table>(
  rows: T,
  options: StepOptions & {
    test: DurationText;
    train?: DurationText;
    /** The column of a row's moment; default the one that the table brings. */
    timestamp?: string;
  },
): { train: T; test: T } {
  const timestamp = options.timestamp ?? rows.time;
  if (timestamp === undefined) problem('splitByTime does not know the column of a row\'s moment: say { timestamp: "…" }');
  const node = addNode(
    options.name ?? "split",
    { kind: "split_by_time", config: given({ timestamp: timestamp ?? "", test: options.test, train: options.train }) },
    { rows },
    [
      ["train", "table"],
      ["test", "table"],
    ],
    [],
    options,
  );
  return { train: { ...rows, ...node.output("train", "table") }, test: { ...rows, ...node.output("test", "table") } };
}

/** The version of a model that an alias names. */
export interface AliasRef {
  readonly model: string;
  readonly alias: string;
}
export const champion = (model: string): AliasRef => ({ model, alias: "champion" });
export const alias = (model: string, name: string): AliasRef => ({ model, alias: name });

type EvaluateOptions<C extends Columns> = StepOptions & {
  /** The column with what came true: a boolean, or 0 and 1. */
  label: keyof NoInfer<C> & string;
  /** Columns for each of whose values metrics are given too. */
  slices?: readonly (keyof NoInfer<C> & string)[];
  /** The version that is scored on the same rows. */
  against?: AliasRef;
};
/** Metrics of a model on labelled rows that it was not trained on. */
export function evaluate<C extends Columns>(model: Model, rows: FeatureTable<C>, options: EvaluateOptions<C>): Report;
/** Rows of a step of one's own: say which service's features they have. */
export function evaluate<C extends Columns, F extends Columns>(
  model: Model,
  rows: Table<C & F>,
  options: EvaluateOptions<C> & { service: FeatureService<Columns, F> },
): Report;
export function evaluate(model: Model, rows: Table | FeatureTable, options: EvaluateOptions<Columns> & { service?: FeatureService }): Report {
  const service = options.service ?? ("service" in rows ? rows.service : undefined);
  if (service === undefined) throw new TypeError("evaluate takes rows with the features of a service: those of historicalFeatures, or say { service }.");
  const { against } = options;
  const node = addNode(
    options.name ?? "evaluate",
    {
      kind: "evaluate",
      config: given({
        label: options.label,
        service: service.name,
        slices: [...(options.slices ?? [])],
        against: against === undefined ? undefined : { model: against.model, alias: against.alias },
      }),
    },
    { model, rows },
    [["report", "report"]],
    [service],
    options,
  );
  return { ...node.output("report", "report"), service, model };
}

type Predicted<C extends Columns, N extends string> = C & { readonly [K in N]: "float64" };
/**
 * What a model answers to each of many rows, as a column more: batch prediction. The model is one of this run, or `championModel("delay")`; for many rows
 * at once and a part that is done only once, `map(partitions(trips), (key) => predict(…))`.
 */
export function predict<C extends Columns, const N extends string = "prediction">(
  model: Model,
  rows: FeatureTable<C>,
  options?: StepOptions & { column?: N },
): Table<Predicted<C, N>>;
/** Rows of a step of one's own: say which service's features they have. */
export function predict<C extends Columns, F extends Columns, const N extends string = "prediction">(
  model: Model,
  rows: Table<C & F>,
  options: StepOptions & { column?: N; service: FeatureService<Columns, F> },
): Table<Predicted<C & F, N>>;
/**
 * Rows with what the model itself takes: a column for each of its inputs, by name or as `inputs` says, where several columns side by side are one matrix. Each
 * of its outputs is a column more, a list where it has several values a row.
 */
export function predict(model: Model, rows: Table, options?: StepOptions & { inputs?: Readonly<Record<string, string | readonly string[]>> }): Table;
export function predict(
  model: Model,
  rows: Table | FeatureTable,
  options: StepOptions & { column?: string; service?: FeatureService; inputs?: Readonly<Record<string, string | readonly string[]>> } = {},
): Table {
  const service = options.service ?? ("service" in rows ? rows.service : undefined);
  const inputs =
    options.inputs === undefined
      ? undefined
      : Object.fromEntries(Object.entries(options.inputs).map(([name, from]) => [name, typeof from === "string" ? from : [...from]]));
  const config = service === undefined ? given({ inputs }) : { service: service.name, column: options.column ?? "prediction" };
  const references = service === undefined ? [] : [service];
  const node = addNode(options.name ?? "predict", { kind: "predict", config }, { model, rows }, [["rows", "table"]], references, options);
  return given({ ...node.output("rows", "table"), time: rows.time });
}

/** Registers a model where every gate passes; else the run ends as `refused`, with the reasons. */
export function register(
  model: Model,
  report: Report,
  options: StepOptions & {
    /** The registered model that gets a new version. */
    name: string;
    gates: readonly GateSpec[];
    /** What the new version is at once; default `challenger`. */
    alias?: string;
  },
): ModelVersion {
  if (report.model.node !== model.node || report.model.output !== model.output) problem("the report is of another model than the one that is registered");
  const node = addNode(
    `register_${options.name}`,
    {
      kind: "register",
      config: { model: options.name, service: report.service.name, gates: [...options.gates], alias: options.alias ?? "challenger" },
    },
    { model, report },
    [["version", "model_version"]],
    [report.service],
    options,
  );
  return node.output("version", "model_version");
}

interface GateOptions {
  /** `warn` tells, and lets the model pass. Default `block`. */
  severity?: Severity;
}
/** Better than the champion by at least `by`; passes where there is no champion. */
export const better = (metric: MetricName, { by, severity }: GateOptions & { by: number }): GateSpec =>
  given({ kind: "better" as const, metric, by, severity });
/** On no slice of at least `minRows` rows (default 200) worse than the champion by more than `by`. */
export const noSliceWorse = (metric: MetricName, { by, minRows = 200, severity }: GateOptions & { by: number; minRows?: number }): GateSpec =>
  given({ kind: "no_slice_worse" as const, metric, by, minRows, severity });
export const atLeast = (metric: MetricName, value: number, { severity }: GateOptions = {}): GateSpec =>
  given({ kind: "at_least" as const, metric, value, severity });
export const atMost = (metric: MetricName, value: number, { severity }: GateOptions = {}): GateSpec =>
  given({ kind: "at_most" as const, metric, value, severity });
/** The exported model gives what the trained one gave on the sample that the training step wrote (`parity.parquet`). */
export const sameAsTrained = ({ within, severity }: GateOptions & { within: number }): GateSpec =>
  given({ kind: "same_as_trained" as const, within, severity });
/** One row through the exported model, at the 99th percentile. */
export const latency = ({ p99, severity }: GateOptions & { p99: DurationText }): GateSpec =>
  given({ kind: "latency" as const, p99Ms: durationMs(p99), severity });
