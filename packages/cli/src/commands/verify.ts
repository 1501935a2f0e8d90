/** Whether something is what somebody signed: a release or a model's version, at a server or in a folder. */
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import type { Client } from "@millrace/sdk/client";
import { modelSignature, readManifest, sha256, type VerifyingKey, verifyModelSignature, verifyReleaseSignature } from "@millrace/sdk/release";
import { CliError, exit } from "../errors.js";
import { signingKey, toldOf, verifyingKeys } from "../keys.js";
import { print, printJson } from "../output.js";
import { connect, type ServerOptions } from "../server.js";

export interface VerifyOptions extends ServerOptions {
  key: string[];
  json?: boolean;
}
interface Verified {
  what: string;
  /** The id of the key. */
  by: string;
  files: number;
}
const modelSignatureFile = "model.sig";
/** What model_signing leaves out too, at the top of a model's folder. */
const unsigned = new Set([modelSignatureFile, ".git", ".gitattributes", ".github", ".gitignore"]);

export async function verify(what: string, options: VerifyOptions): Promise<void> {
  const keys = await verifyingKeys(options.key);
  const found = await verified(what, keys, options);
  if (options.json) printJson(found);
  else print(`${found.what} is what the key ${found.by.slice(0, 12)} has signed: ${found.files} ${found.files === 1 ? "file" : "files"}, each as it was.`);
}

async function verified(what: string, keys: readonly VerifyingKey[], options: ServerOptions): Promise<Verified> {
  if (/^sha256:[0-9a-f]{6,64}$/.test(what)) return releaseOfServer(connect(options), what, keys);
  if (existsSync(path.join(what, "manifest.json"))) return releaseInFolder(what, keys);
  if (existsSync(path.join(what, modelSignatureFile))) return modelInFolder(what, keys);
  const version = versionOf(what);
  if (version !== undefined) return modelOfServer(connect(options), version, keys);
  throw new CliError(
    `"${what}" is nothing that is signed: give a release (sha256:…), a model's version (delay/3), or a folder with manifest.json or ${modelSignatureFile}.`,
    exit.usage,
  );
}

// ---------------------------------------------------------------------------------------------------- releases

async function releaseOfServer(client: Client, name: string, keys: readonly VerifyingKey[]): Promise<Verified> {
  const { digest, signatures } = await client.releases.get(name);
  return checkRelease(
    digest,
    async (one) => digestOf(await client.object(one)),
    await bytesOf(await client.object(digest)),
    signatures.map(({ signature }) => signature),
    keys,
  );
}
async function releaseInFolder(folder: string, keys: readonly VerifyingKey[]): Promise<Verified> {
  const file = path.join(folder, "signature.json");
  const signatures = existsSync(file) ? [jsonOf(file, await readFile(file, "utf8"))] : [];
  const bytes = await readFile(path.join(folder, "manifest.json"));
  const read = (one: string) => digestOf(Readable.toWeb(createReadStream(path.join(folder, "objects", one.slice("sha256:".length)))));
  return checkRelease(sha256(bytes), read, bytes, signatures, keys);
}

async function checkRelease(
  digest: string,
  read: (digest: string) => Promise<string>,
  bytes: Uint8Array,
  signatures: readonly unknown[],
  keys: readonly VerifyingKey[],
): Promise<Verified> {
  if (sha256(bytes) !== digest) throw new CliError(`The manifest is not that of ${digest}.`);
  const manifest = toldOf(() => readManifest(bytes));
  const by = signer(signatures, (signature) => verifyReleaseSignature(signature, digest, keys));
  for (const one of new Set([manifest.document, manifest.sbom, ...manifest.files.map((file) => file.digest)])) {
    const place = manifest.files.find((file) => file.digest === one)?.path ?? (one === manifest.sbom ? "the SBOM" : "the project's document");
    const found = await read(one).catch((error: unknown) => {
      throw new CliError(`${place} of the release can't be read: ${error instanceof Error ? error.message : error}`);
    });
    if (found !== one) throw new CliError(`${place} is not what was released.`);
  }
  return { what: `The release ${digest} of ${manifest.project}`, by: by.id, files: manifest.files.length };
}

/** Of several signatures one that is trusted is enough. */
function signer(signatures: readonly unknown[], check: (signature: unknown) => VerifyingKey): VerifyingKey {
  let why = "It is not signed.";
  for (const signature of signatures) {
    try {
      return check(signature);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      why = error.message;
    }
  }
  throw new CliError(why);
}

// ------------------------------------------------------------------------------------------------------ models

interface Version {
  model: string;
  version: number;
}
/** `delay/3` or `delay@3`. */
function versionOf(text: string): Version | undefined {
  const [, model, version] = /^(.+)[/@]([1-9][0-9]{0,8})$/.exec(text) ?? [];
  return model === undefined ? undefined : { model, version: Number(version) };
}

async function modelOfServer(client: Client, { model, version }: Version, keys: readonly VerifyingKey[]): Promise<Verified> {
  const [{ files }, { items }] = await Promise.all([client.models.version(model, version), client.models.signatures(model, version)]);
  const hashed: { path: string; digest: string }[] = [];
  for (const file of files) hashed.push({ path: file.path, digest: await digestOf(await client.models.file(model, version, file.path)) });
  const by = signer(
    items.map(({ signature }) => signature),
    (signature) => verifyModelSignature(signature, hashed, keys),
  );
  return { what: `${model}/${version}`, by: by.id, files: files.length };
}

async function modelInFolder(folder: string, keys: readonly VerifyingKey[]): Promise<Verified> {
  const file = path.join(folder, modelSignatureFile);
  const bundle = jsonOf(file, await readFile(file, "utf8"));
  const files: { path: string; digest: string }[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    const place = path.relative(folder, path.join(entry.parentPath, entry.name));
    if (unsigned.has(place.split(path.sep)[0] ?? "") || entry.isDirectory()) continue;
    if (!entry.isFile()) throw new CliError(`${place} is a link. What is signed has files alone.`);
    files.push({ path: place.split(path.sep).join("/"), digest: await digestOf(Readable.toWeb(createReadStream(path.join(folder, place)))) });
  }
  const by = signer([bundle], (signature) => verifyModelSignature(signature, files, keys));
  return { what: folder, by: by.id, files: files.length };
}

export interface SignOptions extends ServerOptions {
  key?: string;
  output?: string;
  json?: boolean;
}

/** Signs a version's files as they are read from the server, not as it says that they are. */
export async function sign(what: string, options: SignOptions): Promise<void> {
  const named = versionOf(what);
  if (named === undefined) throw new CliError(`"${what}" is no version of a model: write it as delay/3.`, exit.usage);
  const key = await signingKey(options.key);
  if (key === undefined)
    throw new CliError("Give the key with --key or MILLRACE_SIGNING_KEY: `millrace release key --kind p256 <file>` makes one.", exit.usage);
  const client = connect(options);
  const { model, version } = named;
  const { files } = await client.models.version(model, version);
  if (options.output !== undefined) await emptyFolder(options.output);
  const hashed: { path: string; digest: string }[] = [];
  for (const file of files) {
    const bytes = await client.models.file(model, version, file.path);
    if (options.output === undefined) hashed.push({ path: file.path, digest: await digestOf(bytes) });
    else hashed.push({ path: file.path, digest: await save(options.output, file.path, bytes) });
  }
  const bundle = toldOf(() => modelSignature(model, hashed, key));
  await client.models.sign(model, version, bundle);
  if (options.output !== undefined) await writeFile(path.join(options.output, modelSignatureFile), JSON.stringify(bundle));
  if (options.json) printJson(bundle);
  else
    print(
      `${model}/${version} is signed by ${key.id.slice(0, 12)}: ${files.length} ${files.length === 1 ? "file" : "files"}${options.output === undefined ? "" : `, in ${options.output} with ${modelSignatureFile}`}.`,
    );
}

async function emptyFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  if ((await readdir(folder)).length > 0) throw new CliError(`${folder} is not empty. Name a folder that is, or is not there yet.`, exit.usage);
}
async function save(folder: string, file: string, bytes: Bytes): Promise<string> {
  const place = path.resolve(folder, file);
  if (!place.startsWith(path.resolve(folder) + path.sep)) throw new CliError(`The version has a file "${file}", which is no path inside a folder.`);
  await mkdir(path.dirname(place), { recursive: true });
  const content = await bytesOf(bytes);
  await writeFile(place, content, { flag: "wx" });
  return sha256(content);
}

// ------------------------------------------------------------------------------------------------------- bytes

type Bytes = AsyncIterable<Uint8Array> | null;
async function digestOf(bytes: Bytes): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of bytes ?? []) hash.update(chunk);
  return `sha256:${hash.digest("hex")}`;
}
async function bytesOf(bytes: Bytes): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bytes ?? []) chunks.push(chunk);
  return Buffer.concat(chunks);
}
function jsonOf(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new CliError(`${file} is no JSON.`);
  }
}
