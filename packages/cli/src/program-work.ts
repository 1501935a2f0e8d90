/** The commands of what starts many runs: schedules, backfills, sweeps. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { BackfillOptions } from "./commands/backfill.js";
import type { CreateOptions, EditOptions } from "./commands/schedule.js";
import type { SweepOptions } from "./commands/sweep.js";
import { type ServerOptions, withServer } from "./server.js";

type Json = ServerOptions & { json?: boolean };
const json = ["--json", "print JSON, for scripts"] as const;
const collect = (value: string, before: string[]): string[] => [...before, value];
function whole(text: string): number {
  if (!/^(0|[1-9][0-9]{0,9})$/.test(text)) throw new InvalidArgumentError("Give a whole number.");
  return Number(text);
}

export function addWorkCommands(millrace: Command): void {
  const schedule = millrace.command("schedule").description("runs at the moments of a cron expression");
  const settings = (command: Command) =>
    command
      .option("--zone <zone>", "the time zone of the cron expression, as Europe/Oslo")
      .option("-p, --param <name=value>", "a param's value, which may hold {scheduled:month}; again for each param", collect, [])
      .addOption(new Option("--catch-up <policy>", "what becomes of moments that pass while no server runs").choices(["none", "last", "all"]))
      .option("--catch-up-limit <n>", "of `all`, at most so many of the last", whole)
      .addOption(new Option("--overlap <policy>", "what becomes of a moment while a run is under way").choices(["skip", "queue", "cancel_running", "allow"]))
      .option("--jitter <duration>", "put each moment off by a part of this, as 10m")
      .option(...json);
  withServer(schedule.command("list"))
    .description("all schedules with their next moments")
    .option(...json)
    .action(async (options: Json) => (await import("./commands/schedule.js")).list(options));
  withServer(schedule.command("show"))
    .description("a schedule with what it has started")
    .argument("<name>")
    .option(...json)
    .action(async (name: string, options: Json) => (await import("./commands/schedule.js")).show(name, options));
  withServer(schedule.command("next"))
    .description("its next moments")
    .argument("<name>")
    .option("-n, --count <n>", "how many", whole, 10)
    .option(...json)
    .action(async (name: string, options: Json & { count: number }) => (await import("./commands/schedule.js")).next(name, options));
  withServer(settings(schedule.command("create")))
    .description("make a schedule that no project defines")
    .argument("<name>")
    .argument("<pipeline>")
    .requiredOption("--cron <expression>", "five fields: minute, hour, day of the month, month, day of the week")
    .action(async (name: string, pipeline: string, options: CreateOptions) => (await import("./commands/schedule.js")).create(name, pipeline, options));
  withServer(settings(schedule.command("edit")))
    .description("change a schedule; of one that a project defines this holds in place of the definition until `reset`")
    .argument("<name>")
    .option("--cron <expression>", "five fields")
    .action(async (name: string, options: EditOptions) => (await import("./commands/schedule.js")).edit(name, options));
  const acts = {
    pause: "keep a schedule from starting runs",
    resume: "let a paused schedule go on",
    reset: "drop what was edited: what the project defines holds again",
    fire: "start its run now",
    delete: "delete a schedule that no project defines",
  } as const;
  for (const act of ["pause", "resume", "reset", "fire", "delete"] as const) {
    withServer(schedule.command(act))
      .description(acts[act])
      .argument("<name>")
      .option(...json)
      .action(async (name: string, options: Json) => (await import("./commands/schedule.js")).act(name, act, options));
  }

  withServer(millrace.command("backfill"))
    .description("a run of a pipeline for each of many values of a param")
    .argument("<pipeline>")
    .requiredOption("--param <name>", "the param that takes the values; or name=value, for one that is the same for all", collect, [])
    .option("--from <value>", "the first month (2013-01) or day (2013-01-31)")
    .option("--to <value>", "the last one")
    .option("--every <days>", "of days, every so many", whole)
    .option("--partitions <dataset>", "the values are the partitions of a dataset")
    .option("--value <value>", "a value; again for each", collect, [])
    .option("--at-once <n>", "how many runs at once", whole)
    .option("--newest-first", "begin with the last")
    .option("--skip-succeeded", "leave out values with which a run has succeeded")
    .option("-w, --wait", "follow it to its end")
    .option(...json)
    .addHelpText("after", "\nExample: millrace backfill delay --param until --from 2013-01 --to 2013-06 --at-once 2")
    .action(async (pipeline: string, options: BackfillOptions) => (await import("./commands/backfill.js")).backfill(pipeline, options));
  const backfills = withServer(millrace.command("backfills"))
    .description("the newest backfills, or one of them")
    .argument("[id]")
    .addOption(new Option("--do <act>", "with an id: what becomes of it").choices(["pause", "resume", "cancel", "retry"]))
    .option(...json)
    .action(async (id: string | undefined, options: Json & { do?: "pause" | "resume" | "cancel" | "retry" }) =>
      (await import("./commands/backfill.js")).backfills(id, options),
    );

  withServer(millrace.command("sweep"))
    .description("try a pipeline with many values of its params, or start a sweep that a project defines")
    .argument("<pipeline-or-sweep>")
    .option("--over <name=values>", "depth=3..8, lr=log:0.001..0.3, rate=0.1..0.5/5 (of a grid, points), kind=tree,linear; again for each param", collect, [])
    .addOption(new Option("--search <how>", "how values are chosen").choices(["grid", "random", "bayesian"]))
    .option("--trials <n>", "how many", whole)
    .option("--at-once <n>", "how many at once", whole)
    .option("--metric <name>", "what is to be as large as can be")
    .addOption(new Option("--maximize", "the default").conflicts("minimize"))
    .option("--minimize", "the metric is to be as small as can be")
    .option("--seed <n>", "equal seeds try equal values", whole)
    .addOption(new Option("--stop <rule>", "end bad trials early").choices(["asha", "median"]))
    .option("--max-failed <n>", "end with more failed trials", whole)
    .option("-p, --param <name=value>", "a param that is the same for all; again for each", collect, [])
    .option("-w, --wait", "follow it to its end")
    .option(...json)
    .addHelpText("after", "\nExample: millrace sweep delay --over depth=3..8 --over lr=log:0.001..0.3 --search bayesian --trials 20 --metric auc --maximize")
    .action(async (name: string, options: SweepOptions) => (await import("./commands/sweep.js")).sweep(name, options));
  const sweeps = withServer(millrace.command("sweeps"))
    .description("the newest sweeps, or one with its trials")
    .argument("[id]")
    .addOption(new Option("--do <act>", "with an id: what becomes of it").choices(["pause", "resume", "cancel"]))
    .option("-w, --wait", "with an id: follow it to its end")
    .option(...json)
    .action(async (id: string | undefined, options: Json & { do?: "pause" | "resume" | "cancel"; wait?: boolean }) =>
      (await import("./commands/sweep.js")).sweeps(id, options),
    );
  for (const command of [...schedule.commands, backfills, sweeps]) command.exitOverride().showHelpAfterError("(add --help for what there is)");
}
