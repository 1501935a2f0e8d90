import type { Artifact, DatasetPart, DatasetVersionDetail } from "@millrace/sdk/api";
import type { NodeKind } from "@millrace/sdk/spec";
import type { StepContext, StepKind } from "../pipelines/step.js";
import { type Digest, identifier, invalid, type Platform, parquet } from "../platform/index.js";
import type { Awaiting, Coming } from "./coming.js";
import { type IngestParts, ingest, rulesOf } from "./ingest.js";
import { partitionsOf } from "./partitions.js";
import { partsIn } from "./read.js";
import { hashSides, timeSides, writeSides } from "./splits.js";
import * as store from "./store.js";
import { tableDigest } from "./table.js";

type Selected = { version: DatasetVersionDetail; parts: DatasetPart[] };

/** What a step depends on before its dataset has a version: it waits for the first one when it runs. */
const noVersionYet = { once: "no version yet", reason: "its dataset has no version yet" };
const awaiting = ({ log, signal, process }: Pick<StepContext<NodeKind>, "log" | "signal" | "process">): Awaiting => ({
  log,
  signal,
  progress: (progress) => process?.progress(progress),
});

/** Gives the parts of the newest version, up to a month or of one partition, as they were ingested: nothing is copied. */
export function readDatasetStep(
  latest: (name: string) => Promise<DatasetVersionDetail | undefined>,
  { firstVersion }: Pick<Coming, "firstVersion">,
): StepKind<"read_dataset"> {
  // What the cache key was made of is what is given, also when a version comes in between.
  const chosen = new WeakMap<object, Selected>();
  function select({ node, inputs }: Pick<StepContext<"read_dataset">, "node" | "inputs">, version: DatasetVersionDetail): Selected {
    const name = node.config.dataset;
    const { partition = null, until = "latest" } = inputs;
    if (partition !== null && typeof partition !== "string") throw invalid(`The input "partition" must be the key of a partition, as 2013-03.`);
    if (typeof until !== "string") throw invalid(`The input "until" must be a month, as 2013-03, or latest.`);
    const of = partition === null ? version.parts : partsIn(version, partition);
    const selected = { version, parts: until === "latest" ? of : of.filter((part) => monthOf(part, name) <= month(until)) };
    if (selected.parts.length === 0)
      throw invalid(`The dataset "${name}" has no rows up to ${until}: its first are of ${version.parts[0]?.from ?? "no time"}.`);
    return selected;
  }
  return {
    kind: "read_dataset",
    version: "1",
    async identity(context) {
      const version = await latest(context.node.config.dataset);
      if (version === undefined) return noVersionYet;
      const selected = chosen.get(context.inputs) ?? select(context, version);
      chosen.set(context.inputs, selected);
      return tableDigest(selected.parts.map((part) => part.digest));
    },
    async run(context) {
      const { version, parts } =
        chosen.get(context.inputs) ??
        select(context, (await latest(context.node.config.dataset)) ?? (await firstVersion(context.node.config.dataset, awaiting(context))));
      const rows = parts.reduce((sum, part) => sum + part.rows, 0);
      context.log(`${version.dataset} version ${version.version}: ${parts.length} ${parts.length === 1 ? "part" : "parts"}, ${rows.toLocaleString("en")} rows`);
      const table: Artifact = {
        type: "table",
        digest: tableDigest(parts.map((part) => part.digest)),
        files: parts.map((part) => ({ path: part.file, digest: part.digest, size: part.bytes })),
        meta: { dataset: version.dataset, version: version.version, rows },
      };
      return { outputs: { [context.node.outputs[0]?.name ?? "rows"]: table } };
    },
  };
}

function month(text: string): string {
  if (!/^\d{4}-(0[1-9]|1[0-2])$/.test(text)) throw invalid(`"${text}" is no month: write it as 2013-03, or latest.`);
  return text;
}

/** A part is of the month in which the middle of its time lies: a file of a local month reaches some hours into the next one of UTC. */
function monthOf(part: DatasetPart, dataset: string): string {
  if (part.from === null || part.to === null) throw invalid(`The dataset "${dataset}" has no timestamp, so it can only be read as of latest.`);
  return new Date((Date.parse(part.from) + Date.parse(part.to)) / 2).toISOString().slice(0, 7);
}

/** The rows of the last `test` of time, and those before them (of the last `train` before, where it is given). */
export function splitByTimeStep(platform: Pick<Platform, "duckdb" | "objects">): StepKind<"split_by_time"> {
  const { duckdb } = platform;
  return {
    kind: "split_by_time",
    version: "1",
    async run({ node, inputs, workDir, log, signal }) {
      const rows = tableIn(inputs);
      const source = parquet(await placesOf(platform, rows));
      return duckdb.use(async (connection) => {
        const sides = await timeSides(duckdb, connection, source, node.config);
        const time = identifier(node.config.timestamp);
        const outputs: Record<string, Artifact> = {};
        for (const { name, where } of sides) {
          const [found] = await duckdb.rows<{ from: string | null; to: string | null }>(
            `select min(${time})::varchar as "from", max(${time})::varchar as "to" from ${source} where ${where}`,
            connection,
          );
          const range = { from: found?.from ?? null, to: found?.to ?? null };
          const [made] = await writeSides(platform, { connection, source, folder: workDir, meta: { ...rows.meta, ...range }, signal }, [{ name, where }]);
          if (made === undefined) continue;
          outputs[name] = made.table;
          log(`${name}: ${made.rows.toLocaleString("en")} rows from ${range.from} to ${range.to}`);
        }
        return { outputs };
      });
    },
  };
}

/** Rows on the side that their group's or key's values lead to. */
export function splitStep<K extends "split_by_group" | "split_by_hash">(platform: Pick<Platform, "duckdb" | "objects">, kind: K): StepKind<K> {
  const { duckdb } = platform;
  return {
    kind,
    version: "1",
    async run({ node, inputs, workDir, log, signal }) {
      const rows = tableIn(inputs);
      const source = parquet(await placesOf(platform, rows));
      return duckdb.use(async (connection) => {
        const sides = await hashSides(duckdb, connection, source, node.config);
        const made = await writeSides(platform, { connection, source, folder: workDir, meta: rows.meta, signal }, sides);
        for (const side of made) log(`${side.name}: ${side.rows.toLocaleString("en")} rows`);
        return { outputs: Object.fromEntries(made.map(({ name, table }) => [name, table])) };
      });
    },
  };
}

/** The keys of the partitions of the newest version, in order. */
export function partitionsStep(
  { objects }: Pick<Platform, "objects">,
  latest: (name: string) => Promise<DatasetVersionDetail | undefined>,
  { firstVersion }: Pick<Coming, "firstVersion">,
): StepKind<"partitions"> {
  const keysOf = (version: DatasetVersionDetail) => partitionsOf(version.parts).map(({ key }) => key);
  return {
    kind: "partitions",
    version: "1",
    async identity({ node }) {
      const version = await latest(node.config.dataset);
      return version === undefined ? noVersionYet : keysOf(version);
    },
    async run(context) {
      const { node, log } = context;
      const keys = keysOf((await latest(node.config.dataset)) ?? (await firstVersion(node.config.dataset, awaiting(context))));
      if (keys.length === 0) throw invalid(`The dataset "${node.config.dataset}" has no partitions: say { partition } where it is defined.`);
      log(`${keys.length.toLocaleString("en")} partitions, from ${keys[0]} to ${keys.at(-1)}`);
      const stored = await objects.put(Buffer.from(JSON.stringify(keys)));
      const file = { path: "keys.json", digest: stored.digest, size: stored.size };
      return { outputs: { keys: { type: "json", digest: stored.digest, files: [file], meta: { partitions: keys.length } } } };
    },
  };
}

/** Makes rows a version. The run and the step name it, so that a step that is done again finds what it did. */
export function writeDatasetStep(parts: IngestParts): StepKind<"write_dataset"> {
  const { objects } = parts.platform;
  return {
    kind: "write_dataset",
    version: "1",
    // A version that was refused since, or a newer snapshot, makes the same rows news.
    identity: async ({ node }) => {
      const { spec } = await parts.projects.require("dataset", node.config.dataset);
      const latest = await store.findVersion(parts.platform.db, spec.name, "latest");
      return { rules: (await rulesOf(parts.projects, spec)).rules, latest: latest?.version ?? 0 };
    },
    async run({ node, inputs, runId, log }) {
      const rows = tableIn(inputs);
      const { spec } = await parts.projects.require("dataset", node.config.dataset);
      const { version, made } = await ingest(parts, {
        ...{ dataset: spec, name: `run ${runId}, ${node.id}`, mode: node.config.mode, format: { kind: "parquet" }, nameless: true },
        files: rows.files.map((file) => ({ name: file.path, digest: file.digest as Digest, size: file.size })),
        // In a map one node is many steps, which differ in their rows.
        source: `run:${runId}/${node.id}/${rows.digest}`,
        origin: { kind: "run", of: null, by: null, run: runId, step: node.id },
      });
      const name = `${version.dataset} version ${version.version}`;
      if (version.status === "quarantined") {
        const reasons = (version.report?.anomalies ?? []).filter((anomaly) => anomaly.severity === "block").map((anomaly) => anomaly.message);
        return { outputs: {}, refused: `The rows are in quarantine as ${name}:\n${reasons.join("\n")}` };
      }
      log(`${name}: ${version.added.rows.toLocaleString("en")} rows${made ? "" : ", written before"}`);
      const meta = { dataset: version.dataset, version: version.version, digest: version.digest, rows: version.added.rows };
      const stored = await objects.put(Buffer.from(JSON.stringify(meta)));
      const file = { path: "version.json", digest: stored.digest, size: stored.size };
      return { outputs: { rows, version: { type: "json", digest: stored.digest, files: [file], meta } } };
    },
  };
}

function tableIn(inputs: StepContext<"write_dataset">["inputs"]): Artifact {
  const rows = inputs.rows;
  if (rows === null || typeof rows !== "object" || rows.type !== "table") throw invalid(`The step needs an input "rows" that is a table.`);
  return rows;
}
const placesOf = ({ objects }: Pick<Platform, "objects">, rows: Artifact): Promise<string[]> =>
  Promise.all(rows.files.map((file) => objects.localPath(file.digest as Digest)));
