/** What a dataset may say of its files and parts, and the steps that write and divide rows. */
import type { FormatSpec, PartitionSpec } from "../spec.js";
import type { Json, Table } from "./artifacts.js";
import type { Columns } from "./columns.js";
import { addNode, problem } from "./context.js";
import type { Dataset } from "./data.js";
import type { StepOptions } from "./options.js";
import { given } from "./place.js";

type CsvOptions = Omit<Extract<FormatSpec, { kind: "csv" }>, "kind">;
export const csv = (options: CsvOptions = {}): FormatSpec => ({ kind: "csv", ...options });
export const jsonl = (): FormatSpec => ({ kind: "jsonl" });
export const parquet = (): FormatSpec => ({ kind: "parquet" });

/** In parts of an hour, a day or a month of a time zone (default UTC). */
export const byTime = (each: "hour" | "day" | "month", { zone }: { zone?: string } = {}): PartitionSpec => given({ by: "time" as const, each, zone });
/** A part for each combination of values. */
export const byKey = (...columns: string[]): PartitionSpec => ({ by: "key", columns });

/** Makes rows a version of a dataset. A run's step writes one version, also when it is done again. Its schema is checked as that of any arrival. */
export function writeDataset<C extends Columns>(
  rows: Table<C>,
  dataset: Dataset<C>,
  options: StepOptions & { /** Default as the dataset is defined. */ mode?: "append" | "snapshot" } = {},
): { rows: Table<C>; version: Json } {
  const node = addNode(
    options.name ?? `write_${dataset.name}`,
    { kind: "write_dataset", config: given({ dataset: dataset.name, mode: options.mode }) },
    { rows },
    [
      ["rows", "table"],
      ["version", "json"],
    ],
    [dataset],
    options,
  );
  return { rows: given({ ...node.output("rows", "table"), time: rows.time }), version: node.output("version", "json") };
}

type Shares = Readonly<Record<string, number>>;
type SplitOptions<S extends Shares> = StepOptions & {
  /** By name, adding up to 1: `{ train: 0.8, test: 0.2 }`. */
  shares: S;
  /** Another seed gives another division. */
  seed?: string;
};
/** Rows with the same values in the columns, as those of one customer, are all on one side. */
export function splitByGroup<T extends Table, const S extends Shares>(
  rows: T,
  options: SplitOptions<S> & { columns: readonly string[] },
): { [K in keyof S]: T } {
  return split("split_by_group", rows, options, options.columns);
}
/** A row's side depends on its key alone: it stays where it is when other rows come or go. */
export function splitByHash<T extends Table, const S extends Shares>(rows: T, options: SplitOptions<S> & { key: readonly string[] }): { [K in keyof S]: T } {
  return split("split_by_hash", rows, options, options.key);
}

function split<T extends Table, S extends Shares>(
  kind: "split_by_group" | "split_by_hash",
  rows: T,
  options: SplitOptions<S>,
  columns: readonly string[],
): { [K in keyof S]: T } {
  const shares = Object.entries(options.shares).map(([name, share]) => ({ name, share }));
  const sum = shares.reduce((all, { share }) => all + share, 0);
  if (Math.abs(sum - 1) > 1e-9) problem(`the shares of a split add up to ${sum}: they must add up to 1`);
  if (columns.length === 0) problem("a split needs the columns that it goes by");
  const config = given({ columns: [...columns], shares, seed: options.seed });
  const outputs = shares.map(({ name }) => [name, "table"] as const);
  const node = addNode(options.name ?? "split", { kind, config }, { rows }, outputs, [], options);
  return Object.fromEntries(shares.map(({ name }) => [name, { ...rows, ...node.output(name, "table") }])) as { [K in keyof S]: T };
}
