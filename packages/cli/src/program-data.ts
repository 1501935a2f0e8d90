import { type Command, Option } from "commander";
import type { AddOptions, GetOptions } from "./commands/dataset.js";
import { type ServerOptions, withServer } from "./server.js";

type Json = ServerOptions & { json?: boolean };
const json = ["--json", "print JSON, for scripts"] as const;

const collect = (text: string, before: string[]): string[] => [...before, text];

/** The commands of datasets. */
export function addDatasetCommands(millrace: Command, versionNumber: (text: string) => number): Command {
  const dataset = millrace.command("dataset").description("versions of tables: what there is, what comes in, what goes out");
  const load = () => import("./commands/dataset.js");
  const which = (command: Command) =>
    withServer(command)
      .option("--version <n>", "this version; default the newest", versionNumber)
      .option("--as-of <time>", "the newest version at this moment (ISO 8601)")
      .option(...json);

  withServer(dataset.command("list"))
    .description("datasets and their newest versions")
    .option(...json)
    .action(async (options: Json) => (await load()).listDatasets(options));
  withServer(dataset.command("versions"))
    .description("the newest versions of a dataset, with where they came from")
    .argument("<dataset>")
    .option(...json)
    .action(async (name: string, options: Json) => (await load()).showVersions(name, options));
  withServer(dataset.command("add"))
    .description("make files, a folder, a prefix in S3 or the rows of a query one version")
    .argument("<dataset>")
    .argument("<source>", "a file or folder of this machine, s3://bucket/prefix/, or postgres:<connection>")
    .addOption(new Option("--mode <mode>", "in addition to the rows before, or in their place").choices(["append", "snapshot"]))
    .option("--query <sql>", "of postgres: a SELECT")
    .option("--pattern <glob>", "of s3: names of files")
    .option(...json)
    .action(async (name: string, source: string, options: AddOptions) => (await load()).addToDataset(name, source, options));
  which(dataset.command("get"))
    .description("the rows of a version: into a folder, or printed")
    .argument("<dataset>")
    .option("--to <folder>", "where the file goes")
    .option("--partition <key>", "only this partition")
    .addOption(new Option("--format <format>", "default parquet").choices(["parquet", "csv", "jsonl"]))
    .action(async (name: string, options: GetOptions) => (await load()).getDataset(name, options));
  which(dataset.command("partitions"))
    .description("the partitions of a version")
    .argument("<dataset>")
    .action(async (name: string, options: GetOptions) => (await load()).partitionsOf(name, options));
  withServer(dataset.command("diff"))
    .description("what is different between two versions: columns, rows, statistics")
    .argument("<dataset>")
    .argument("<from>", "a version", versionNumber)
    .argument("<to>", "a version", versionNumber)
    .option(...json)
    .action(async (name: string, from: number, to: number, options: Json) => (await load()).diffDataset(name, from, to, options));
  which(dataset.command("split"))
    .description("divide a version, always in the same way: by a hash of columns, so that nobody is on two sides, or by time")
    .argument("<dataset>")
    .argument("<shares...>", "as train=0.8 test=0.2; with --by time the last of it, as test=28d, and how much before, as train=365d")
    .requiredOption("--by <column>", "a column, again for each; or time", collect, [])
    .option("--group", "the columns name a group, as a customer, and not a row")
    .option("--seed <text>", "another seed gives another division")
    .action(async (name: string, shares: string[], options: GetOptions & { by: string[]; seed?: string; group?: boolean }) =>
      (await load()).splitDataset(name, shares, options),
    );
  return dataset;
}
