import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Release } from "@millrace/sdk/api";
import { ApiError } from "@millrace/sdk/client";
import { makeKey, signRelease } from "@millrace/sdk/release";
import { reportIn } from "../check/baseline.js";
import { type Case, stops, tally } from "../check/result.js";
import { CliError, exit } from "../errors.js";
import { signingKey } from "../keys.js";
import { print, printJson, table, tell, time } from "../output.js";
import { type MadeRelease, makeRelease } from "../project/release.js";
import { connect, type ServerOptions } from "../server.js";

export interface ReleaseOptions extends ServerOptions {
  key?: string;
  sign: boolean;
  output?: string;
  check?: string;
  json?: boolean;
}

/** Makes the release of a folder's commit, signs it, and makes it known to the server, or writes it into a folder. */
export async function release(given: string, options: ReleaseOptions): Promise<void> {
  const key = options.sign ? await signingKey(options.key) : undefined;
  if (options.sign && key === undefined)
    throw new CliError("A release is signed: give a key with --key or MILLRACE_SIGNING_KEY (`millrace release key` makes one), or say --no-sign.", exit.usage);
  if (options.check !== undefined && options.output !== undefined)
    throw new CliError("--check is noted with a release that a server is told of, and --output tells none.", exit.usage);
  const made = await makeRelease(path.resolve(given));
  const checked = options.check === undefined ? undefined : await checkOf(options.check, made);
  for (const link of made.links) tell(`${link} is a link and is left out: a project's files are its own.`);
  const signature = key === undefined ? undefined : signRelease(made, key);
  if (options.output === undefined) {
    const known = await publish(made, signature, options);
    if (checked !== undefined) await note(checked, made, options);
    if (options.json) return printJson(known);
  } else {
    await write(options.output, made, signature);
    const { digest, manifest, authors } = made;
    if (options.json) return printJson({ digest, project: manifest.project, commit: manifest.commit, authors, signedBy: key === undefined ? [] : [key.id] });
  }
  const signed = key === undefined ? "not signed" : `signed by ${key.id.slice(0, 12)}`;
  const { project, commit, files } = made.manifest;
  print(
    `${project} ${made.digest}\n  commit ${commit.slice(0, 12)}, ${files.length} files, ${signed}${options.output === undefined ? "" : `, in ${options.output}`}`,
  );
}

/** The server says what of it is missing: first the manifest, then what that names. */
async function publish(made: MadeRelease, signature: object | undefined, options: ServerOptions): Promise<Release> {
  const client = connect(options);
  const start = { digest: made.digest, authors: made.authors, ...(signature === undefined ? {} : { signatures: [{ ...signature }] }) };
  for (let round = 0; ; round++) {
    try {
      return await client.releases.add(start);
    } catch (error) {
      const missing = error instanceof ApiError && error.code === "FILES_MISSING" ? missingOf(error.details) : [];
      if (missing.length === 0 || round === 3) throw error;
      for (const digest of missing) await client.projects.upload(digest, await made.read(digest));
    }
  }
}
function missingOf(details: unknown): string[] {
  const missing = typeof details === "object" && details !== null && "missing" in details ? details.missing : undefined;
  return Array.isArray(missing) ? missing.filter((one): one is string => typeof one === "string") : [];
}

interface Checked {
  bytes: Buffer;
  passed: boolean;
  summary: string;
}
/** What `millrace check --json` printed: of this commit, and of all that it looks at. */
async function checkOf(file: string, { manifest }: MadeRelease): Promise<Checked> {
  const bytes = await readFile(file);
  const report = reportIn(file, bytes.toString("utf8"));
  if (report.commit !== manifest.commit || report.dirty)
    throw new CliError(
      `${file} is of ${report.commit === null ? "no commit" : `the commit ${report.commit.slice(0, 12)}`}${report.dirty ? " and changes beside it" : ""}, and the release of ${manifest.commit.slice(0, 12)}: check that one.`,
    );
  const bad = report.cases.filter(stops);
  const of = (state: Case["state"]) => tally(report.cases, state);
  const counts = `millrace check: ${of("passed")} passed, ${bad.length} did not, ${of("warned")} warn, ${of("skipped")} skipped.`;
  return { bytes, passed: bad.length === 0, summary: [counts, ...bad.map(({ group, name }) => `${group}: ${name}`)].join("\n").slice(0, 2_000) };
}

/** With the report itself as evidence. */
async function note({ bytes, passed, summary }: Checked, made: MadeRelease, options: ServerOptions): Promise<void> {
  const client = connect(options);
  const report = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  await client.projects.upload(report, new Uint8Array(bytes));
  await client.releases.check(made.digest, { passed, summary, report });
}

/** Whole: what is in the folder can be verified anywhere, and made known later. */
async function write(given: string, made: MadeRelease, signature: object | undefined): Promise<void> {
  const folder = path.resolve(given);
  await mkdir(path.join(folder, "objects"), { recursive: true });
  if ((await readdir(folder)).length > 1) throw new CliError(`${given} is not empty. Name a folder that is, or is not there yet.`, exit.usage);
  const { document, sbom, files } = made.manifest;
  for (const digest of new Set([document, sbom, ...files.map((file) => file.digest)])) {
    await writeFile(path.join(folder, "objects", digest.slice("sha256:".length)), await made.read(digest));
  }
  await writeFile(path.join(folder, "manifest.json"), made.bytes);
  await writeFile(path.join(folder, "sbom.cdx.json"), made.sbom);
  if (signature !== undefined) await writeFile(path.join(folder, "signature.json"), `${JSON.stringify(signature)}\n`);
}

export async function makeKeyFiles(file: string, { kind }: { kind: "ed25519" | "p256" }): Promise<void> {
  for (const one of [file, `${file}.pub`]) if (existsSync(one)) throw new CliError(`${one} is there already. A key is never written over.`);
  const { privatePem, publicPem } = makeKey(kind);
  await writeFile(file, privatePem, { mode: 0o600, flag: "wx" });
  await writeFile(`${file}.pub`, publicPem, { flag: "wx" });
  print(`${file} signs: keep it from everybody else, and out of the repository.\n${file}.pub verifies: give it to whoever wants to know.`);
}

export async function releases(project: string | undefined, options: ServerOptions & { limit: number; json?: boolean }): Promise<void> {
  const { items } = await connect(options).releases.list({ limit: options.limit, ...(project === undefined ? {} : { project }) });
  if (options.json) return printJson(items);
  if (items.length === 0) return print("There are no releases yet. Make one of a commit: millrace release");
  const rows = items.map((one) => [one.digest.slice(0, 19), one.project, one.commit.slice(0, 12), time(one.createdAt), one.createdBy, signers(one)]);
  print(table(["release", "project", "commit", "made", "by", "signed by"], rows));
}
const signers = ({ signedBy }: Release): string => (signedBy.length === 0 ? "-" : signedBy.map((id) => id.slice(0, 12)).join(" "));
