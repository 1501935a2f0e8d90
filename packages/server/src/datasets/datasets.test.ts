import { copyFile, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Artifact, DatasetVersion, DatasetVersionDetail } from "@millrace/sdk/api";
import type { DatasetSpec, NodeKind, NodeSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createCompute } from "../compute/index.js";
import type { StepContext, StepKind } from "../pipelines/step.js";
import { openHttp, type Platform, parquet } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { createProjects, type Projects } from "../projects/index.js";
import { applyProject } from "../projects/testing.js";
import { createValidation } from "../validation/index.js";
import { createDatasets, type Datasets, datasetsRoutes } from "./index.js";

const data = (name: string) => fileURLToPath(new URL(`../../../../examples/flights/data/${name}`, import.meta.url));
let folder: string;
let project: string;
let url: string;
let platform: Platform;
let projects: Projects;
let datasets: Datasets;
let stop: () => Promise<void>;

const schemas = [
  {
    name: "flights",
    definedAt: "schemas.ts:3",
    columns: { tailnum: { type: "string" as const }, distance: { type: "int64" as const, max: 5_000 } },
    unexpectedColumns: "allow" as const,
  },
];
const flights: DatasetSpec = { name: "flights", mode: "append", timestamp: "time_hour", schema: "flights" };
const watched: DatasetSpec = { ...flights, name: "watched", watch: { folder: "arrivals", pattern: "flights-*.parquet" } };
const planes: DatasetSpec = { name: "planes", mode: "snapshot" };

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  project = path.join(folder, "project");
  await mkdir(path.join(project, "arrivals"), { recursive: true });
  const clock = { kind: "replay" as const, from: new Date("2013-03-01T00:00:00Z") };
  const opened = await openPlatform({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock, logLevel: "warn" });
  platform = opened.platform;
  projects = createProjects(platform);
  const validation = createValidation(platform, { compute: createCompute(platform), projects });
  const service = createDatasets(platform, { projects, validation });
  datasets = service;
  const app = await openHttp(platform, async () => ({ name: "anna" }));
  datasetsRoutes(app, service);
  url = await app.listen({ host: "127.0.0.1", port: 0 });
  stop = async () => {
    await app.close();
    await opened.close();
  };
  await applyProject(projects, { folder: project, schemas, datasets: [flights, watched, planes] });
});
afterAll(async () => {
  await stop();
  await rm(folder, { recursive: true, force: true });
});

interface Refusal {
  error: { code: string; message: string; details: { version: number } };
}
async function put<T>(dataset: string, name: string, bytes: Buffer): Promise<{ status: number; body: T }> {
  const answer = await fetch(`${url}/api/v1/datasets/${dataset}/files/${name}`, { method: "PUT", body: bytes });
  return { status: answer.status, body: (await answer.json()) as T };
}
const get = async <T>(route: string): Promise<T> => (await (await fetch(`${url}/api/v1/datasets${route}`)).json()) as T;

async function damaged(month: string): Promise<string> {
  const file = path.join(folder, `damaged-${month}.parquet`);
  await platform.duckdb.rows(`copy (select * exclude (tailnum, distance), tailnum as tail_num, (distance * 1.609344)::bigint as distance
    from ${parquet([data(`flights-2013-${month}.parquet`)])}) to '${file}' (format parquet)`);
  return file;
}

test("files become versions: each content once, what does not fit is quarantined with a report", async () => {
  const january = await readFile(data("flights-2013-01.parquet"));
  const first = await put<DatasetVersion>("flights", "flights-2013-01.parquet", january);
  expect([first.status, first.body.version, first.body.rows, first.body.status]).toEqual([201, 1, 27_004, "accepted"]);
  expect([first.body.added.from, first.body.added.to]).toEqual(["2013-01-01T10:00:00.000Z", "2013-02-01T04:00:00.000Z"]);
  expect((await put<DatasetVersion>("flights", "flights-2013-01.parquet", january)).body).toEqual(first.body);

  const bad = await put<Refusal>("flights", "flights-2013-07.parquet", await readFile(await damaged("07")));
  expect([bad.status, bad.body.error.code, bad.body.error.details.version]).toEqual([422, "REFUSED", 2]);
  expect(bad.body.error.message).toContain('"tailnum" is missing. "tail_num" has its type');
  const kept = await get<DatasetVersionDetail>("/flights/versions/2");
  expect(kept.status).toBe("quarantined");
  expect(kept.report?.anomalies.map((anomaly) => [anomaly.kind, anomaly.rule])).toEqual([
    ["missing_column", "schemas.ts:3"],
    ["range", "schemas.ts:3"],
  ]);
  const other = await put<Refusal>("flights", "flights-2013-01.parquet", await readFile(data("flights-2013-02.parquet")));
  expect([other.status, other.body.error.message]).toEqual([422, expect.stringContaining("was accepted before with other content, as version 1")]);
  const text = await put<Refusal>("flights", "notes.parquet", Buffer.from("hello"));
  expect([text.status, text.body.error.code]).toEqual([422, "NOT_PARQUET"]);
  const cut = await put<Refusal>("flights", "cut.parquet", january.subarray(0, 1_000));
  expect([cut.status, cut.body.error.code]).toEqual([422, "REFUSED"]);
  expect(cut.body.error.message).not.toContain(folder);

  const events = await platform.events.list({ limit: 100, types: ["dataset.*"] });
  expect(events.map((event) => [event.type, event.subject, event.data.version])).toEqual([
    ["dataset.version_accepted", "flights", 1],
    ["dataset.version_quarantined", "flights", 2],
    ["dataset.version_quarantined", "flights", 3],
    ["dataset.version_quarantined", "flights", 4],
  ]);
  expect(events[1]?.data).toEqual({ version: 2, file: "flights-2013-07.parquet", anomalies: 2 });
  expect((await datasets.latest("flights"))?.version).toBe(1);
  const page = await get<{ items: DatasetVersion[]; next?: string }>("/flights/versions?status=quarantined&limit=2");
  expect([page.items.map((version) => version.version), page.next]).toEqual([[4, 3], "3"]);
});

test("two processes that take the same snapshot at once make one version, and an older snapshot that comes again is news", async () => {
  const there = createDatasets(
    { ...platform, clock: { ...platform.clock, onTick: () => {} } },
    { projects, validation: createValidation(platform, { compute: createCompute(platform), projects }) },
  );
  const bytes = await readFile(data("planes.parquet"));
  const made = await Promise.all([
    put<DatasetVersion>("planes", "a.parquet", bytes),
    there.put("planes", "a.parquet", bytes),
    there.put("planes", "b.parquet", bytes),
  ]);
  expect(made.map((one) => ("body" in one ? one.body.version : one.version))).toEqual([1, 1, 1]);
  const small = path.join(folder, "planes.parquet");
  await platform.duckdb.rows(`copy (select * from ${parquet([data("planes.parquet")])} limit 10) to '${small}' (format parquet)`);
  expect((await put<DatasetVersion>("planes", "a.parquet", await readFile(small))).body).toMatchObject({ version: 2, rows: 10 });
  expect((await put<DatasetVersion>("planes", "a.parquet", bytes)).body).toMatchObject({ version: 3, rows: 3_322 });
});

test("files of a watched folder are taken when they have stopped growing, in the order of their names", async () => {
  const arrivals = path.join(project, "arrivals");
  const minute = (n: number) => platform.clock.advance(new Date(Date.parse("2013-03-01T00:00:00Z") + n * 60_000));
  const files = async () => (await get<{ items: DatasetVersion[] }>("/watched/versions")).items.map((v) => [v.version, v.status, v.added.file]).reverse();
  for (const month of ["02", "01"]) await copyFile(data(`flights-2013-${month}.parquet`), path.join(arrivals, `flights-2013-${month}.parquet`));
  await copyFile(data("flights-2013-03.parquet"), path.join(arrivals, ".flights-2013-03.parquet"));
  await symlink(data("flights-2013-04.parquet"), path.join(arrivals, "flights-2013-04.parquet"));
  await writeFile(path.join(arrivals, "flights-2013-05.parquet"), "PAR1 is no Parquet");
  await minute(1);
  expect(await files()).toEqual([]);
  await minute(2);
  const taken = [
    [1, "accepted", "flights-2013-01.parquet"],
    [2, "accepted", "flights-2013-02.parquet"],
    [3, "quarantined", "flights-2013-05.parquet"],
  ];
  expect(await files()).toEqual(taken);

  const arrive = async (from: string) => {
    await copyFile(from, path.join(arrivals, ".next"));
    await rename(path.join(arrivals, ".next"), path.join(arrivals, "flights-2013-03.parquet"));
  };
  await arrive(await damaged("03"));
  for (const n of [3, 4, 5]) await minute(n);
  await arrive(data("flights-2013-03.parquet"));
  for (const n of [6, 7, 8]) await minute(n);
  expect(await files()).toEqual([...taken, [4, "quarantined", "flights-2013-03.parquet"], [5, "accepted", "flights-2013-03.parquet"]]);
  expect((await datasets.latest("watched"))?.parts.map((part) => part.file)).toEqual(["01", "02", "03"].map((month) => `flights-2013-${month}.parquet`));

  // Rules that change give what was refused another chance.
  const wider = [{ ...schemas[0], name: "flights", columns: {} }];
  await applyProject(projects, { folder: project, schemas: wider, datasets: [flights, { ...watched, watch: { folder: "../data", pattern: "*" } }, planes] });
  await minute(9);
  await minute(10);
  expect(await files()).toHaveLength(5);
});

async function runStep<K extends NodeKind>(kind: StepKind<K>, node: StepContext<K>["node"], inputs: Record<string, Artifact | string>) {
  const workDir = await mkdtemp(path.join(folder, "work-"));
  const context: StepContext<K> = {
    ...{ runId: "r", project: "test", projectVersion: 1, node, inputs, params: {}, trackingRunId: null, workDir },
    ...{ log: () => {}, signal: new AbortController().signal },
  };
  return { identity: await kind.identity?.(context), ...(await kind.run(context)) };
}

test("a dataset is read as of a month and split by time", async () => {
  const node = { id: "read", inputs: {}, outputs: [{ name: "rows", type: "table" as const }], kind: "read_dataset" as const, config: { dataset: "watched" } };
  const february = await runStep(datasets.stepKinds.read_dataset, node, { until: "2013-02" });
  const rows = february.outputs.rows;
  expect(rows?.meta).toEqual({ dataset: "watched", version: 5, rows: 51_955 });
  expect(rows?.files.map((file) => file.path)).toEqual(["flights-2013-01.parquet", "flights-2013-02.parquet"]);
  expect(february.identity).toBe((await datasets.version("watched", 2)).digest);
  await expect(runStep(datasets.stepKinds.read_dataset, node, { until: "2012-12" })).rejects.toThrow(/no rows up to 2012-12/);

  const split: Extract<NodeSpec, { kind: "split_by_time" }> = {
    ...{ id: "split", inputs: {}, outputs: [], kind: "split_by_time" as const },
    config: { timestamp: "time_hour", test: "14d", train: "7d" },
  };
  const { outputs } = await runStep(datasets.stepKinds.split_by_time, split, rows === undefined ? {} : { rows });
  const time = (text: unknown) => new Date(`${String(text).replace("+00", "")}Z`).getTime();
  expect(time(outputs.test?.meta.to) - time(outputs.test?.meta.from)).toBeLessThan(14 * 86_400_000);
  expect(time(outputs.train?.meta.to)).toBeLessThan(time(outputs.test?.meta.from));
  expect(Number(outputs.test?.meta.rows) + Number(outputs.train?.meta.rows)).toBeGreaterThan(18_000);
});
