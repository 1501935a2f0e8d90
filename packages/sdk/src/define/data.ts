import type { ColumnRule, DatasetSpec, FormatSpec, PartitionSpec, ReferenceSpec, RelationSpec, SchemaSpec, Severity, WatchSpec } from "../spec.js";
import type { Json, Table } from "./artifacts.js";
import type { Column, Columns, RowOf, TypesOf } from "./columns.js";
import { addNode, type Input, type ItemRef } from "./context.js";
import { type Definition, type DurationText, define } from "./definition.js";
import { type Expectation, expectationSpec } from "./expectation.js";
import type { StepOptions } from "./options.js";
import type { ParamRef, ValueOf } from "./params.js";
import { given, here } from "./place.js";

export interface Schema<out C extends Columns = Columns> extends Definition<"schemas"> {
  /** Only for the types. */
  readonly columns?: C;
}

/** What a table must look like. A table that passes it has these columns. */
export function schema<const C extends Readonly<Record<string, Column>>>(options: {
  name: string;
  columns: C;
  /** Default `warn`. */
  unexpectedColumns?: "block" | "warn" | "allow";
  minRows?: number;
  maxRows?: number;
  /** Rows against the mean of the `last` arrivals before (default 1): at most the share `within` more or less. Default severity `warn`. */
  volume?: { within: number; last?: number; severity?: Severity };
  /** The newest moment of a column is at most this old. */
  freshness?: { column: NoInfer<keyof C & string>; maxAge: DurationText; severity?: Severity };
  /** What holds between columns: `compare("dep_time", "<=", "arr_time")`, `sums(…)`, `notAllNull(…)`, `nullTogether(…)`, `uniqueTogether(…)`. */
  relations?: readonly Relation<NoInfer<keyof C & string>>[];
  /** What distributions are compared with where a column has `drift`. Default `{ last: 1 }`: the arrival before. */
  reference?: ReferenceSpec;
  /**
   * Conditions of one's own, `{ name, sql }` or `{ name, check: (row) => … }`, that must hold for all but `maxFailing` (a share, 0 to 1) of the rows.
   * A function is given rows whose types are those of the columns here; it runs apart, from a bundle of what it uses.
   */
  expectations?: readonly Expectation<NoInfer<RowOf<C>>>[];
}): Schema<TypesOf<C>> {
  const definedAt = here();
  const columns = Object.fromEntries(Object.entries(options.columns).map(([name, { type, rule }]): [string, ColumnRule] => [name, { type, ...rule }]));
  const spec: SchemaSpec = given({
    ...options,
    columns,
    volume: options.volume === undefined ? undefined : given(options.volume),
    freshness: options.freshness === undefined ? undefined : given(options.freshness),
    relations: options.relations?.map((one): RelationSpec => one),
    expectations: options.expectations?.map((one) => expectationSpec(one, definedAt)),
    definedAt,
  });
  return define("schemas", spec);
}

interface RelationOptions {
  name?: string;
  /** The largest share of rows that may break it. Default 0. */
  maxFailing?: number;
  /** Default `block`. */
  severity?: Severity;
  environments?: string[];
}
/** A relation between columns. A schema takes those that speak of its own columns. */
export type Relation<C extends string = string> = RelationSpec & {
  /** Only for the types. */
  readonly of?: readonly C[] | undefined;
};
const placed = <T extends object>(relation: T, options: RelationOptions) => given({ ...relation, ...options, definedAt: here() });

/** A row in which one of the two is null breaks nothing. */
export const compare = <L extends string, R extends string>(
  left: L,
  op: "<" | "<=" | "=" | "!=" | ">=" | ">",
  right: R,
  options: RelationOptions = {},
): Relation<L | R> => placed({ kind: "compare" as const, left, op, right }, options);
/** The columns add up to `equals`, give or take `within`. A row with a null among them breaks nothing. */
export const sums = <C extends string, E extends string>(
  of: readonly C[],
  equals: E,
  { within, ...options }: RelationOptions & { within?: number } = {},
): Relation<C | E> => placed(given({ kind: "sum" as const, of: [...of], equals, within }), options);
/** At least one of the columns has a value. */
export const notAllNull = <const C extends readonly string[]>(columns: C, options: RelationOptions = {}): Relation<C[number]> =>
  placed({ kind: "not_all_null" as const, columns: [...columns] }, options);
/** All of the columns are null, or none is. */
export const nullTogether = <const C extends readonly string[]>(columns: C, options: RelationOptions = {}): Relation<C[number]> =>
  placed({ kind: "null_together" as const, columns: [...columns] }, options);
/** No two rows have the same values in all of the columns. */
export const uniqueTogether = <const C extends readonly string[]>(columns: C, options: RelationOptions = {}): Relation<C[number]> =>
  placed({ kind: "unique" as const, columns: [...columns] }, options);

export interface Dataset<out C extends Columns = Columns> extends Definition<"datasets"> {
  /** Only for the types. */
  readonly columns?: C;
  /** In a pipeline: its rows up to and with a month, as `2013-03`; `latest` is all there is. */
  upTo(until: ParamRef<"month"> | ValueOf<"month">, options?: StepOptions): Table<C>;
  /** In a pipeline: the rows of one partition, as `map(partitions(flights), (key) => flights.partition(key))` takes them. */
  partition(key: ItemRef<string> | ParamRef<"string" | "enum" | "month"> | string, options?: StepOptions): Table<C>;
}

/** Versions of a table. With a `schema`, every arrival must pass it. */
export function dataset<C extends Columns = Columns>(options: {
  name: string;
  description?: string;
  /** `append` (default): every arrival adds its rows; `snapshot`: every arrival replaces them. */
  mode?: "append" | "snapshot";
  /** A folder, relative to the project, or a prefix in S3, whose files are taken once each in the order of their names. `pattern` is a glob. */
  watch?: WatchSpec;
  /** How files are written: `csv({ delimiter: ";" })`, `jsonl()`. Default as their names say. */
  format?: FormatSpec;
  /** The column that says when a row's event happened. */
  timestamp?: keyof NoInfer<C> & string;
  /** The time zone of times that are written without one, as `America/New_York`. Default UTC. */
  zone?: string;
  /** Columns that name a row: no null, and no two rows with the same. */
  key?: readonly (keyof NoInfer<C> & string)[];
  /** `byTime("day", { zone })`, by the timestamp, or `byKey("carrier")`: parts that can be read by themselves. */
  partition?: PartitionSpec;
  schema?: Schema<C>;
}): Dataset<C> {
  const spec: DatasetSpec = given({
    ...options,
    mode: options.mode ?? "append",
    key: options.key === undefined ? undefined : [...options.key],
    schema: options.schema?.name,
    definedAt: here(),
  });
  const definition = define("datasets", spec, options.schema === undefined ? [] : [options.schema]);
  function read(inputs: Readonly<Record<string, Input>>, step: StepOptions = {}): Table<C> {
    const wish = step.name ?? `read_${options.name}`;
    const node = addNode(wish, { kind: "read_dataset", config: { dataset: options.name } }, inputs, [["rows", "table"]], [definition], step);
    return given({ ...node.output("rows", "table"), time: options.timestamp });
  }
  return {
    ...definition,
    upTo: (until, step) => read({ until: typeof until === "string" ? { literal: until } : until }, step),
    partition: (key, step) => read({ partition: typeof key === "string" ? { literal: key } : key }, step),
  };
}

/** In a pipeline: the keys of the partitions that a dataset has, in order. */
export function partitions(dataset: Dataset, options: StepOptions = {}): Json<string[]> {
  const wish = options.name ?? `partitions_${dataset.name}`;
  return addNode(wish, { kind: "partitions", config: { dataset: dataset.name } }, {}, [["keys", "json"]], [dataset], options).output("keys", "json");
}

/** A SELECT over a dataset, which it sees as a table of the dataset's name. Its columns are not known to the compiler. */
export interface Query {
  readonly dataset: Dataset;
  readonly sql: string;
}
export const sql = (dataset: Dataset, text: string): Query => ({ dataset, sql: text });

/** What features are read from. */
export type Source<C extends Columns> = Dataset<C> | Query;
export function sourceSpec(source: Dataset | Query): { dataset: string; sql?: string } {
  return "sql" in source ? { dataset: source.dataset.name, sql: source.sql } : { dataset: source.name };
}
export const sourceDataset = (source: Dataset | Query): Dataset => ("sql" in source ? source.dataset : source);
