/** Artifacts: what a step leaves, as objects by digest and what is worth showing of them. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { Artifact } from "@millrace/sdk/api";
import type { ArtifactType, NodeSpec } from "@millrace/sdk/spec";
import { type JobFile, limits, OutputError } from "../compute/index.js";
import { type Digest, identifier, literal, type Platform, parquet } from "../platform/index.js";
import { unkept } from "./json.js";

/** JSON up to this size is shown with the run. */
const largestShown = 4_096;

/** Makes artifacts of what a process left, which is in the object store already. Throws an OutputError that says what is missing or wrong. */
export async function artifactsOf(platform: Platform, declared: NodeSpec["outputs"], left: Record<string, JobFile[]>): Promise<Record<string, Artifact>> {
  const made: Record<string, Artifact> = {};
  for (const { name, type } of declared) made[name] = await artifactOf(platform, name, type, left[name] ?? []);
  return made;
}

async function artifactOf(platform: Platform, name: string, type: ArtifactType, files: JobFile[]): Promise<Artifact> {
  if (files.length === 0) throw new OutputError(`The output "${name}" is missing.`);
  const listed = files.map(({ path, digest, size }) => ({ path, digest, size }));
  return { type, digest: digestOf(type, listed), files: listed, meta: await metaOf(platform, name, type, files) };
}

async function metaOf(platform: Platform, name: string, type: ArtifactType, files: JobFile[]): Promise<Artifact["meta"]> {
  switch (type) {
    case "table": {
      const paths = await Promise.all(files.map((file) => platform.objects.localPath(file.digest)));
      return describeTable(platform, name, paths);
    }
    case "model":
    case "file":
      return {};
    case "metrics":
    case "json":
    case "report":
    case "model_version": {
      const file = files[0];
      if (file === undefined || file.size > limits.jsonBytes) return {};
      const text = await readFile(await platform.objects.localPath(file.digest), "utf8");
      const value = parseJson(name, text);
      if (type === "metrics") return { metrics: numbersOf(name, value), value };
      return isShowable(text, value) ? { value } : {};
    }
  }
}
// PostgreSQL's JSON knows no zero characters and no halves of characters.
const isShowable = (text: string, value: unknown): boolean => text.length <= largestShown && !unkept.test(JSON.stringify(value));

const mostMetrics = 10_000;
/** A JSON object of finite numbers. */
function numbersOf(name: string, value: unknown): Record<string, number> {
  if (value === null || typeof value !== "object" || Array.isArray(value))
    throw new OutputError(`The output "${name}" is to be metrics: a JSON object of numbers by name, as {"auc": 0.71}.`);
  const entries = Object.entries(value);
  if (entries.length > mostMetrics) throw new OutputError(`The output "${name}" has ${entries.length} metrics: ${mostMetrics} can be kept.`);
  return Object.fromEntries(
    entries.map(([metric, number]) => {
      if (typeof number !== "number" || !Number.isFinite(number))
        throw new OutputError(`The metric "${metric}" of the output "${name}" is ${JSON.stringify(number)}: give a finite number.`);
      if (metric === "" || metric.length > 250 || unkept.test(JSON.stringify(metric)))
        throw new OutputError(`The output "${name}" has a metric whose name can't be kept: give 1 to 250 characters.`);
      return [metric, number];
    }),
  );
}

/** A value of ours as an artifact. */
export async function jsonArtifact({ objects }: Pick<Platform, "objects">, name: string, value: unknown): Promise<Artifact> {
  const text = JSON.stringify(value);
  const { digest, size } = await objects.put(Buffer.from(text));
  const files = [{ path: `${name}.json`, digest, size }];
  return { type: "json", digest: digestOf("json", files), files, meta: isShowable(text, value) ? { value } : {} };
}

/** sha256 over the type and the files: equal digests are equal contents. A table is its parts in order, whatever they are called. */
function digestOf(type: ArtifactType, files: Artifact["files"]): Digest {
  const hash = createHash("sha256");
  hash.update(`${type}\n`);
  for (const file of files) hash.update(type === "table" ? `${file.digest}\n` : `${file.digest} ${file.path}\n`);
  return `sha256:${hash.digest("hex")}`;
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
