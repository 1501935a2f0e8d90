import { Command, InvalidArgumentError, Option } from "commander";
import type { CheckOptions } from "./commands/check.js";
import type { GcOptions } from "./commands/gc.js";
import type { ImportOptions } from "./commands/import.js";
import type { RenderOptions } from "./commands/render.js";
import type { KserveOptions } from "./commands/render-kserve.js";
import type { ServeOptions } from "./commands/serve.js";
import type { UpOptions } from "./commands/up.js";
import type { AddUserOptions } from "./commands/user.js";
import type { ValidateOptions } from "./commands/validate.js";
import { addDatasetCommands } from "./program-data.js";
import { addDeliveryCommands } from "./program-delivery.js";
import { addEndpointCommands } from "./program-endpoints.js";
import { addPredictionCommands } from "./program-predictions.js";
import { addRunCommands } from "./program-runs.js";
import { addWorkCommands } from "./program-work.js";
import { type ServerOptions, withServer } from "./server.js";

type Json = ServerOptions & { json?: boolean };
const json = ["--json", "print JSON, for scripts"] as const;

/** The commands and their options. What a command does is loaded when it is called, so that `--help` answers at once. */
export function program(): Command {
  const millrace = new Command("millrace")
    .description("From raw data to a watched prediction service, and round again.")
    .version("0.1.0")
    .enablePositionalOptions()
    .showHelpAfterError("(add --help for what there is)")
    .exitOverride()
    .addHelpText("after", "\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 a gate refused the model, 4 cancelled.");

  millrace
    .command("up")
    .description("start the platform: server, database and console in one process")
    .option("--port <port>", "port to listen on; 0 takes a free one", portNumber, 4600)
    .option("--grpc-port <port>", "port of the Open Inference Protocol over gRPC; without it there is none", portNumber)
    .option("--host <host>", "address to listen on", "127.0.0.1")
    .option("--workers <n>", "processes that answer requests, on one port", processes, 1)
    .option("--data-dir <folder>", "where data is kept", "./millrace-data")
    .option("--replay-from <time>", "run on a replayed clock that begins at this time (ISO 8601)", moment)
    .addOption(new Option("--log-level <level>", "what the log on standard error tells").choices(["error", "warn", "info", "debug"]).default("warn"))
    .addHelpText(
      "after",
      "\nWith DATABASE_URL set, that PostgreSQL is used in place of the embedded one;\nwith MILLRACE_OBJECTS=s3://bucket/prefix, that bucket in place of a folder (docs/operations.md).",
    )
    .action(async (options: UpOptions) => {
      await (await import("./commands/up.js")).up(options);
    });

  millrace
    .command("serve")
    .description(
      "answer requests for a server, on this machine or another: shares its PostgreSQL (DATABASE_URL) and object store (MILLRACE_OBJECTS or --data-dir)",
    )
    .option("--port <port>", "port to listen on; 0 takes a free one", portNumber, 4600)
    .option("--grpc-port <port>", "port of the Open Inference Protocol over gRPC; without it there is none", portNumber)
    .option("--host <host>", "address to listen on", "127.0.0.1")
    .option("--workers <n>", "processes that answer requests, on one port", processes, 1)
    .option("--data-dir <folder>", "where work and caches are kept", "./millrace-data")
    .addOption(new Option("--log-level <level>", "what the log on standard error tells").choices(["error", "warn", "info", "debug"]).default("warn"))
    .action(async (options: ServeOptions) => (await import("./commands/serve.js")).serve(options));

  millrace
    .command("init")
    .description("make a new project folder: a small one that type-checks and runs")
    .argument("<folder>")
    .action(async (folder: string) => (await import("./commands/init.js")).init(folder));

  millrace
    .command("check")
    .description("what CI asks of a project: types, definitions, unit tests, and its pipelines on a small sample; needs no server")
    .argument("[folder]", "the project's folder, with its millrace.ts", ".")
    .option("--junit <file.xml>", "write the results as JUnit XML too")
    .option("--markdown <file.md>", "write a report for a pull request too, with metrics and curves")
    .option("--against <url|report.json>", "in the report, beside the metrics those of a server's champions, or of what --json printed before")
    .option("--token <token>", "an access token of that server (MILLRACE_TOKEN)")
    .option(
      "--only <name>",
      "this check or pipeline alone, without types and unit tests; again for each",
      (name: string, before: string[]) => [...before, name],
      [],
    )
    .option(...json)
    .addHelpText(
      "after",
      "\nEnds with 1 where something is broken, with 3 where all ran and what came out is not what is asked of it.\ndocs/delivery.md says what is checked, and how a project says what it expects.",
    )
    .action(async (folder: string, options: CheckOptions) => (await import("./commands/check.js")).check(folder, options));

  withServer(millrace.command("apply"))
    .description("show what a project's definitions would change, and change it")
    .argument("[folder]", "the project's folder, with its millrace.ts", ".")
    .option("--dry-run", "only show what would change")
    .option("--no-wait", "do not wait, for a minute at most, until the files that lie in watched folders are taken in")
    .option(...json)
    .action(async (folder: string, options: Json & { dryRun?: boolean; wait: boolean }) => (await import("./commands/apply.js")).apply(folder, options));

  addRunCommands(millrace);

  withServer(millrace.command("status"))
    .description("the loop at a glance: data, pipelines, endpoints, monitors, triggers")
    .option(...json)
    .action(async (options: Json) => (await import("./commands/status.js")).status(options));

  addPredictionCommands(millrace);

  withServer(millrace.command("lineage"))
    .description("what something was made from, down to files and commit, and what was made of it")
    .argument("<id>", "the id of a prediction, or kind/id: model_version/delay/3, run/<id>, logged_model/<id>, dataset/<digest>, dataset_version/flights/3")
    .option(...json)
    .action(async (id: string, options: Json) => (await import("./commands/lineage.js")).lineage(id, options));

  const schema = millrace.command("schema").description("what a table looks like");
  withServer(schema.command("infer"))
    .description("make a schema of a file (Parquet, CSV, JSON lines) or a dataset as TypeScript, to be reviewed and kept in the project")
    .argument("<file|dataset[@version]>")
    .option("--name <name>", "the schema's name; default that of the file or the dataset")
    .option("--write <file.ts>", "write it there, where no file is yet")
    .option(...json)
    .action(async (what: string, options: Json & { name?: string; write?: string }) => (await import("./commands/schema.js")).inferSchema(what, options));

  withServer(millrace.command("validate"))
    .description("check a file (Parquet, CSV, JSON lines) or a version of a dataset against a schema: the project's in this folder, else the server's")
    .argument("<schema>", "its name")
    .argument("<file|dataset[@version]>")
    .option("--environment <name>", "only the rules of this environment and those of all, as training")
    .option("--dataset <name>", "check a file as the next arrival of this dataset: with its volume, and drift from what came before")
    .option("--project <folder>", "whose files define the schema, applied or not; default this folder, where it is a project's")
    .addOption(new Option("--applied", "the schema as the server has it").conflicts("project"))
    .option("--whole", "check a dataset as of the version, not only what the version added")
    .option("--junit <file.xml>", "write the report as JUnit XML too, for CI")
    .option(...json)
    .addHelpText("after", "\nEnds with 3 where something blocks.")
    .action(async (name: string, what: string, options: ValidateOptions) => (await import("./commands/validate.js")).validate(name, what, options));

  const dataset = addDatasetCommands(millrace, versionNumber);
  const quarantine = millrace.command("quarantine").description("versions of datasets that validation refused");
  withServer(quarantine.command("list"))
    .description("what waits for a decision")
    .argument("[dataset]")
    .option("--all", "what was decided too")
    .option(...json)
    .action(async (dataset: string | undefined, options: Json & { all?: boolean }) =>
      (await import("./commands/quarantine.js")).listQuarantine(dataset, options),
    );
  withServer(quarantine.command("show"))
    .description("why a version was refused, and what was decided")
    .argument("<dataset>")
    .argument("<version>", "its number", versionNumber)
    .option(...json)
    .action(async (dataset: string, version: number, options: Json) => (await import("./commands/quarantine.js")).showQuarantine(dataset, version, options));
  for (const act of ["accept", "reject"] as const) {
    withServer(quarantine.command(act))
      .description(act === "accept" ? "make a new version of what was refused" : "decide that it stays refused")
      .argument("<dataset>")
      .argument("<version>", "its number", versionNumber)
      .requiredOption("--reason <text>", "why; it is kept with the version")
      .option(...json)
      .action(async (dataset: string, version: number, options: Json & { reason: string }) =>
        (await import("./commands/quarantine.js")).decide(act, dataset, version, options),
      );
  }

  const from = millrace.command("import").description("bring what is elsewhere to the platform");
  withServer(from.command("mlflow"))
    .description("bring experiments, runs, models, versions and files from MLflow, with their ids")
    .argument("<source>", "a SQLite file, a postgresql:// address of its database, or the http:// address of a running server")
    .option("--artifacts <folder>", "where its files are, if not where the database says; as the server's --artifacts-destination")
    .option("--no-artifacts", "leave the files out")
    .option("--dry-run", "only say what there is to bring")
    .option(...json)
    .addHelpText("after", "\nNothing is changed at the source. Interrupted or repeated, it goes on where it was and brings nothing twice.")
    .action(async (source: string, options: ImportOptions) => (await import("./commands/import.js")).importMlflow(source, options));

  withServer(from.command("folder"))
    .description("bring what `millrace export` wrote")
    .argument("<folder>")
    .option("--no-artifacts", "leave the files out")
    .option("--dry-run", "only say what there is to bring")
    .option(...json)
    .action(async (folder: string, options: ImportOptions) => (await import("./commands/import.js")).importFolder(folder, options));

  withServer(millrace.command("export"))
    .description("write all of tracking and the registry into a folder: tables as Parquet, and the files")
    .argument("<folder>", "an empty or new one; that of an interrupted export is completed")
    .option(...json)
    .action(async (folder: string, options: Json) => (await import("./commands/export.js")).exportAll(folder, options));

  withServer(millrace.command("gc"))
    .description("free for good what was deleted: experiments, runs, logged models, and files that nobody refers to any more")
    .option("--older-than <age>", "only what was deleted longer ago, as 30d or 12h; default what the server is set to, 30d if not", age)
    .option("--dry-run", "only say what would be freed")
    .option(...json)
    .action(async (options: GcOptions) => (await import("./commands/gc.js")).gc(options));

  const features = millrace.command("features").description("features offline and online: what there is, whether it is the same, and what is read");
  withServer(features.command("list"))
    .description("feature views and services, whose they are and who uses them")
    .option("-s, --search <text>", "only those with this in a name, an owner, a tag, an entity or where they are used")
    .option(...json)
    .action(async (options: Json & { search?: string }) => (await import("./commands/features.js")).listFeatures(options));
  withServer(features.command("materialize"))
    .description("bring what a view's dataset holds online now")
    .argument("<view>")
    .option(...json)
    .action(async (view: string, options: Json) => (await import("./commands/features.js")).materialize(view, options));
  withServer(features.command("online"))
    .description("read a service's features for rows of its request")
    .argument("<service>")
    .requiredOption("--json <rows>", "a row as a JSON object, or rows as an array of them")
    .action(async (service: string, { json: row, ...options }: ServerOptions & { json: string }) =>
      (await import("./commands/features.js")).onlineFeatures(service, { ...options, row }),
    );
  withServer(features.command("check"))
    .description("compare features logged at prediction with the offline ones: training-serving skew by feature")
    .argument("<service>")
    .requiredOption("--endpoint <name>", "whose predictions")
    .option("--sample <n>", "how many of them", sampleSize, 1_000)
    .option("--from <time>", "predictions from this time on", moment)
    .option("--to <time>", "predictions before this time", moment)
    .option("--allow <share>", "the share of rows, 0 to 1, in which a feature may differ; else the exit code is 1", share, 0)
    .option(...json)
    .action(async (service: string, options: Json & { endpoint: string; sample: number; from?: Date; to?: Date; allow: number }) =>
      (await import("./commands/features.js")).checkFeatures(service, options),
    );

  const model = millrace.command("model").description("registered models");
  withServer(model.command("card"))
    .description("all that is known of a version, in one page: data, metrics, slices, gates, approvals, and what its project declares")
    .argument("<model>", "as delay, which is its champion, delay/3 or delay@challenger")
    .addOption(new Option("--format <format>", "Markdown in Hugging Face's form, HTML, or JSON").choices(["markdown", "html", "json"]).default("markdown"))
    .option("-o, --out <file>", "write it there")
    .action(async (which: string, options: ServerOptions & { format: "markdown" | "html" | "json"; out?: string }) =>
      (await import("./commands/model.js")).modelCard(which, options),
    );

  const render = millrace.command("render").description("what a cluster needs to run the platform");
  render
    .command("kubernetes")
    .description("print manifests of server, workers and their rights, for `kubectl apply -f -`")
    .requiredOption("--image <image>", "Millrace's own image: docs/compute.md has its recipe")
    .option("--namespace <name>", "where all of it is", "millrace")
    .option("--replicas <n>", "how many servers", replicas, 2)
    .option("--workers <n>", "how many workers; 0 leaves the steps to the servers", replicas, 2)
    .option("--step-image <image>", 'what steps with `backend: "kubernetes"` run in: any with Python 3.10 or newer', "python:3.12-slim")
    .option("--objects <url>", "the bucket for data", "s3://bucket/millrace")
    .action(async (options: RenderOptions) => (await import("./commands/render.js")).renderKubernetes(options));
  withServer(render.command("kserve"))
    .description("print an InferenceService of KServe that answers for an endpoint, for `kubectl apply -f -`")
    .argument("<endpoint>")
    .addOption(
      new Option("--runtime <runtime>", "what answers: Millrace's image, with features, rollouts and the log; or KServe's own runtimes, with the model alone")
        .choices(["millrace", "kserve"])
        .default("millrace"),
    )
    .option("--image <image>", "of --runtime millrace: Millrace's own image")
    .option("--server-url <url>", "of --runtime kserve: where pods find this server, to take the model's files from; default the server's address here")
    .option("--namespace <name>", "where it is", "millrace")
    .option("--min-replicas <n>", "at least so many pods", replicas, 1)
    .option("--max-replicas <n>", "at most so many pods", replicas, 3)
    .option("--service-account <name>", "of the pods; its secrets may hold the token for the model's files")
    .action(async (name: string, options: KserveOptions) => (await import("./commands/render-kserve.js")).renderKserve(name, options));

  const user = millrace.command("user").description("who may use the platform");
  user
    .command("add")
    .description("add a user to a data folder and print the token; the first one ends the time in which everyone on this machine may do all")
    .argument("<name>")
    .addOption(new Option("--role <role>", "what the user may do").choices(["viewer", "editor", "admin"]).makeOptionMandatory())
    .option("--data-dir <folder>", "the data folder, of a server that is stopped; or set DATABASE_URL", "./millrace-data")
    .option(...json)
    .action(async (name: string, options: AddUserOptions) => (await import("./commands/user.js")).addUser(name, options));

  for (const act of ["pause", "resume"] as const) {
    withServer(millrace.command(act))
      .description(act === "pause" ? "keep a trigger from starting runs" : "let a paused trigger start runs again")
      .argument("<trigger>")
      .option(...json)
      .action(async (name: string, options: Json) => (await import("./commands/trigger.js")).setPaused(name, act, options));
  }
  addWorkCommands(millrace);
  addDeliveryCommands(millrace);
  addEndpointCommands(millrace);
  // Errors of usage are thrown, for the one place that knows the exit codes. Commands of commands inherit nothing by themselves.
  const groups = [millrace, from, dataset, schema, quarantine, user, features, model, render];
  for (const command of groups.flatMap((group) => group.commands)) command.exitOverride().showHelpAfterError("(add --help for what there is)");
  return millrace;
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!/^[0-9]+$/.test(text) || port > 65_535) throw new InvalidArgumentError("A port is a number from 0 to 65535.");
  return port;
}
function processes(text: string): number {
  if (!/^[1-9][0-9]?$/.test(text)) throw new InvalidArgumentError("Give a number from 1 to 99.");
  return Number(text);
}
function sampleSize(text: string): number {
  if (!/^[1-9][0-9]{0,4}$/.test(text) || Number(text) > 10_000) throw new InvalidArgumentError("Give a number from 1 to 10000.");
  return Number(text);
}
function replicas(text: string): number {
  if (!/^(0|[1-9][0-9]{0,3})$/.test(text) || Number(text) > 1_000) throw new InvalidArgumentError("Give a number from 0 to 1000.");
  return Number(text);
}
function share(text: string): number {
  const value = Number(text);
  if (text === "" || !(value >= 0 && value <= 1)) throw new InvalidArgumentError("Give a share from 0 to 1.");
  return value;
}
function versionNumber(text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new InvalidArgumentError("Give the number of a version, as 3.");
  return Number(text);
}
function moment(text: string): Date {
  const at = new Date(text);
  if (Number.isNaN(at.getTime()) || !/^[0-9]{4}-/.test(text)) throw new InvalidArgumentError("Give a time as 2013-03-01T00:00:00Z.");
  return at;
}
function age(text: string): string {
  if (!/^[0-9]{1,6}(?:ms|s|m|h|d|w)$/.test(text)) throw new InvalidArgumentError("Give an age as 30d, 12h or 0d.");
  return text;
}
