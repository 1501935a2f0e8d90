/** The commands of delivery: releases, what is signed, and promotions from one environment to the next. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { PromoteOptions, RollbackOptions } from "./commands/promote.js";
import type { ReleaseOptions } from "./commands/release.js";
import type { WatchOptions } from "./commands/repository.js";
import type { SignOptions, VerifyOptions } from "./commands/verify.js";
import { type ServerOptions, withServer } from "./server.js";

type Json = ServerOptions & { json?: boolean };
const json = ["--json", "print JSON, for scripts"] as const;
const collect = (value: string, before: string[]): string[] => [...before, value];
function positive(text: string): number {
  if (!/^[1-9][0-9]{0,2}$/.test(text)) throw new InvalidArgumentError("Give a number from 1 to 999.");
  return Number(text);
}

function seconds(text: string): number {
  if (!/^(0|[1-9][0-9]{0,4})$/.test(text)) throw new InvalidArgumentError("Give a number of seconds, or 0.");
  return Number(text);
}

export function addDeliveryCommands(millrace: Command): void {
  const release = withServer(millrace.command("release"))
    .description("make an immutable, signed version of a project of its commit: code, locks, definitions, SBOM")
    .argument("[folder]", "the project's folder, with its millrace.ts", ".")
    .option("--key <file>", "what it is signed with (MILLRACE_SIGNING_KEY, a file or the key itself)")
    .option("--no-sign", "leave it unsigned")
    .option("--output <folder>", "write it there, and make it known to no server")
    .option("--check <report.json>", "note with it what `millrace check --json` found of this commit")
    .option(...json)
    .addHelpText("after", "\nIt is named by the digest of what it holds: the same commit gives the same release anywhere.")
    .action(async (folder: string, options: ReleaseOptions) => (await import("./commands/release.js")).release(folder, options));
  release
    .command("key")
    .description("make a key to sign with, and beside it (.pub) the one to verify with")
    .argument("<file>", "the private key; nobody else may read it")
    .addOption(new Option("--kind <kind>", "p256 (ECDSA) signs models too").choices(["ed25519", "p256"]).default("ed25519"))
    .action(async (file: string, options: { kind: "ed25519" | "p256" }) => (await import("./commands/release.js")).makeKeyFiles(file, options));
  const releases = withServer(millrace.command("releases"))
    .description("the newest releases")
    .argument("[project]", "of this project only")
    .option("-n, --limit <n>", "how many", positive, 20)
    .option(...json)
    .action(async (project: string | undefined, options: Json & { limit: number }) => (await import("./commands/release.js")).releases(project, options));
  const sign = withServer(millrace.command("sign"))
    .description("sign a model's version in the form of OpenSSF Model Signing")
    .argument("<model/version>", "as delay/3")
    .option("--key <file>", "an ECDSA key (MILLRACE_SIGNING_KEY, a file or the key itself)")
    .option("--output <folder>", "write the version's files there too, with model.sig")
    .option(...json)
    .action(async (what: string, options: SignOptions) => (await import("./commands/verify.js")).sign(what, options));
  const verify = withServer(millrace.command("verify"))
    .description("whether a release, a model's version or a folder of either is what somebody signed, file by file")
    .argument("<what>", "sha256:…, delay/3, or a folder")
    .option("--key <file.pub>", "a public key that is trusted; again for each", collect, [])
    .option(...json)
    .action(async (what: string, options: VerifyOptions) => (await import("./commands/verify.js")).verify(what, options));
  const promote = withServer(millrace.command("promote"))
    .description("ask for a release or a model's version to come into an environment, by its gates and approvals")
    .argument("<what>", "a release (sha256:…), or a model's version as delay/3")
    .requiredOption("--to <environment>", "as staging")
    .option("--project <name>", "whose environment, where several projects have the model")
    .option("--reason <text>", "why; kept with it")
    .option("-w, --wait", "follow it to its end")
    .option(...json)
    .addHelpText("after", "\nWith --wait it ends with 3 where a gate or a person said no, and with 4 where it was cancelled or another one took its place.")
    .action(async (what: string, options: PromoteOptions) => (await import("./commands/promote.js")).promote(what, options));
  const promotion = millrace.command("promotion").description("what was asked to come into an environment, and what was decided about it");
  withServer(promotion.command("list"))
    .description("the newest")
    .option("--project <name>", "of this project only")
    .option("--environment <name>", "to this environment only")
    .option("--open", "only those that are not over")
    .option("-n, --limit <n>", "how many", positive, 20)
    .option(...json)
    .action(async (options: Json & { project?: string; environment?: string; open?: boolean; limit: number }) =>
      (await import("./commands/promote.js")).list(options),
    );
  withServer(promotion.command("show"))
    .description("one, with each decision and what it was made by")
    .argument("<promotion>")
    .option(...json)
    .action(async (id: string, options: Json) => (await import("./commands/promote.js")).show(id, options));
  withServer(promotion.command("cancel"))
    .description("end one that waits")
    .argument("<promotion>")
    .option("--comment <text>", "why; kept with it")
    .option(...json)
    .action(async (id: string, options: Json & { comment?: string }) => (await import("./commands/promote.js")).answer(id, "cancel", options));
  const environment = millrace.command("environment").description("dev, staging, prod: what they hold and ask for");
  withServer(environment.command("list"))
    .description("environments with what they hold")
    .argument("[project]", "of this project only")
    .option(...json)
    .action(async (project: string | undefined, options: Json) => (await import("./commands/promote.js")).environments(project, options));
  withServer(environment.command("rollback"))
    .description("back to the release that an environment held before, or with --model to that version; nothing holds it up")
    .argument("<environment>")
    .requiredOption("--reason <text>", "why; kept with it")
    .option("--model <name>", "the model that goes back")
    .option("--project <name>", "whose environment")
    .option("-w, --wait", "follow it to its end")
    .option(...json)
    .action(async (name: string, options: RollbackOptions) => (await import("./commands/promote.js")).rollback(name, options));
  const repository = millrace.command("repository").description("git repositories whose pushes and tags are released by themselves");
  withServer(repository.command("watch"))
    .description("watch a repository, or change how: what it holds is run on the server's machine")
    .argument("<name>")
    .argument("<address>", "https://…, ssh://…, or an absolute path on the server's machine")
    .option("--folder <folder>", "where the project is in it")
    .option("--branch <name>", "whose pushes are released; default main")
    .option("--tags <pattern>", "which tags are; default v*")
    .option("--poll <seconds>", "how often it is looked at, 0 for only when its webhook says so; default 60", seconds)
    .option("--webhook-secret <NAME>", "the secret that signs what its webhook sends to /api/v1/repositories/<name>/hook")
    .option("--token-secret <NAME>", "the secret with a token for reading it")
    .option("--no-check", "release without `millrace check`")
    .option(...json)
    .action(async (name: string, url: string, options: WatchOptions) => (await import("./commands/repository.js")).watch(name, url, options));
  withServer(repository.command("list"))
    .description("what is watched")
    .option(...json)
    .action(async (options: Json) => (await import("./commands/repository.js")).list(options));
  withServer(repository.command("show"))
    .description("one, with what became of its commits")
    .argument("<name>")
    .option(...json)
    .action(async (name: string, options: Json) => (await import("./commands/repository.js")).show(name, options));
  withServer(repository.command("log"))
    .description("what was said while the newest commit was built, or another one")
    .argument("<name>")
    .argument("[commit]")
    .action(async (name: string, commit: string | undefined, options: ServerOptions) => (await import("./commands/repository.js")).log(name, commit, options));
  for (const act of ["look", "delete"] as const) {
    withServer(repository.command(act))
      .description(act === "look" ? "look for what is new now" : "watch it no more")
      .argument("<name>")
      .action(async (name: string, options: ServerOptions) => (await import("./commands/repository.js")).act(name, act, options));
  }
  for (const command of [promote, ...promotion.commands, ...environment.commands, ...repository.commands, ...release.commands, releases, sign, verify])
    command.exitOverride().showHelpAfterError("(add --help for what there is)");
}
