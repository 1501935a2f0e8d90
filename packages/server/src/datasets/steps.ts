import path from "node:path";
import { durationMs } from "@millrace/sdk";
import type { Artifact, DatasetPart, DatasetVersionDetail } from "@millrace/sdk/api";
import type { StepContext, StepKind } from "../pipelines/step.js";
import { type Digest, identifier, invalid, literal, type Platform, parquet } from "../platform/index.js";
import { storeTable, tableDigest } from "./table.js";

type Selected = { version: DatasetVersionDetail; parts: DatasetPart[] };

/** Gives the parts of the newest version up to a month, as they were ingested: nothing is copied. */
export function readDatasetStep(latest: (name: string) => Promise<DatasetVersionDetail | undefined>): StepKind<"read_dataset"> {
  // What the cache key was made of is what is given, also when a version comes in between.
  const chosen = new WeakMap<object, Selected>();
  async function select({ node, inputs }: Pick<StepContext<"read_dataset">, "node" | "inputs">): Promise<Selected> {
    const before = chosen.get(inputs);
    if (before !== undefined) return before;
    const name = node.config.dataset;
    const version = await latest(name);
    if (version === undefined) throw invalid(`The dataset "${name}" has no accepted version yet.`);
    const until = inputs.until ?? "latest";
    if (typeof until !== "string") throw invalid(`The input "until" must be a month, as 2013-03, or latest.`);
    const selected = { version, parts: until === "latest" ? version.parts : version.parts.filter((part) => monthOf(part, name) <= month(until)) };
    if (selected.parts.length === 0)
      throw invalid(`The dataset "${name}" has no rows up to ${until}: its first are of ${version.parts[0]?.from ?? "no time"}.`);
    chosen.set(inputs, selected);
    return selected;
  }
  return {
    kind: "read_dataset",
    version: "1",
    identity: async (context) => tableDigest((await select(context)).parts.map((part) => part.digest)),
    async run(context) {
      const { version, parts } = await select(context);
      const rows = parts.reduce((sum, part) => sum + part.rows, 0);
      context.log(`${version.dataset} version ${version.version}: ${parts.length} parts, ${rows.toLocaleString("en")} rows`);
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
  const { duckdb, objects } = platform;
  return {
    kind: "split_by_time",
    version: "1",
    async run({ node, inputs, workDir, log, signal }) {
      const rows = inputs.rows;
      if (rows === null || typeof rows !== "object" || rows.type !== "table") throw invalid(`The step needs an input "rows" that is a table.`);
      const { timestamp, test, train } = node.config;
      const files = await Promise.all(rows.files.map((file) => objects.localPath(file.digest as Digest)));
      return duckdb.use(async (connection) => {
        const source = parquet(files);
        const time = identifier(timestamp);
        const found = await duckdb.rows<{ last: string | null }>(`select max(${time})::timestamptz::varchar as last from ${source}`, connection);
        const last = found[0]?.last;
        if (last == null) throw invalid(`The rows have no "${timestamp}", so they can't be split by it.`);
        const before = (ms: number) => `timestamptz ${literal(last)} - to_milliseconds(${ms})`;
        const cut = before(durationMs(test));
        const start = train === undefined ? "" : ` and ${time} > ${before(durationMs(test) + durationMs(train))}`;
        const output = async (name: string, where: string): Promise<Artifact> => {
          signal.throwIfAborted();
          const file = path.join(workDir, `${name}.parquet`);
          await connection.run(`copy (select * from ${source} where ${where}) to ${literal(file)} (format parquet)`);
          const [counted] = await duckdb.rows<{ n: number; first: string | null; last: string | null }>(
            `select count(*) as n, min(${time})::varchar as first, max(${time})::varchar as last from ${parquet([file])}`,
            connection,
          );
          const meta = { rows: counted?.n ?? 0, from: counted?.first ?? null, to: counted?.last ?? null };
          log(`${name}: ${meta.rows.toLocaleString("en")} rows from ${meta.from} to ${meta.to}`);
          return storeTable(platform, `${name}.parquet`, file, { ...rows.meta, ...meta });
        };
        return { outputs: { train: await output("train", `${time} <= ${cut}${start}`), test: await output("test", `${time} > ${cut}`) } };
      });
    },
  };
}
