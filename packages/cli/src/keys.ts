/** The keys that commands sign and verify with. */
import { readFile } from "node:fs/promises";
import { readPrivateKey, readPublicKey, type SigningKey, type VerifyingKey } from "@millrace/sdk/release";
import { CliError, exit } from "./errors.js";

/** Of `--key`, else of MILLRACE_SIGNING_KEY: a file, or in a CI's secret the key itself. Undefined where neither is given. */
export async function signingKey(given: string | undefined): Promise<SigningKey | undefined> {
  const named = given ?? process.env.MILLRACE_SIGNING_KEY;
  if (named === undefined || named === "") return undefined;
  const pem = named.includes("-----BEGIN") ? named : await readFile(named, "utf8");
  return toldOf(() => readPrivateKey(pem, process.env.MILLRACE_SIGNING_PASSPHRASE));
}

export async function verifyingKeys(files: readonly string[]): Promise<VerifyingKey[]> {
  if (files.length === 0) throw new CliError("Say whose signature is to be there: --key release.pem.pub, again for each key that is trusted.", exit.usage);
  return Promise.all(files.map(async (file) => readFile(file, "utf8").then((pem) => toldOf(() => readPublicKey(pem)))));
}

/** A RangeError of what was given, as one of the command. */
export function toldOf<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof RangeError) throw new CliError(error.message);
    throw error;
  }
}
