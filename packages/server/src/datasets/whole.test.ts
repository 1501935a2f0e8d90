/** Datasets in a server of its own process: as steps of pipelines, from S3, out to Python, and killed in the middle. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import type { DatasetVersion, DatasetVersionDetail, StepDetail } from "@millrace/sdk/api";
import type { DatasetSpec, PipelineSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openApi, type ServerProcess, startServerProcess } from "../pipelines/testing.js";
import { type S3Process, s3Server, startS3 } from "../platform/objects/s3/testing.js";
import { projectSpec } from "../projects/testing.js";
import { clientPython } from "../tracking/testing.js";

const root = fileURLToPath(new URL("../../../../", import.meta.url));
const program = s3Server();
let folder: string;
let s3: S3Process | undefined;
let server: ServerProcess;

const datasets: DatasetSpec[] = [
  { name: "trips", mode: "append", timestamp: "at", key: ["id"], partition: { by: "time", each: "month" } },
  { name: "copied", mode: "append" },
  { name: "landed", mode: "snapshot" },
  { name: "watched", mode: "append", watch: { prefix: "s3://bucket/watched/", pattern: "*.csv" } },
  {
    name: "european",
    mode: "append",
    format: { kind: "csv", delimiter: ";", decimal: ",", header: false, columns: ["id", "price", "day", "note"], ...european() },
  },
  { name: "large", mode: "append" },
  { name: "pushed", mode: "append" },
];
function european() {
  return { quote: "'", nulls: ["-"], skip: 1, encoding: "latin-1" as const, dateFormat: "%d.%m.%Y" };
}
const table = { type: "table" as const };
const shares = [
  { name: "train", share: 0.5 },
  { name: "test", share: 0.5 },
];
const sides = shares.map(({ name }) => ({ name, ...table }));
const rowsOf = (node: string) => ({ rows: { node, output: "rows" } });
const divided: PipelineSpec = {
  name: "divided",
  params: [],
  nodes: [
    { id: "read", kind: "read_dataset", config: { dataset: "trips" }, inputs: { until: { literal: "latest" } }, outputs: [{ name: "rows", ...table }] },
    {
      ...{ id: "write", kind: "write_dataset", config: { dataset: "copied" }, inputs: rowsOf("read") },
      outputs: [
        { name: "rows", ...table },
        { name: "version", type: "json" },
      ],
    },
    { id: "groups", kind: "split_by_group", config: { columns: ["rider"], shares }, inputs: rowsOf("read"), outputs: sides },
    { id: "hashed", kind: "split_by_hash", config: { columns: ["id"], shares, seed: "7" }, inputs: rowsOf("read"), outputs: sides },
    { id: "keys", kind: "partitions", config: { dataset: "trips" }, inputs: {}, outputs: [{ name: "keys", type: "json" }] },
    {
      ...{ id: "each", kind: "map", inputs: { over: { node: "keys", output: "keys" } }, outputs: [{ name: "rows", ...table }] },
      config: {
        body: [
          { id: "month", kind: "read_dataset", config: { dataset: "trips" }, inputs: { partition: { item: "each" } }, outputs: [{ name: "rows", ...table }] },
        ],
        gives: { rows: { node: "month", output: "rows" } },
      },
    },
  ],
};
const ingestion = { s3: ["s3://bucket/"] };
const start = () => startServerProcess(path.join(folder, "data"), {}, "server", {}, { ingestion });
const apply = async () => {
  const applied = await openApi(server.url).call("PUT", "/api/v1/projects/test", projectSpec({ datasets, pipelines: [divided] }));
  if (applied.status !== 200) throw new Error(JSON.stringify(applied.body));
};
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  s3 = program === undefined ? undefined : await startS3(program);
  server = await start();
  await apply();
}, 60_000);
afterAll(async () => {
  await server.stop();
  await s3?.stop();
  await rm(folder, { recursive: true, force: true });
});

const call = <T>(method: string, route: string, body?: unknown) =>
  openApi(server.url).call<T & { error?: { message: string } }>(method, `/api/v1/datasets/${route}`, body);
async function put(dataset: string, file: string, body: string | Buffer): Promise<DatasetVersion & { error?: { message: string } }> {
  const answer = await fetch(`${server.url}/api/v1/datasets/${dataset}/files/${file}`, { method: "PUT", body });
  return (await answer.json()) as DatasetVersion & { error?: { message: string } };
}
const linesOf = async (dataset: string, version: number) =>
  (await (await fetch(`${server.url}/api/v1/datasets/${dataset}/versions/${version}/data?format=jsonl`)).text()).trim().split("\n");
const versionsOf = async (dataset: string) => (await call<{ items: DatasetVersion[] }>("GET", `${dataset}/versions`)).body.items;
async function until<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    await delay(100);
  }
}

test("a pipeline writes a version once, divides rows, and goes through the partitions of a dataset", async () => {
  const rows = Array.from({ length: 90 }, (_, i) => `${i},rider ${i % 9},2013-0${(i % 3) + 1}-05T00:00:00Z`);
  const made = await put("trips", "trips.csv.gz", gzipSync(`id,rider,at\n${rows.join("\n")}\n`));
  expect([made.error?.message, made.rows]).toEqual([undefined, 90]);
  const api = openApi(server.url);
  const first = await api.untilOver((await api.start("divided")).id);
  expect([first.state, first.message]).toEqual(["succeeded", null]);
  const step = (id: string) => api.get<StepDetail>(`/api/v1/runs/${first.id}/steps/${encodeURIComponent(id)}`);
  const counts = async (id: string) => Object.entries((await step(id)).outputs).map(([name, artifact]) => [name, Number(artifact.meta.rows)]);
  for (const id of ["groups", "hashed"]) {
    const found = await counts(id);
    expect(found.map(([name]) => name).sort()).toEqual(["test", "train"]);
    expect(found.reduce((sum, [, n]) => sum + Number(n), 0)).toBe(90);
    // Ten rows of each of nine riders: a rider is never on both sides.
    if (id === "groups") for (const [, n] of found) expect(Number(n) % 10).toBe(0);
  }
  expect((await step("keys")).outputs.keys?.meta).toEqual({ partitions: 3 });
  const months = (await api.get<{ items: StepDetail[] }>(`/api/v1/runs/${first.id}/steps?limit=100`)).items.filter(({ kind }) => kind === "read_dataset");
  expect(months.map((one) => Number(one.outputs.rows?.meta.rows)).sort((a, b) => a - b)).toEqual([30, 30, 30, 90]);

  const copied = await versionsOf("copied");
  expect(copied.map(({ rows: n, origin }) => [n, origin?.kind, origin?.run, origin?.step])).toEqual([[90, "run", first.id, "write"]]);
  // What is cached is not written again, and the same rows of another run are another arrival only where the step is done anew.
  const second = await api.untilOver((await api.start("divided")).id);
  expect(second.state).toBe("succeeded");
}, 60_000);

test("CSV is read as its options say, packed or not; what is no gzip is refused by name", async () => {
  const text = "made by the till\n1;1,5;24.12.2013;'caf\u00e9; ''au'' lait'\n2;-;-;''\n";
  const made = await put("european", "till.csv.gz", gzipSync(Buffer.from(text, "latin1")));
  expect(made.error?.message).toBeUndefined();
  expect((await linesOf("european", made.version)).map((line): unknown => JSON.parse(line))).toEqual([
    { id: 1, price: 1.5, day: "2013-12-24", note: "caf\u00e9; 'au' lait" },
    { id: 2, price: null, day: null, note: "" },
  ]);
  expect((await put("european", "broken.csv.gz", "no gzip")).error?.message).toContain("broken.csv.gz can't be unpacked");
  expect((await put("european", "cut.csv.gz", gzipSync(Buffer.from(text.repeat(2000), "latin1")).subarray(0, 200))).error?.message).toContain("cut.csv.gz");
  expect((await put("large", "rows.jsonl.gz", gzipSync('{"id":1}\n'))).error?.message).toBeUndefined();
});

test.runIf(program !== undefined)(
  "files below a prefix in S3 are one version; a watched prefix takes each file once",
  async () => {
    const below = path.join(s3?.folder ?? "", "bucket");
    for (const name of ["orders/a.csv", "orders/b.csv", "orders/notes.txt", "orders-old/c.csv", "watched/1.csv"]) {
      await mkdir(path.dirname(path.join(below, name)), { recursive: true });
      await writeFile(path.join(below, name), `id,from\n1,${name}\n`);
    }
    const from = (url: string, pattern?: string) =>
      call<DatasetVersion>("POST", "landed/ingestions", { from: { kind: "s3", url, ...(pattern && { pattern }) } });
    const made = await from("s3://bucket/orders", "*.csv");
    expect([made.body.error?.message, made.status, made.body.rows]).toEqual([undefined, 201, 2]);
    expect((await linesOf("landed", 1)).map((line) => (JSON.parse(line) as { from: string }).from)).toEqual(["orders/a.csv", "orders/b.csv"]);
    expect((await from("s3://bucket/orders/", "*.csv")).body.version).toBe(1);
    expect((await from("s3://bucket/orders/b.csv")).body).toMatchObject({ version: 2, rows: 1, origin: { kind: "s3", of: "s3://bucket/orders/b.csv" } });
    expect((await from("s3://bucket/none/")).body.error?.message).toContain("no files");
    expect((await from("s3://elsewhere/orders/")).status).toBe(403);
    expect((await from("s3://bucket/orders/../../x")).status).toBe(403);

    const watched = (n: number) => until(async () => ((await versionsOf("watched")).length >= n ? versionsOf("watched") : undefined));
    const coming = (name: string) => fetch(`${server.url}/api/v1/datasets/${name}/coming`).then((answer) => answer.json());
    expect((await watched(1)).map(({ added }) => added.file)).toEqual(["1.csv"]);
    await writeFile(path.join(below, "watched/0-same.csv"), "id,from\n1,watched/1.csv\n");
    await writeFile(path.join(below, "watched/2.csv"), "id,from\n2,new\n");
    const [newest] = await watched(2);
    await expect.poll(() => coming("watched")).toEqual({ dataset: "watched", state: "ready", version: 2, files: 3, taken: 3, message: null });
    expect([newest?.added.file, newest?.rows, newest?.origin?.kind]).toEqual(["2.csv", 2, "watch"]);
  },
  60_000,
);

test("Python has a version as paths, as Arrow and as a data frame, and pushes rows once by their key", async () => {
  // The environment of Feast's client, whose test makes it anyway: it has pyarrow and pandas.
  const python = await clientPython(path.join(root, "packages/server/src/features/client/requirements.lock"), folder);
  const script = `
import json, millrace.datasets as d
one = d.load("trips", partition="2013-02")
whole = d.load("trips", version=1)
sides = d.split("trips", {"train": 0.5, "test": 0.5}, columns=["rider"])
late = d.split("trips", {"test": "28d"}, by="time")["test"]
first, again = (d.push("pushed", [{"id": 1}, {"id": 2}], key="from python") for _ in range(2))
print(json.dumps([one.rows, one.arrow().num_rows, len(whole.pandas()), len(whole.paths), sum(s.rows for s in sides.values()), again["repeated"], late.rows]))`;
  const env = { ...process.env, MILLRACE_URL: server.url, PYTHONPATH: path.join(root, "python"), MILLRACE_CACHE: path.join(folder, "cache") };
  const { stdout } = await promisify(execFile)(python, ["-c", script], { env });
  expect(JSON.parse(stdout)).toEqual([30, 30, 90, 3, 90, true, 30]);
}, 300_000);

test("killed in the middle of ingestions and pushes, nothing is half there, nothing that was answered for is lost, and nothing is there twice", async () => {
  const lines = Array.from({ length: 400_000 }, (_, i) => `${i},${createHash("md5").update(String(i)).digest("hex")}`);
  const bytes = Buffer.from(`id,text\n${lines.join("\n")}\n`);
  const before = (await versionsOf("large")).length;
  const acknowledged: number[] = [];
  // With a key, what was not answered is sent again.
  const push = (id: number) =>
    fetch(`${server.url}/api/v1/datasets/pushed/rows`, { method: "POST", headers: { "idempotency-key": `key ${id}` }, body: JSON.stringify({ id }) });
  for (const wait of [150, 600, 1_200]) {
    const file = put("large", "large.csv", bytes).catch(() => undefined);
    const pushing = (async () => {
      for (let i = acknowledged.length; ; i++) {
        const answer = await push(1_000 + i).catch(() => undefined);
        if (answer?.status !== 202) return;
        acknowledged.push(1_000 + i);
        if (i % 5 === 0) void call("POST", "pushed/flush").catch(() => undefined);
      }
    })();
    const answered = acknowledged.length;
    await delay(wait);
    await until(async () => (acknowledged.length > answered ? true : undefined));
    await server.kill();
    await Promise.all([file, pushing]);
    server = await start();
    await until(async () => ((await readdir(path.join(folder, "data", "ingest")).catch(() => [])).length === 0 ? true : undefined));
    for (const version of await versionsOf("large")) expect([before, 400_000]).toContain(version.added.rows);
  }
  // Twice at once, under two names.
  const both = await Promise.all([put("large", "large.csv", bytes), put("large", "again.csv", bytes)]);
  expect(both.map((one) => one.version)).toEqual([both[0]?.version, both[0]?.version]);
  const large = await versionsOf("large");
  expect(large.map(({ added }) => added.rows)).toEqual([400_000, 1]);
  await call("POST", "pushed/flush");
  const [newest] = await versionsOf("pushed");
  const detail = await call<DatasetVersionDetail>("GET", `pushed/versions/${newest?.version}`);
  expect(detail.body.status).toBe("accepted");
  const found = (await linesOf("pushed", newest?.version ?? 0)).map((line) => (JSON.parse(line) as { id: number }).id);
  expect(acknowledged.length).toBeGreaterThan(2);
  expect(new Set(found).size).toBe(found.length);
  expect(acknowledged.filter((id) => !found.includes(id))).toEqual([]);
}, 180_000);
