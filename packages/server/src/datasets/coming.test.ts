/** Runs that begin before the files that they read were taken, in a server on the machine's clock. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { DatasetComing } from "@millrace/sdk/api";
import type { DatasetSpec, PipelineSpec, SchemaSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openApi } from "../pipelines/testing.js";
import { projectSpec } from "../projects/testing.js";
import { startServer } from "../server.js";

let folder: string;
let server: Awaited<ReturnType<typeof startServer>>;
let api: ReturnType<typeof openApi>;

const watching = (name: string, pattern: string, more: Partial<DatasetSpec> = {}): DatasetSpec => ({
  ...{ name, mode: "append", watch: { folder: "arrivals", pattern } },
  ...more,
});
const small: SchemaSpec = { name: "small", columns: { km: { type: "int64", max: 5 } }, unexpectedColumns: "allow" };
const datasets: DatasetSpec[] = [
  watching("orders", "orders-*.csv"),
  watching("far", "far-*.csv", { schema: "small" }),
  watching("absent", "absent-*.csv"),
  { name: "elsewhere", mode: "append", watch: { folder: "nowhere", pattern: "*.csv" } },
  { name: "unwatched", mode: "append" },
];
const reading = ({ name }: DatasetSpec): PipelineSpec => ({
  name: `read_${name}`,
  params: [],
  nodes: [
    { id: "read", kind: "read_dataset", config: { dataset: name }, inputs: { until: { literal: "latest" } }, outputs: [{ name: "rows", type: "table" }] },
    { id: "keys", kind: "partitions", config: { dataset: name }, inputs: {}, outputs: [{ name: "keys", type: "json" }] },
  ],
});
const coming = (name: string) => api.get<DatasetComing>(`/api/v1/datasets/${name}/coming`);

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  await mkdir(path.join(folder, "project", "arrivals"), { recursive: true });
  server = await startServer({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "system" }, logLevel: "error" });
  api = openApi(server.url);
  const file = (name: string, text: string) => writeFile(path.join(folder, "project", "arrivals", name), text);
  await file("orders-1.csv", "id,day\n1,2024-01-03\n2,2024-01-04\n");
  await file("orders-2.csv", "id,day\n3,2024-02-03\n");
  await file("far-1.csv", "id,km\n1,7\n");
  const partitioned = datasets.map((one) => (one.name === "orders" ? { ...one, partition: { by: "key" as const, columns: ["day"] } } : one));
  const spec = projectSpec({ name: "test", folder: path.join(folder, "project"), schemas: [small], datasets: partitioned, pipelines: datasets.map(reading) });
  expect(await api.call("PUT", "/api/v1/projects/test", spec)).toMatchObject({ status: 200 });
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

test("a run that begins before its dataset's files are taken waits for all of them, says so, and reads them", async () => {
  const { id } = await api.start("read_orders");
  expect(await coming("orders")).toEqual({ dataset: "orders", state: "coming", version: null, files: 2, taken: 0, message: null });
  const waiting = await api.until(id, (one) => one.steps.some(({ id: step, progress }) => step === "read" && progress !== null));
  expect(waiting.steps.find((step) => step.id === "read")?.progress?.message).toMatch(
    /^waiting for the first version of the dataset "orders": \d of 2 files taken$/,
  );
  const run = await api.untilOver(id);
  expect(run).toMatchObject({ state: "succeeded" });
  expect(run.steps.map((step) => [step.id, step.reason])).toEqual(["read", "keys"].map((step) => [step, "its dataset has no version yet"]));
  expect(await api.log(id, "read")).toEqual(expect.arrayContaining(["orders version 2: 3 parts, 3 rows"]));
  expect(await api.log(id, "keys")).toEqual(expect.arrayContaining([expect.stringContaining("3 partitions")]));
  expect(await coming("orders")).toEqual({ dataset: "orders", state: "ready", version: 2, files: 2, taken: 2, message: null });
});

test.each([
  ["far", "far-1.csv was refused, and is in quarantine as version 1. "],
  ["absent", 'no file in "arrivals" is called as its pattern "absent-*.csv" says.'],
  ["elsewhere", 'it watches the folder "nowhere", which is not there in the project\'s folder.'],
  ["unwatched", "nothing was added to it. Add files with: millrace dataset add unwatched <file>"],
])("a run that reads %s, of which no version comes, fails and says why", async (name, why) => {
  const run = await api.untilOver((await api.start(`read_${name}`)).id);
  const error = run.steps.find((step) => step.id === "read")?.error;
  expect(error).toContain(`The dataset "${name}" has no accepted version yet: ${why}`);
  expect(error).not.toContain(folder);
  expect(await coming(name)).toMatchObject({ state: "none", version: null, message: error });
});

test("another machine that may have the project's folder is given some seconds to say what is there", async () => {
  const away = watching("away", "*.csv");
  const spec = projectSpec({ name: "away", folder: path.join(folder, "elsewhere"), datasets: [away], pipelines: [reading(away)] });
  expect(await api.call("PUT", "/api/v1/projects/away", spec)).toMatchObject({ status: 200 });
  const run = await api.untilOver((await api.start("read_away")).id);
  expect(await api.log(run.id, "read")).toContain('waiting for the first version of the dataset "away"');
  const why = `the project's folder is not on this server's machine, so nothing comes from its folder "arrivals". Add files with: millrace dataset add away <file>`;
  expect(run.steps.find((step) => step.id === "read")?.error).toBe(`The dataset "away" has no accepted version yet: ${why}`);
});

test("a run whose dataset is waited for can be cancelled", async () => {
  await writeFile(path.join(folder, "project", "arrivals", "absent-1.csv"), "id\n1\n");
  const touching = setInterval(() => void writeFile(path.join(folder, "project", "arrivals", "absent-1.csv"), `id\n${Date.now()}\n`), 100);
  try {
    const { id } = await api.start("read_absent");
    await api.until(id, (one) => one.steps.some(({ progress }) => progress !== null));
    await api.call("POST", `/api/v1/runs/${id}/cancel`);
    expect(await api.untilOver(id)).toMatchObject({ state: "cancelled" });
  } finally {
    clearInterval(touching);
  }
});
