import type { ColumnRule, DatasetSpec, SchemaSpec, Severity } from "../spec.js";
import type { Table } from "./artifacts.js";
import type { Column, Columns, TypesOf } from "./columns.js";
import { addNode, type Input } from "./context.js";
import { type Definition, define } from "./definition.js";
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
  /** Conditions of one's own: SQL over a row that must hold for all but `maxFailing` (a share, 0 to 1) of the rows. */
  expectations?: readonly { name: string; sql: string; maxFailing?: number; severity?: Severity }[];
}): Schema<TypesOf<C>> {
  const columns = Object.fromEntries(Object.entries(options.columns).map(([name, { type, rule }]): [string, ColumnRule] => [name, { type, ...rule }]));
  const spec: SchemaSpec = given({ ...options, columns, expectations: options.expectations?.map((one) => given(one)), definedAt: here() });
  return define("schemas", spec);
}

export interface Dataset<out C extends Columns = Columns> extends Definition<"datasets"> {
  /** Only for the types. */
  readonly columns?: C;
  /** In a pipeline: its rows up to and with a month, as `2013-03`; `latest` is all there is. */
  upTo(until: ParamRef<"month"> | ValueOf<"month">): Table<C>;
}

/** Versions of a table. With a `schema`, every arrival must pass it. */
export function dataset<C extends Columns = Columns>(options: {
  name: string;
  description?: string;
  /** `append` (default): every arrival adds its rows; `snapshot`: every arrival replaces them. */
  mode?: "append" | "snapshot";
  /** A folder, relative to the project, whose files are taken once each in the order of their names. `pattern` is a glob. */
  watch?: { folder: string; pattern: string };
  /** The column that says when a row's event happened. */
  timestamp?: keyof NoInfer<C> & string;
  schema?: Schema<C>;
}): Dataset<C> {
  const spec: DatasetSpec = given({ ...options, mode: options.mode ?? "append", schema: options.schema?.name, definedAt: here() });
  const definition = define("datasets", spec, options.schema === undefined ? [] : [options.schema]);
  return {
    ...definition,
    upTo(until) {
      const input: Input = typeof until === "string" ? { literal: until } : until;
      const node = addNode(
        `read_${options.name}`,
        { kind: "read_dataset", config: { dataset: options.name } },
        { until: input },
        [["rows", "table"]],
        [definition],
      );
      return options.timestamp === undefined ? node.output("rows", "table") : { ...node.output("rows", "table"), time: options.timestamp };
    },
  };
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
