/** The commands of endpoints: which version answers, and how another takes over. */
import { type Command, InvalidArgumentError } from "commander";
import type { StartOptions } from "./commands/endpoint.js";
import { type ServerOptions, withServer } from "./server.js";

type Json = ServerOptions & { json?: boolean };
type Reasoned = Json & { reason?: string };
const json = ["--json", "print JSON, for scripts"] as const;
const reason = ["--reason <text>", "why; it is kept with what happened"] as const;

export function addEndpointCommands(millrace: Command): void {
  const endpoint = millrace.command("endpoint").description("which version answers at an endpoint, and how another takes over");
  withServer(endpoint.command("show"))
    .description("an endpoint with what is tried now, and what became of its versions")
    .argument("<name>")
    .option("-n, --limit <n>", "how much of the past", limit, 20)
    .option(...json)
    .action(async (name: string, options: Json & { limit: number }) => (await import("./commands/endpoint.js")).show(name, options));
  withServer(endpoint.command("try"))
    .description("begin a rollout by the endpoint's plan, or a split of the traffic among several versions")
    .argument("<name>")
    .argument("[version]", "the version that is to be tried", version)
    .option("--arm <version=percent>", "a part of the traffic for a version; again for each", arm, [])
    .option(...reason)
    .option(...json)
    .addHelpText("after", "\nExamples: millrace endpoint try delay 7\n          millrace endpoint try delay --arm 7=10% --arm 8=10%")
    .action(async (name: string, tried: number | undefined, options: StartOptions) => (await import("./commands/endpoint.js")).start(name, tried, options));
  withServer(endpoint.command("weights"))
    .description("give the versions of a split other parts of the traffic")
    .argument("<name>")
    .requiredOption("--arm <version=percent>", "as of `try`; again for each", arm, [])
    .option(...reason)
    .option(...json)
    .action(async (name: string, options: StartOptions) => (await import("./commands/endpoint.js")).weights(name, options));
  const moves = {
    pause: "keep what is tried at its step; the judges still send it back",
    resume: "let a paused rollout go on",
    advance: "go on to the next step now",
    rollback: "end what is tried; where nothing is, the version that answered before answers again, at once",
  } as const;
  for (const act of ["pause", "resume", "advance", "rollback"] as const) {
    withServer(endpoint.command(act))
      .description(moves[act])
      .argument("<name>")
      .option(...reason)
      .option(...json)
      .action(async (name: string, options: Reasoned) => (await import("./commands/endpoint.js")).move(name, act, options));
  }
  withServer(endpoint.command("promote"))
    .description("all traffic at once to the version that is tried, or to another one")
    .argument("<name>")
    .argument("[version]", "default: what is tried, or what an experiment found to be better", version)
    .option(...reason)
    .option(...json)
    .action(async (name: string, wanted: number | undefined, options: Reasoned) =>
      (await import("./commands/endpoint.js")).move(name, "promote", options, wanted),
    );
  for (const act of ["kill", "revive"] as const) {
    withServer(endpoint.command(act))
      .description(act === "kill" ? "no version answers any more: the declared fallback does, or nothing" : "let its version answer again")
      .argument("<name>")
      .option(...reason)
      .option(...json)
      .action(async (name: string, options: Reasoned) => (await import("./commands/endpoint.js")).setKilled(name, act, options));
  }
  for (const command of endpoint.commands) command.exitOverride().showHelpAfterError("(add --help for what there is)");
}

function version(text: string): number {
  if (!/^v?[1-9][0-9]{0,8}$/.test(text)) throw new InvalidArgumentError("A version is a whole number from 1.");
  return Number(text.replace("v", ""));
}
function limit(text: string): number {
  if (!/^[1-9][0-9]{0,3}$/.test(text) || Number(text) > 1_000) throw new InvalidArgumentError("Give a number from 1 to 1000.");
  return Number(text);
}
function arm(text: string, before: { version: number; weight: number }[]): { version: number; weight: number }[] {
  const found = /^v?([1-9][0-9]{0,8})=([0-9]{1,3}(?:\.[0-9]+)?)%$/.exec(text);
  const weight = Number(found?.[2]) / 100;
  if (found === null || !(weight > 0 && weight <= 1)) throw new InvalidArgumentError("Give a version and its part of the traffic, as 7=10%.");
  return [...before, { version: Number(found[1]), weight }];
}
