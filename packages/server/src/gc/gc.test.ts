import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Collection, CollectionStart, Event, Run } from "@millrace/sdk/api";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openShadeLoop, type ShadeLoop } from "../monitoring/testing.js";
import { openCluster } from "../platform/database/cluster.js";
import { connect, type OpenDatabase } from "../platform/database/index.js";
import { mlflowApi } from "../tracking/testing.js";

let folder: string;
let loop: ShadeLoop;
let database: OpenDatabase;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  loop = await openShadeLoop(folder, "2024-01-01T00:00:00Z");
  database = connect((await (await openCluster(path.join(folder, "data", "postgres"))).run()).url, { max: 2 });
});
afterAll(async () => {
  await database.close();
  await loop.stop();
  await rm(folder, { recursive: true, force: true });
});

const call = mlflowApi(() => loop.url);
const post = (route: string, body: Record<string, unknown>) => call("POST", route, body);
const newExperiment = async (name: string) => (await post("experiments/create", { name })).body.text("experiment_id");
const newRun = async (experiment_id: string, tags: Record<string, string> = {}) =>
  (await post("runs/create", { experiment_id, tags: Object.entries(tags).map(([key, value]) => ({ key, value })) })).body.text("run", "info", "run_id");
async function newModel(experiment_id: string, source_run_id: string): Promise<string> {
  const id = (await post("logged-models", { experiment_id, name: "tree", source_run_id })).body.text("model", "info", "model_id");
  await post("runs/outputs", { run_id: source_run_id, models: [{ model_id: id, step: 0 }] });
  return id;
}
const upload = (to: string, body: string) => fetch(`${loop.url}/api/2.0/mlflow-artifacts/artifacts/${to}`, { method: "PUT", body });
const statusOf = async (at: string) => (await fetch(`${loop.url}/api/2.0/mlflow-artifacts/artifacts/${at}`)).status;
const digestOf = (text: string) => `sha256:${createHash("sha256").update(text).digest("hex")}`;
const statusOfObject = async (digest: string) => (await fetch(`${loop.url}/api/v1/objects/${digest}`)).status;
const runStatus = async (run_id: string) => (await call("GET", "runs/get", { run_id })).status;

async function collect(options: CollectionStart = {}): Promise<Collection> {
  let found = await loop.send<Collection>("POST", "/api/v1/gc", options);
  while (found.state === "running") found = await loop.get<Collection>(`/api/v1/gc/${found.id}`);
  expect(found).toMatchObject({ state: "done", message: null });
  return found;
}

/** As if a month had passed since they were put. */
async function ageObjects(): Promise<void> {
  const store = path.join(folder, "data", "objects");
  const longAgo = new Date(Date.now() - 30 * 86_400_000);
  for (const entry of await readdir(store, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) await utimes(path.join(entry.parentPath, entry.name), longAgo, longAgo);
  }
}
async function objectsThere(): Promise<Set<string>> {
  const found = await readdir(path.join(folder, "data", "objects"), { recursive: true });
  return new Set(found.flatMap((name) => (/^[0-9a-f]{2}.[0-9a-f]{62}$/.test(name) ? `sha256:${name.slice(0, 2)}${name.slice(3)}` : [])));
}
/** Every digest in any text or JSON of any table, with the places where it is. */
async function digestsInTables(): Promise<Map<string, string[]>> {
  const { rows: columns } = await sql<{ table: string; column: string }>`
    select table_name as table, column_name as column from information_schema.columns
    where table_schema = 'public' and data_type in ('text', 'jsonb', 'json') and table_name <> 'event'`.execute(database.db);
  const found = new Map<string, string[]>();
  for (const { table, column } of columns) {
    const { rows } = await sql<{ digest: string }>`
      select distinct (regexp_matches(${sql.ref(column)}::text, 'sha256:[0-9a-f]{64}', 'g'))[1] as digest from ${sql.table(table)}`.execute(database.db);
    for (const { digest } of rows) found.set(digest, [...(found.get(digest) ?? []), `${table}.${column}`]);
  }
  return found;
}

test("of a whole loop nothing is freed that any table still names, and what nobody names is", async () => {
  await loop.apply({ monitors: [], triggers: [] });
  await loop.arrive("one.parquet", "select null::varchar as color, i / 50.0 - 1 as x, i > 50 as dark from range(100) t(i)");
  const run = await loop.finished((await loop.send<Run>("POST", "/api/v1/pipelines/shade/runs", {})).id);
  expect(run.state).toBe("succeeded");
  await loop.predict("2024-01-01T12:00:00Z", "asked", [{ color: "red", x: 0 }]);
  await loop.advance("2024-01-02T12:00:00Z");
  const experiment = await newExperiment("kept");
  const logged = await newRun(experiment);
  await upload(`${experiment}/${logged}/artifacts/model/model.bin`, "a model");
  await post("registered-models/create", { name: "by hand" });
  await post("model-versions/create", { name: "by hand", source: `runs:/${logged}/model` });

  await loop.get("/api/v1/datasets/shades/versions/1/statistics");
  await sql`update table_statistics set made_at = '2000-01-01'`.execute(database.db);
  await sql`insert into table_statistics select ${digestOf("gone")}, form, rows, columns, made_at from table_statistics limit 1`.execute(database.db);
  await fetch(`${loop.url}/api/v1/objects/${digestOf("left over")}`, { method: "PUT", body: "left over" });
  const before = await objectsThere();
  expect(await collect()).toMatchObject({ freed: { objects: 0 }, kept: { youngObjects: 1 } });
  await ageObjects();
  const { freed } = await collect();
  expect(freed).toMatchObject({ runs: 0, artifacts: 0, objects: 1, objectBytes: 9 });
  const after = await objectsThere();
  expect([...before].filter((digest) => !after.has(digest))).toEqual([digestOf("left over")]);

  const { rows: kept } = await sql<{ digest: string }>`select digest from table_statistics`.execute(database.db);
  expect(kept.length).toBe(1);
  expect(kept[0]?.digest).not.toBe(digestOf("gone"));

  // What lies in the store is named by a table, and what a table names is still there if it ever was.
  const named = await digestsInTables();
  for (const digest of after) expect(named.has(digest), digest).toBe(true);
  expect([...named].filter(([digest]) => before.has(digest) && !after.has(digest))).toEqual([]);
  const holders = new Set([...named].flatMap(([digest, where]) => (after.has(digest) ? where : [])));
  expect([...holders]).toEqual(
    expect.arrayContaining(["dataset_part.digest", "model_version.files", "pipeline_step.outputs", "project_version.spec", "tracking_artifact.digest"]),
  );
});

test("every column that looks as if it named objects is known to name them, or not to", async () => {
  const { rows } = await sql<{ column: string }>`
    select table_name || '.' || column_name as column from information_schema.columns
    where table_schema = 'public' and (column_name ~ 'digest|files|outputs|object|spec' or column_name = 'part') order by 1`.execute(database.db);
  // A new one belongs to one of the two lists; in the first, also to the `references.ts` of its capability.
  const naming = [
    ...["dataset_part.digest", "dataset_push.digest", "model_version.files", "pipeline_cache.outputs", "pipeline_step.outputs"],
    ...["prediction_segment.digest", "project_version.spec", "release.digest", "tracking_artifact.digest"],
  ];
  const others = [
    // Of a whole made of objects, of a definition, a token or a file of SQL; parts of datasets, which the dataset names.
    ...[
      "dataset_version.added_digest",
      "dataset_version.digest",
      "feature_online.digest",
      "feature_part.part",
      "migration.digest",
      "model_version.digest",
      "principal.token_digest",
      "signature.digest",
    ],
    ...["monitor_reference.service_digest", "project_version.digest"],
    // Definitions: the files of a project are in its version.
    ...["definition.spec", "pipeline_run.spec", "sweep.spec"],
    // What was found out about contents, which stays true without them.
    "table_statistics.digest",
    // Of tables that clients read, in their own words.
    ...["logged_model_metric.dataset_digest", "tracking_dataset.digest"],
  ];
  expect(rows.map(({ column }) => column).sort()).toEqual([...naming, ...others].sort());
});

test("what was deleted a month ago goes with all its rows, its files and its name; what is younger can be restored", async () => {
  const [old, young, live] = [await newExperiment("old"), await newExperiment("young"), await newExperiment("live")];
  const run = await newRun(old);
  const other = await newRun(live);
  for (const run_id of [run, other]) {
    await post("runs/log-batch", {
      run_id,
      metrics: [0, 1, 2].map((step) => ({ key: "loss", value: step, step, timestamp: 1 })),
      params: [{ key: "depth", value: "3" }],
      tags: [{ key: "note", value: "x" }],
    });
    const dataset = { name: "rows", digest: "d1", source_type: "local", source: "{}" };
    await post("runs/log-inputs", { run_id, datasets: [{ dataset, tags: [] }] });
  }
  const model = await newModel(old, run);
  await upload(`${old}/${run}/artifacts/notes.txt`, "only here");
  await upload(`${old}/${run}/artifacts/shared.txt`, "here and there");
  await upload(`${live}/${other}/artifacts/shared.txt`, "here and there");
  await upload(`${old}/models/${model}/artifacts/model.bin`, "a logged model");
  const gone = await newRun(live);
  await upload(`${live}/${gone}/artifacts/gone.txt`, "of a deleted run");

  await post("experiments/delete", { experiment_id: old });
  await post("runs/delete", { run_id: gone });
  await loop.advance("2024-01-25T00:00:00Z");
  await post("experiments/delete", { experiment_id: young });
  await loop.advance("2024-02-10T00:00:00Z");
  await ageObjects();
  expect((await post("experiments/create", { name: "old" })).body.text("error_code")).toBe("RESOURCE_ALREADY_EXISTS");

  const rowsFreed = { experiments: 1, runs: 2, loggedModels: 1, points: 3, artifacts: 4, artifactBytes: 53 };
  expect(await collect({ dryRun: true })).toMatchObject({ dryRun: true, freed: { ...rowsFreed, objects: 0 } });
  expect(await runStatus(run)).toBe(200);
  expect(await collect()).toMatchObject({ freed: { ...rowsFreed, objects: 3, objectBytes: 39 }, kept: { runs: 0, experiments: 0 } });
  expect(await collect()).toMatchObject({ freed: { experiments: 0, runs: 0, loggedModels: 0, points: 0, artifacts: 0, objects: 0 } });

  for (const id of [run, gone]) expect(await runStatus(id)).toBe(404);
  expect((await call("GET", `logged-models/${model}`)).status).toBe(404);
  expect(await runStatus(other)).toBe(200);
  expect(await statusOf(`${live}/${other}/artifacts/shared.txt`)).toBe(200);
  expect(await statusOfObject(digestOf("only here"))).toBe(404);
  // No table has a row of them any more, whichever it is.
  const { rows: tables } = await sql<{ table: string; column: string }>`
    select table_name as table, column_name as column from information_schema.columns
    where table_schema = 'public' and column_name in ('run_id', 'experiment_id', 'model_id', 'run') and data_type in ('text', 'bigint')`.execute(database.db);
  expect(tables.length).toBeGreaterThan(10);
  for (const { table, column } of tables) {
    const { rows } = await sql`select 1 from ${sql.table(table)} where ${sql.ref(column)}::text = any(${[run, gone, model, old]}::text[])`.execute(database.db);
    expect(rows, `${table}.${column}`).toEqual([]);
  }
  expect((await post("experiments/create", { name: "old" })).status).toBe(200);
  expect((await post("experiments/restore", { experiment_id: young })).status).toBe(200);

  const told = await loop.get<{ items: Event[] }>("/api/v1/events?types=gc.freed");
  expect(told.items.map(({ subject, data }) => [subject, data.ids])).toEqual([
    ["run", [run, gone].sort()],
    ["logged_model", [model]],
    ["experiment", [old]],
  ]);
});

test("what a live version or run refers to is kept, deleted as it is, and the experiment's name is free all the same", async () => {
  const [experiment, live] = [await newExperiment("referred to"), await newExperiment("referring")];
  const [parent, source, trained] = [await newRun(experiment), await newRun(experiment), await newRun(experiment)];
  await newRun(live, { "mlflow.parentRunId": parent });
  await upload(`${experiment}/${source}/artifacts/model/model.bin`, "registered");
  await post("registered-models/create", { name: "from a deleted run" });
  await post("model-versions/create", { name: "from a deleted run", source: `runs:/${source}/model`, run_id: source });
  const read = await newModel(experiment, trained);
  await post("runs/log-inputs", { run_id: await newRun(live), models: [{ model_id: read }] });
  const spare = await newModel(experiment, trained);
  const pipelines = (await call("GET", "experiments/get-by-name", { experiment_name: "shade" })).body.text("experiment", "experiment_id");
  const pipelineRun = (await post("runs/search", { experiment_ids: [pipelines] })).body.list("runs")[0]?.text("info", "run_id") ?? "";

  for (const experiment_id of [experiment, pipelines]) await post("experiments/delete", { experiment_id });
  await loop.advance("2024-04-01T00:00:00Z");
  await ageObjects();
  expect(await collect()).toMatchObject({ freed: { runs: 1, loggedModels: 1, objects: 0 }, kept: { experiments: 2, runs: 3, loggedModels: 1 } });
  for (const [run, status] of [
    [parent, 200],
    [source, 200],
    [pipelineRun, 200],
    [trained, 404],
  ] as const) {
    expect(await runStatus(run), run).toBe(status);
  }
  expect([(await call("GET", `logged-models/${spare}`)).status, (await call("GET", `logged-models/${read}`)).status]).toEqual([404, 200]);
  expect(await statusOf("registry/from%20a%20deleted%20run/1/model.bin")).toBe(200);
  expect((await post("experiments/create", { name: "referred to" })).status).toBe(200);
  expect((await post("experiments/restore", { experiment_id: experiment })).status).toBe(200);
  expect((await call("GET", "experiments/get", { experiment_id: experiment })).body.text("experiment", "name")).toBe(`referred to (deleted, ${experiment})`);
});

test("one collection goes at a time, each is on record, and a wrong age is refused", async () => {
  const both = await Promise.all([0, 1].map(() => fetch(`${loop.url}/api/v1/gc`, { method: "POST", headers: json, body: "{}" })));
  const started = both.filter(({ status }) => status === 202).length;
  expect(started).toBeGreaterThan(0);
  for (const answer of both) expect([202, 409]).toContain(answer.status);
  const { items } = await loop.get<{ items: Collection[] }>("/api/v1/gc");
  expect(items[0]).toMatchObject({ by: "local", dryRun: false });
  for (const olderThan of ["soon", "-1d", "999999999d"]) {
    const refused = await fetch(`${loop.url}/api/v1/gc`, { method: "POST", headers: json, body: JSON.stringify({ olderThan }) });
    expect(refused.status, olderThan).toBe(400);
  }
  expect((await fetch(`${loop.url}/api/v1/gc/999`)).status).toBe(404);
});
const json = { "content-type": "application/json" };
