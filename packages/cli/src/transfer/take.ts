/** Writes all that a server keeps into a folder: tables as Parquet, files by their paths. Interrupted, it goes on after the last part that is whole. */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, type WriteStream } from "node:fs";
import { access, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { MovedAlias, MovedFile, MovedLoggedModel, MovedModel, MovedRun, MovedSeries, MovedVersion } from "@millrace/sdk/api";
import { CliError, codeOf } from "../errors.js";
import { type Duck, openDuck } from "./duck.js";
import { inFlight } from "./flow.js";
import { listed, transferApi } from "./millrace.js";
import type { Progress } from "./progress.js";
import type { SourceExperiment } from "./source.js";
import { type Cells, exportFormat, isSafe, quoted, type TableName, tableNames, tables, versionFolder } from "./tables.js";
import type { Web } from "./web.js";

interface State {
  format: typeof exportFormat;
  from: string;
  begun: string;
  /** What is written next: which walk, its part, and where that begins. */
  walk: number;
  part: number;
  after?: string;
  rows: Record<string, number>;
  done: boolean;
}
/** A part is as many rows as fit well into memory when it is made and read. */
const rowsInPart = 200_000;
const bytesInPart = 64 * 1024 * 1024;
const filesAtOnce = 6;

interface Walk {
  list: string;
  /** Read by so many. */
  limit: number;
  tables: TableName[];
  rows(item: unknown): [TableName, Cells][];
}

export async function take(web: Web, folder: string, progress: Progress): Promise<{ rows: Record<string, number>; leftOut: string[]; resumed: boolean }> {
  const before = await readState(folder, web.url);
  const resumed = before !== undefined && !before.done;
  const state: State = resumed ? before : { format: exportFormat, from: web.url, begun: new Date().toISOString(), walk: 0, part: 0, rows: {}, done: false };
  await mkdir(folder, { recursive: true });
  if (!resumed) for (const name of tableNames) await rm(path.join(folder, name), { recursive: true, force: true });
  await rm(path.join(folder, "manifest.json"), { force: true });
  await writeState(folder, state);
  progress.skipped.runs = state.rows.runs ?? 0;
  progress.skipped.points = state.rows.metrics ?? 0;
  const duck = await openDuck();
  try {
    for (; state.walk < walks.length; state.walk++) {
      const walk = walks[state.walk];
      if (walk !== undefined) await writeWalk(web, folder, walk, state, duck, progress);
    }
    await writeLatest(folder, duck, state);
    const leftOut = await writeFiles(web, folder, duck, progress);
    await writeManifest(folder, state);
    return { rows: state.rows, leftOut, resumed };
  } finally {
    await duck.close();
  }
}

// --------------------------------------------------------------------------------------------- tables
async function writeWalk(web: Web, folder: string, walk: Walk, state: State, duck: Duck, progress: Progress): Promise<void> {
  let part = openPart(folder, walk.tables);
  try {
    for await (const { items, next } of listed<unknown>(web, walk.list, { limit: String(walk.limit) }, state.after)) {
      for (const item of items) for (const [table, cells] of walk.rows(item)) await part.add(table, cells);
      if (walk.list === "runs") progress.done.runs += items.length;
      if (walk.list === "series") for (const { step } of items as MovedSeries[]) progress.done.points += step.length;
      if (next === undefined || part.rows() >= rowsInPart || part.bytes() >= bytesInPart) {
        const counts = await part.write(state.part, duck);
        for (const [table, n] of Object.entries(counts)) state.rows[table] = (state.rows[table] ?? 0) + n;
        state.part++;
        if (next === undefined) delete state.after;
        else state.after = next;
        // The last part of a walk is noted together with the next walk.
        if (next !== undefined) await writeState(folder, state);
        part = openPart(folder, walk.tables);
      }
    }
  } finally {
    await part.close();
  }
  state.part = 0;
  await writeState(folder, { ...state, walk: state.walk + 1 });
}

/** Rows go to a file of lines first, and become Parquet when there are enough. */
function openPart(folder: string, names: TableName[]) {
  const files = new Map<TableName, { stream: WriteStream; lines: string; rows: number }>();
  let [rows, bytes] = [0, 0];
  const open = (table: TableName) => {
    const before = files.get(table);
    if (before !== undefined) return before;
    const lines = path.join(folder, `${table}.ndjson.tmp`);
    const opened = { stream: createWriteStream(lines), lines, rows: 0 };
    files.set(table, opened);
    return opened;
  };
  const end = (stream: WriteStream) => new Promise<void>((resolve, reject) => stream.once("error", reject).end(() => resolve()));
  return {
    rows: () => rows,
    bytes: () => bytes,
    async add(table: TableName, cells: Cells): Promise<void> {
      const file = open(table);
      const line = `${JSON.stringify(cells)}\n`;
      rows++;
      bytes += line.length;
      file.rows++;
      if (!file.stream.write(line)) await new Promise<void>((resolve) => file.stream.once("drain", () => resolve()));
    },
    async write(number: number, duck: Duck): Promise<Record<string, number>> {
      const counts: Record<string, number> = {};
      for (const table of names) {
        const { stream, lines, rows: n } = open(table);
        await end(stream);
        // The first part is there in any case, so that an empty table is one.
        if (n > 0 || number === 0) {
          const columns = Object.entries(tables[table]).map(([name, [type]]) => `${name}: ${quoted(type)}`);
          const read = `read_json(${quoted(lines)}, format = 'newline_delimited', columns = {${columns.join(", ")}}, maximum_object_size = 134217728)`;
          await writeParquet(duck, `select * from ${read}`, path.join(folder, table, `part-${String(number).padStart(5, "0")}.parquet`));
        }
        await rm(lines, { force: true });
        counts[table] = n;
      }
      files.clear();
      return counts;
    },
    async close(): Promise<void> {
      for (const { stream, lines } of files.values()) {
        await end(stream).catch(() => {});
        await rm(lines, { force: true });
      }
    },
  };
}
async function writeParquet(duck: Duck, select: string, to: string): Promise<void> {
  await mkdir(path.dirname(to), { recursive: true });
  await duck.run(`copy (${select}) to ${quoted(`${to}.tmp`)} (format parquet, compression zstd)`);
  await rename(`${to}.tmp`, to);
}

const walks: Walk[] = [
  {
    list: "experiments",
    limit: 1_000,
    tables: ["experiments"],
    rows: (item) => {
      const of = item as SourceExperiment;
      const { name, tags } = of;
      return [
        [
          "experiments",
          {
            experiment_id: of.id,
            name,
            lifecycle_stage: of.stage,
            creation_time: of.creationTime,
            last_update_time: of.updateTime,
            artifact_location: of.artifactLocation,
            tags,
          },
        ],
      ];
    },
  },
  { list: "runs", limit: 500, tables: ["runs", "params", "tags", "inputs", "run_models"], rows: (item) => runRows(item as MovedRun & { points: number }) },
  {
    list: "series",
    limit: 50_000,
    tables: ["metrics"],
    rows: (item) => {
      const { run, key, step, time, value } = item as MovedSeries;
      return step.map((at, i) => ["metrics", { run_id: run, key, step: at, timestamp: time[i], value: value[i] }]);
    },
  },
  { list: "logged-models", limit: 500, tables: ["logged_models", "logged_model_metrics"], rows: (item) => loggedModelRows(item as MovedLoggedModel) },
  {
    list: "models",
    limit: 1_000,
    tables: ["registered_models"],
    rows: (item) => {
      const { name, description, creationTime, updateTime, lastVersion, tags } = item as MovedModel;
      return [["registered_models", { name, description, creation_time: creationTime, last_update_time: updateTime, last_version: lastVersion, tags }]];
    },
  },
  { list: "versions", limit: 500, tables: ["model_versions", "model_version_files"], rows: (item) => versionRows(item as MovedVersion) },
  {
    list: "aliases",
    limit: 1_000,
    tables: ["model_aliases"],
    rows: (item) => {
      const { model, alias, version } = item as MovedAlias;
      return [["model_aliases", { name: model, alias, version }]];
    },
  },
  { list: "artifacts", limit: 10_000, tables: ["artifacts"], rows: (item) => [["artifacts", item as MovedFile]] },
];

function runRows(run: MovedRun & { points: number }): [TableName, Cells][] {
  const run_id = run.id;
  const row = {
    run_id,
    experiment_id: run.experiment,
    run_name: run.name,
    user_id: run.user,
    status: run.status,
    start_time: run.startTime,
    end_time: run.endTime,
    lifecycle_stage: run.stage,
    deleted_time: run.deletedTime,
    points: run.points,
  };
  const pairs = (table: "params" | "tags"): [TableName, Cells][] => Object.entries(run[table]).map(([key, value]) => [table, { run_id, key, value }]);
  return [
    ["runs", row],
    ...pairs("params"),
    ...pairs("tags"),
    ...run.datasets.map(({ sourceType, ...dataset }): [TableName, Cells] => ["inputs", { run_id, source_type: sourceType, ...dataset }]),
    ...run.modelInputs.map((model_id): [TableName, Cells] => ["run_models", { run_id, model_id, role: "input", step: 0 }]),
    ...run.modelOutputs.map(({ id, step }): [TableName, Cells] => ["run_models", { run_id, model_id: id, role: "output", step }]),
  ];
}
function loggedModelRows(model: MovedLoggedModel): [TableName, Cells][] {
  const model_id = model.id;
  const row = {
    model_id,
    experiment_id: model.experiment,
    name: model.name,
    status: model.status,
    model_type: model.type,
    source_run_id: model.sourceRun,
    lifecycle_stage: model.stage,
    creation_time: model.creationTime,
    last_update_time: model.updateTime,
    params: model.params,
    tags: model.tags,
  };
  const metrics = model.metrics.map(({ key, run, datasetName, datasetDigest, step, time, value }): [TableName, Cells] => [
    "logged_model_metrics",
    { model_id, key, run_id: run, dataset_name: datasetName, dataset_digest: datasetDigest, step, timestamp: time, value },
  ]);
  return [["logged_models", row], ...metrics];
}
function versionRows(of: MovedVersion): [TableName, Cells][] {
  const { model: name, version, description, stage, source, tags } = of;
  const row = {
    name,
    version,
    creation_time: of.creationTime,
    last_update_time: of.updateTime,
    description,
    user_id: of.user,
    stage,
    source,
    run_id: of.run,
    run_link: of.runLink,
    logged_model_id: of.loggedModel,
    tags,
  };
  return [["model_versions", row], ...(of.files ?? []).map((file): [TableName, Cells] => ["model_version_files", { name, version, ...file }])];
}

async function writeLatest(folder: string, duck: Duck, state: State): Promise<void> {
  const from = `read_parquet(${quoted(path.join(folder, "metrics", "*.parquet"))})`;
  const to = path.join(folder, "latest_metrics", "part-00000.parquet");
  const latest = `select run_id, key, max({step: step, timestamp: timestamp, value: value}) as m from ${from} group by run_id, key`;
  await writeParquet(duck, `select run_id, key, m.step as step, m.timestamp as timestamp, m.value as value from (${latest}) order by run_id, key`, to);
  const [counted] = await duck.rows(`select count(*) as n from read_parquet(${quoted(to)})`);
  state.rows.latest_metrics = Number(counted?.n ?? 0);
}

// ---------------------------------------------------------------------------------------------- files
async function writeFiles(web: Web, folder: string, duck: Duck, progress: Progress): Promise<string[]> {
  const leftOut: string[] = [];
  const writing = inFlight(filesAtOnce);
  const add = (file: string, digest: string, size: number) =>
    writing.add(async () => {
      const told = isSafe(file) ? await bringFile(web, path.join(folder, ...file.split("/")), digest, size, progress) : "its name would lead elsewhere";
      if (told !== undefined) leftOut.push(`${file}: ${told}`);
    });
  const all = (table: TableName) => `read_parquet(${quoted(path.join(folder, table, "*.parquet"))})`;
  for (const part of (await readdir(path.join(folder, "artifacts"))).filter((name) => /^part-[0-9]+\.parquet$/.test(name)).sort()) {
    const rows = await duck.rows(`select path, digest, size from read_parquet(${quoted(path.join(folder, "artifacts", part))})`);
    for (const row of rows) await add(`files/${row.path}`, String(row.digest), Number(row.size));
  }
  // What no artifact has.
  const own = `select name, version, path, digest, size from ${all("model_version_files")} where digest not in (select digest from ${all("artifacts")})`;
  for (const row of await duck.rows(own))
    await add(`${versionFolder(String(row.name), Number(row.version))}/${row.path}`, String(row.digest), Number(row.size));
  await writing.end();
  return leftOut;
}
/** Answers why it can't be written. A file that is there with its digest stays. */
async function bringFile(web: Web, to: string, digest: string, size: number, progress: Progress): Promise<string | undefined> {
  const there = await stat(to).catch(() => undefined);
  if (there?.isFile() && there.size === size && (await digestOf(to)) === digest) return undefined;
  try {
    await mkdir(path.dirname(to), { recursive: true });
    const hash = createHash("sha256");
    const measure = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        progress.done.bytes += chunk.length;
        done(null, chunk);
      },
    });
    const written = `${to}.part-of-export`;
    await pipeline(await web.file(`${transferApi}/objects/${digest}`), measure, createWriteStream(written));
    if (`sha256:${hash.digest("hex")}` !== digest) throw new CliError(`${to} did not arrive whole. Repeat the command.`);
    await rename(written, to);
    progress.done.files++;
    return undefined;
  } catch (error) {
    // A file and a folder of one name, or a name that this file system has no room for.
    if (["EEXIST", "ENOTDIR", "EISDIR", "ENAMETOOLONG", "EINVAL"].includes(codeOf(error)?.code ?? "")) return "this file system can't keep it by its name";
    throw error;
  }
}
async function digestOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) hash.update(chunk);
  return `sha256:${hash.digest("hex")}`;
}

// ---------------------------------------------------------------------------------- state and manifest
async function readState(folder: string, from: string): Promise<State | undefined> {
  const entries = await readdir(folder).catch((error: unknown) => {
    if (codeOf(error)?.code === "ENOENT") return [];
    throw error;
  });
  if (entries.length === 0) return undefined;
  const file = path.join(folder, "export.json");
  const there = await access(file).then(
    () => true,
    () => false,
  );
  if (!there) throw new CliError(`${folder} is not empty and holds no export. Name another folder.`, 2);
  const state = JSON.parse(await readFile(file, "utf8")) as State;
  if (state.format !== exportFormat) throw new CliError(`${folder} holds an export of another version. Name another folder.`, 2);
  if (state.from !== from) throw new CliError(`${folder} holds an export of ${state.from}. Name another folder.`, 2);
  return state;
}
async function writeState(folder: string, state: State): Promise<void> {
  const file = path.join(folder, "export.json");
  await writeFile(`${file}.tmp`, JSON.stringify(state, null, 2));
  await rename(`${file}.tmp`, file);
}
async function writeManifest(folder: string, state: State): Promise<void> {
  const described = Object.fromEntries(
    tableNames.map((name) => [
      name,
      { rows: state.rows[name] ?? 0, columns: Object.fromEntries(Object.entries(tables[name]).map(([column, [type]]) => [column, type])) },
    ]),
  );
  const manifest = { format: exportFormat, from: state.from, begun: state.begun, ended: new Date().toISOString(), tables: described };
  await writeFile(path.join(folder, "README.md"), readme(state));
  await writeFile(path.join(folder, "manifest.json.tmp"), JSON.stringify(manifest, null, 2));
  await rename(path.join(folder, "manifest.json.tmp"), path.join(folder, "manifest.json"));
  await writeState(folder, { ...state, done: true });
}
function readme(state: State): string {
  const lines = [
    "# An export of Millrace",
    "",
    `Of ${state.from}, begun at ${state.begun}. Each table is a folder of Parquet files, read together:`,
    "",
    "```sql",
    "select * from 'metrics/*.parquet'  -- DuckDB; in Python pandas.read_parquet('metrics')",
    "```",
    "",
    "Files of runs and models are below `files/` by the paths that the table `artifacts` names. `millrace import folder` brings it all into a server.",
    "",
  ];
  for (const name of tableNames) {
    lines.push(`## ${name}`, "", `${(state.rows[name] ?? 0).toLocaleString("en")} rows.`, "", "| column | type | |", "| --- | --- | --- |");
    for (const [column, [type, meaning]] of Object.entries(tables[name])) lines.push(`| ${column} | ${type} | ${meaning} |`);
    lines.push("");
  }
  return lines.join("\n");
}
