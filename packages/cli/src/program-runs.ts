/** The commands of runs: start, follow, answer, end, look into; and of what runs them. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { DebugOptions } from "./commands/debug.js";
import type { RunOptions } from "./commands/run.js";
import { type ServerOptions, withServer } from "./server.js";

type Json = ServerOptions & { json?: boolean };
const json = ["--json", "print JSON, for scripts"] as const;
const collect = (value: string, before: string[]): string[] => [...before, value];

export function addRunCommands(millrace: Command): void {
  withServer(millrace.command("run"))
    .description("start a run of a pipeline")
    .argument("<pipeline>")
    .option("-p, --param <name=value>", "a param's value, a list as 1,2,3; again for each param", collect, [])
    .option("--params <file.json>", "params from a file; what --param says goes over it")
    .option("--explain", "only say what each step would do, and why")
    .option("--resume <run>", "go on with a run that failed or was cancelled: what its steps gave is taken over")
    .option("--from <step>", "run this step and what depends on it again; the others are taken over")
    .option("--of <run>", "with --from: the run to take the others from; default the newest that succeeded")
    .option("--no-cache", "use nothing of earlier runs again")
    .option("-w, --wait", "follow the run to its end")
    .option(...json)
    .action(async (pipeline: string, options: RunOptions) => (await import("./commands/run.js")).run(pipeline, options));

  withServer(millrace.command("runs"))
    .description("the newest runs")
    .argument("[pipeline]", "of this pipeline only")
    .option("-n, --limit <n>", "how many", positive, 20)
    .option(...json)
    .action(async (pipeline: string | undefined, options: Json & { limit: number }) => (await import("./commands/runs.js")).runs(pipeline, options));

  withServer(millrace.command("logs"))
    .description("what the steps of a run said")
    .argument("<run>")
    .argument("[step]", "only this step, as train or fit[3].train")
    .option("-f, --follow", "go on as it is said, to the end")
    .action(async (run: string, step: string | undefined, options: ServerOptions & { follow?: boolean }) =>
      (await import("./commands/control.js")).logs(run, step, options),
    );

  withServer(millrace.command("debug"))
    .description("run a step of a run again on this machine, with the same code, inputs, params and environment")
    .argument("<run>")
    .argument("<step>")
    .option("--folder <folder>", "where to; default .millrace/debug/<run>-<step>")
    .option("--no-run", "only prepare it, and print the command")
    .action(async (run: string, step: string, options: DebugOptions) => (await import("./commands/debug.js")).debug(run, step, options));

  for (const [name, approved] of [
    ["approve", true],
    ["reject", false],
  ] as const) {
    withServer(millrace.command(name))
      .description(approved ? "say yes to a step or a promotion that waits for it" : "say no to a step or a promotion that waits for a yes: it ends as refused")
      .argument("<run|promotion>")
      .argument("[step]", "of a run")
      .option("--comment <text>", "why; kept with the answer")
      .option(...json)
      .action(async (what: string, step: string | undefined, options: Json & { comment?: string }) =>
        step === undefined
          ? (await import("./commands/promote.js")).answer(what, name, options)
          : (await import("./commands/control.js")).answer(what, step, approved, options),
      );
  }
  withServer(millrace.command("cancel"))
    .description("end a run, with all processes of its steps")
    .argument("<run>")
    .option(...json)
    .action(async (run: string, options: Json) => (await import("./commands/control.js")).cancel(run, options));

  withServer(millrace.command("dev"))
    .description("apply a project whenever a file of it is saved")
    .argument("[folder]", "the project's folder, with its millrace.ts", ".")
    .action(async (folder: string, options: ServerOptions) => (await import("./commands/dev.js")).dev(folder, options));

  millrace
    .command("worker")
    .description("run steps for a server, on this machine: shares its PostgreSQL (DATABASE_URL) and object store (MILLRACE_OBJECTS or --data-dir)")
    .option("--port <port>", "port of its health and metrics; 0 takes a free one", port, 0)
    .option("--host <host>", "address to listen on", "127.0.0.1")
    .option("--data-dir <folder>", "where work and caches are kept", "./millrace-data")
    .addOption(new Option("--log-level <level>", "what the log on standard error tells").choices(["error", "warn", "info", "debug"]).default("warn"))
    .action(async (options: { port: number; host: string; dataDir: string; logLevel: string }) => (await import("./commands/worker.js")).worker(options));

  const secret = millrace.command("secret").description("what steps are given and nobody is shown");
  withServer(secret.command("set"))
    .description("set a secret; its value comes on standard input")
    .argument("<NAME>")
    .action(async (name: string, options: ServerOptions) => (await import("./commands/control.js")).setSecret(name, options));
  withServer(secret.command("list"))
    .description("the names of the secrets that there are")
    .option(...json)
    .action(async (options: Json) => (await import("./commands/control.js")).listSecrets(options));
  withServer(secret.command("delete"))
    .description("delete a secret")
    .argument("<NAME>")
    .action(async (name: string, options: ServerOptions) => (await import("./commands/control.js")).deleteSecret(name, options));
  for (const command of secret.commands) command.exitOverride().showHelpAfterError("(add --help for what there is)");
}

function positive(text: string): number {
  if (!/^[1-9][0-9]{0,2}$/.test(text)) throw new InvalidArgumentError("Give a number from 1 to 999.");
  return Number(text);
}
function port(text: string): number {
  const number = Number(text);
  if (!/^[0-9]+$/.test(text) || number > 65_535) throw new InvalidArgumentError("A port is a number from 0 to 65535.");
  return number;
}
