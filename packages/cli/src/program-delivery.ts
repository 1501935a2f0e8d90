/** The commands of delivery: releases, what is signed, and promotions from one environment to the next. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { ReleaseOptions } from "./commands/release.js";
import type { SignOptions, VerifyOptions } from "./commands/verify.js";
import { type ServerOptions, withServer } from "./server.js";

type Json = ServerOptions & { json?: boolean };
const json = ["--json", "print JSON, for scripts"] as const;
const collect = (value: string, before: string[]): string[] => [...before, value];
function positive(text: string): number {
  if (!/^[1-9][0-9]{0,2}$/.test(text)) throw new InvalidArgumentError("Give a number from 1 to 999.");
  return Number(text);
}

export function addDeliveryCommands(millrace: Command): void {
  const release = withServer(millrace.command("release"))
    .description("make an immutable, signed version of a project of its commit: code, locks, definitions, SBOM")
    .argument("[folder]", "the project's folder, with its millrace.ts", ".")
    .option("--key <file>", "what it is signed with (MILLRACE_SIGNING_KEY, a file or the key itself)")
    .option("--no-sign", "leave it unsigned")
    .option("--output <folder>", "write it there, and make it known to no server")
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
  for (const command of [...release.commands, releases, sign, verify]) command.exitOverride().showHelpAfterError("(add --help for what there is)");
}
