/** Artifacts as files: what a step is given, and what it leaves. */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { copyFile, lstat, mkdir, readdir, readFile } from "node:fs/promises";
import path from "node:path";
import type { Artifact } from "@millrace/sdk/api";
import type { ArtifactType, PipelineSpec } from "@millrace/sdk/spec";
import { type Digest, identifier, literal, type Platform, parquet } from "../platform/index.js";

const megabyte = 1024 ** 2;
const largestJson = 16 * megabyte;
const mostFiles = 10_000;
/** JSON up to this size is shown with the run. */
const largestShown = 4_096;

/** A declared output is missing, or is not what its type says: the step's author must know. */
export class OutputError extends Error {
  override readonly name = "OutputError";
}

/** Copies an artifact's files under `folder` and answers their paths. Copies, so that a script that writes into its input harms nobody else's. */
export async function placeArtifact(platform: Platform, artifact: Artifact, folder: string): Promise<string[]> {
  const paths: string[] = [];
  for (const file of artifact.files) {
    const target = path.join(folder, file.path);
    await placeFile(platform, file.digest, target);
    paths.push(target);
  }
  return paths;
}

export async function placeFile(platform: Platform, digest: string, target: string): Promise<void> {
  await mkdir(path.dirname(target), { recursive: true });
  // A copy shares its blocks with the original where the file system can do that.
  await copyFile(await platform.objects.localPath(asDigest(digest)), target, constants.COPYFILE_FICLONE);
}

/** Takes each declared output from the folder that the script wrote into. Throws an OutputError that says what is missing. */
export async function takeOutputs(platform: Platform, outputs: PipelineSpec["nodes"][number]["outputs"], folder: string): Promise<Record<string, Artifact>> {
  const taken: Record<string, Artifact> = {};
  for (const { name, type } of outputs) taken[name] = await takeOutput(platform, name, type, folder);
  return taken;
}

async function takeOutput(platform: Platform, name: string, type: ArtifactType, folder: string): Promise<Artifact> {
  switch (type) {
    case "table": {
      const single = path.join(folder, `${name}.parquet`);
      const files = (await isFile(single)) ? [{ path: `${name}.parquet`, from: single }] : await filesUnder(path.join(folder, name), name);
      const parts = files.filter((file) => file.path.endsWith(".parquet"));
      if (parts.length === 0) {
        throw new OutputError(
          `The output "${name}" is missing: write the table to ${name}.parquet, or Parquet files to the folder ${name}/, in the folder that MILLRACE_OUTPUTS names.`,
        );
      }
      const meta = await describeTable(
        platform,
        name,
        parts.map((part) => part.from),
      );
      return store(platform, type, parts, meta);
    }
    case "model": {
      const single = path.join(folder, `${name}.onnx`);
      const files = (await isFile(single)) ? [{ path: `${name}.onnx`, from: single }] : await filesUnder(path.join(folder, name), name);
      if (files.length === 0) {
        throw new OutputError(
          `The output "${name}" is missing: write the model to ${name}.onnx, or its files to the folder ${name}/, in the folder that MILLRACE_OUTPUTS names.`,
        );
      }
      return store(platform, type, files, {});
    }
    case "json":
    case "report":
    case "model_version": {
      const file = path.join(folder, `${name}.json`);
      if (!(await isFile(file))) throw new OutputError(`The output "${name}" is missing: write it to ${name}.json in the folder that MILLRACE_OUTPUTS names.`);
      const { size } = await lstat(file);
      if (size > largestJson) throw new OutputError(`The output "${name}" has ${size} bytes: JSON outputs may have ${largestJson}. Write a table instead.`);
      const text = await readFile(file, "utf8");
      const value = parseJson(name, text);
      return store(platform, type, [{ path: `${name}.json`, from: file }], text.length <= largestShown ? { value } : {});
    }
  }
}

/** sha256 over the type and the files: equal digests are equal contents. A table is its parts in order, whatever they are called. */
function digestOf(type: ArtifactType, files: Artifact["files"]): Digest {
  const hash = createHash("sha256");
  hash.update(`${type}\n`);
  for (const file of files) hash.update(type === "table" ? `${file.digest}\n` : `${file.digest} ${file.path}\n`);
  return `sha256:${hash.digest("hex")}`;
}

async function store(platform: Platform, type: ArtifactType, files: { path: string; from: string }[], meta: Artifact["meta"]): Promise<Artifact> {
  const stored: Artifact["files"] = [];
  for (const file of files) stored.push({ path: file.path, ...(await platform.objects.putFile(file.from)) });
  return { type, digest: digestOf(type, stored), files: stored, meta };
}

async function describeTable(platform: Platform, name: string, files: string[]): Promise<Artifact["meta"]> {
  try {
    return await platform.duckdb.use(async (connection) => {
      const source = parquet(files);
      const columns = await platform.duckdb.rows<{ column_name: string; column_type: string }>(`describe select * from ${source}`, connection);
      const counted = await platform.duckdb.rows<{ rows: number }>(`select count(*) as ${identifier("rows")} from ${source}`, connection);
      return { rows: counted[0]?.rows ?? 0, columns: columns.map((c) => ({ name: c.column_name, type: c.column_type.toLowerCase() })) };
    });
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    // DuckDB names the file by its place on the server.
    const reason = files.reduce((text, file) => text.replaceAll(literal(file), path.basename(file)).replaceAll(file, path.basename(file)), said);
    throw new OutputError(`The output "${name}" can't be read as Parquet: ${reason}`);
  }
}

async function filesUnder(folder: string, name: string): Promise<{ path: string; from: string }[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return [];
    throw error;
  });
  const files: { path: string; from: string }[] = [];
  for (const entry of entries) {
    if (entry.isDirectory()) continue;
    const from = path.join(entry.parentPath, entry.name);
    const relative = path.relative(folder, from).split(path.sep).join("/");
    if (!entry.isFile()) throw new OutputError(`The output "${name}" holds ${relative}, which is no plain file: links and devices can't be kept.`);
    files.push({ path: relative, from });
  }
  if (files.length > mostFiles) throw new OutputError(`The output "${name}" has ${files.length} files: at most ${mostFiles} can be kept.`);
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

async function isFile(file: string): Promise<boolean> {
  return (await lstat(file).catch(() => undefined))?.isFile() ?? false;
}

function parseJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new OutputError(`The output "${name}" is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

export function asDigest(text: string): Digest {
  if (!/^sha256:[0-9a-f]{64}$/.test(text)) throw new Error(`${text} is no digest.`);
  return text as Digest;
}
