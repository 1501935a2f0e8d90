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
const largestOutput = 20 * 1024 * megabyte;
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

/** Where a script writes an output: the one place that it and `takeOutputs` know. */
export function outputPath(folder: string, name: string, type: ArtifactType): string {
  switch (type) {
    case "table":
      return path.join(folder, `${name}.parquet`);
    case "model":
      return path.join(folder, name);
    case "json":
    case "report":
    case "model_version":
      return path.join(folder, `${name}.json`);
  }
}

/** Takes each declared output from where the script wrote it. Throws an OutputError that says what is missing. */
export async function takeOutputs(platform: Platform, outputs: PipelineSpec["nodes"][number]["outputs"], folder: string): Promise<Record<string, Artifact>> {
  const taken: Record<string, Artifact> = {};
  for (const { name, type } of outputs) taken[name] = await takeOutput(platform, name, type, outputPath(folder, name, type));
  return taken;
}

async function takeOutput(platform: Platform, name: string, type: ArtifactType, place: string): Promise<Artifact> {
  const files = await filesAt(place, name);
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  if (bytes > largestOutput) throw new OutputError(`The output "${name}" has ${bytes} bytes: an output may have ${largestOutput}.`);
  switch (type) {
    case "table": {
      const parts = files.filter((file) => file.path.endsWith(".parquet"));
      if (parts.length === 0)
        throw new OutputError(`The output "${name}" is missing: write Parquet to millrace.output("${name}"), one file or a folder of *.parquet files.`);
      const meta = await describeTable(
        platform,
        name,
        parts.map((part) => part.from),
      );
      return store(platform, type, parts, meta);
    }
    case "model": {
      if (files.length === 0)
        throw new OutputError(`The output "${name}" is missing: write the model's files to the folder millrace.output("${name}"), or one file there.`);
      return store(platform, type, files, {});
    }
    case "json":
    case "report":
    case "model_version": {
      const file = files[0];
      if (file === undefined || files.length > 1) throw new OutputError(`The output "${name}" is missing: write one JSON file to millrace.output("${name}").`);
      if (file.size > largestJson)
        throw new OutputError(`The output "${name}" has ${file.size} bytes: JSON outputs may have ${largestJson}. Write a table instead.`);
      const text = await readFile(file.from, "utf8");
      const value = parseJson(name, text);
      // PostgreSQL's JSON knows no zero characters and no halves of characters.
      const showable = text.length <= largestShown && !/\\u(0000|d[89a-f])/i.test(JSON.stringify(value));
      return store(platform, type, [file], showable ? { value } : {});
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

interface OutputFile {
  path: string;
  from: string;
  size: number;
}
/** The one file at a place, or all under the folder that is there, in the order of their names. */
async function filesAt(place: string, name: string): Promise<OutputFile[]> {
  const found = await lstat(place).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (found?.isFile()) return [{ path: path.basename(place), from: place, size: found.size }];
  if (!found?.isDirectory()) return [];
  const files: OutputFile[] = [];
  for (const entry of await readdir(place, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue;
    const from = path.join(entry.parentPath, entry.name);
    const relative = path.relative(place, from).split(path.sep).join("/");
    if (!entry.isFile()) throw new OutputError(`The output "${name}" holds ${relative}, which is no plain file: links and devices can't be kept.`);
    files.push({ path: relative, from, size: (await lstat(from)).size });
    if (files.length > mostFiles) throw new OutputError(`The output "${name}" has more than ${mostFiles} files, which is the most that can be kept.`);
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
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
