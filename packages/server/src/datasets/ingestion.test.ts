import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { DatasetDiff, DatasetPartition, DatasetVersion, DatasetVersionDetail, RowsReceipt, SplitAnswer } from "@millrace/sdk/api";
import type { DatasetSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createCompute } from "../compute/index.js";
import { openHttp, type Platform } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { createProjects } from "../projects/index.js";
import { applyProject } from "../projects/testing.js";
import { createValidation } from "../validation/index.js";
import { createDatasets, datasetsRoutes } from "./index.js";

let folder: string;
let url: string;
let platform: Platform;
let stop: () => Promise<void>;

const definitions: DatasetSpec[] = [
  { name: "orders", mode: "append", key: ["id"] },
  { name: "local", mode: "append", timestamp: "at", zone: "America/New_York", partition: { by: "time", each: "day", zone: "America/New_York" } },
  { name: "events", mode: "append" },
  { name: "groups", mode: "snapshot", partition: { by: "key", columns: ["g"] } },
  { name: "table", mode: "snapshot" },
  { name: "pushed", mode: "append" },
];
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const clock = { kind: "replay" as const, from: new Date("2013-03-01T00:00:00Z") };
  const dataDir = path.join(folder, "data");
  const opened = await openPlatform({ host: "127.0.0.1", port: 0, dataDir, clock, logLevel: "warn", duckdb: { memoryMb: 300 } });
  platform = opened.platform;
  platform.config.ingestion = { connections: { own: platform.databaseUrl } };
  const projects = createProjects(platform);
  const service = createDatasets(platform, { projects, validation: createValidation(platform, { compute: createCompute(platform), projects }) });
  const app = await openHttp(platform, async () => ({ name: "anna" }));
  datasetsRoutes(app, service);
  url = `${await app.listen({ host: "127.0.0.1", port: 0 })}/api/v1/datasets`;
  stop = async () => {
    await app.close();
    await opened.close();
  };
  await applyProject(projects, { folder, datasets: definitions });
});
afterAll(async () => {
  await stop();
  await rm(folder, { recursive: true, force: true });
});

async function ask<T>(
  method: string,
  route: string,
  body?: string | Buffer | object,
  headers: Record<string, string> = {},
): Promise<T & { error?: { message: string } }> {
  const json = body !== undefined && typeof body !== "string" && !Buffer.isBuffer(body);
  const sent = json ? JSON.stringify(body) : body;
  const answer = await fetch(url + route, {
    method,
    headers: { ...(json ? { "content-type": "application/json" } : {}), ...headers },
    ...(sent === undefined ? {} : { body: sent }),
  });
  return (await answer.json()) as T & { error?: { message: string } };
}
const put = (dataset: string, file: string, body: string | Buffer) => ask<DatasetVersion>("PUT", `/${dataset}/files/${file}`, body);
const rowsOf = async (dataset: string, version: number, query = "") =>
  (await (await fetch(`${url}/${dataset}/versions/${version}/data?format=jsonl${query}`)).text())
    .trim()
    .split("\n")
    .map((line): unknown => JSON.parse(line));

test("CSV is read with the types that all its rows have, and what is wrong is told with its line", async () => {
  const first = await put(
    "orders",
    "1.csv",
    'id,zip,price,day,at,ok,note\n1,01234,2.5,2013-01-01,2013-01-01 10:00:00,true,"a, ""b"""\n2,99999,3,2013-01-02,2013-01-02T10:00:00+02:00,false,\n',
  );
  expect([first.error?.message, first.status, first.rows]).toEqual([undefined, "accepted", 2]);
  const detail = await ask<DatasetVersionDetail>("GET", "/orders/versions/1");
  expect(Object.fromEntries(detail.columns.map(({ name, type }) => [name, type]))).toEqual({
    ...{ id: "BIGINT", zip: "VARCHAR", price: "DOUBLE", day: "DATE", at: "TIMESTAMP WITH TIME ZONE", ok: "BOOLEAN", note: "VARCHAR" },
  });
  expect(await rowsOf("orders", 1)).toMatchObject([
    { zip: "01234", note: 'a, "b"' },
    { at: expect.stringContaining("08:00:00"), note: null },
  ]);
  const wrong = async (file: string, text: string) => (await put("orders", file, text)).error?.message ?? "";
  expect(await wrong("quote.csv", 'id,note\n5,ok\n6,"never closed\n7,x\n')).toContain("quote.csv, line 3: a quote");
  expect(await wrong("more.csv", "id,note\n5,ok\n6,a,b\n")).toContain("more.csv, line 3: it has 3 values, and there are 2 columns");
  expect(await wrong("type.csv", "id,note\n5,ok\nsix,a\n")).toContain('type.csv, line 3: the column "id" has "six", which is no whole number');
  expect(await wrong("twice.csv", "id,ID\n1,2\n")).toContain('line 1: the column "ID" is there twice');
  expect(await wrong("again.csv", "id,note\n2,a\n")).toContain("keys (id) that the dataset has already");
  expect(await wrong("double.csv", "id,note\n8,a\n8,b\n")).toContain("1 keys (id) are there more than once");
  expect(await wrong("null.csv", "id,note\n,a\n")).toContain("1 rows have no value in the key (id)");
  expect((await put("orders", "2.csv", "id,extra\n9,new\n")).rows).toBe(3);
});

test("JSON lines keep what is nested as text; a bomb of brackets is refused with its line", async () => {
  const good = await put("events", "a.jsonl", '{"a":1,"b":{"x":[1]}}\n{"a":2.5,"c":"2013-01-01T00:00:00Z"}\n');
  expect([good.error?.message, good.rows]).toEqual([undefined, 2]);
  expect(await rowsOf("events", 1)).toMatchObject([
    { a: 1, b: '{"x":[1]}' },
    { a: 2.5, b: null },
  ]);
  const wrong = async (file: string, text: string) => (await put("events", file, text)).error?.message ?? "";
  expect(await wrong("bomb.jsonl", `{"a":1}\n{"a":${"[".repeat(1_000_000)}\n`)).toContain("bomb.jsonl, line 2: it is nested more than 64 deep");
  expect(await wrong("open.jsonl", '{"a":1}\n{"a":2\n{"a":3}\n')).toContain("open.jsonl, line 2");
  expect(await wrong("list.jsonl", "[1]\n")).toContain("line 1: it holds no JSON object");
  expect(await wrong("text.jsonl", '{"a":"x"}\n')).toContain("text.jsonl, line 1");
});

test("times without a zone are read in the dataset's; partitions are of its days, and each is read by itself", async () => {
  const made = await put(
    "local",
    "a.csv",
    "at,n\n2013-11-02 23:30:00,1\n2013-11-03 00:30:00,2\n2013-11-03 01:30:00,3\n2013-11-03T01:30:00-04:00,4\n2013-11-04 00:00:00,5\n",
  );
  expect(made.error?.message).toBeUndefined();
  const { items } = await ask<{ items: DatasetPartition[] }>("GET", "/local/versions/1/partitions");
  expect(items.map(({ key, rows }) => [key, rows])).toEqual([
    ["2013-11-02", 1],
    ["2013-11-03", 3],
    ["2013-11-04", 1],
  ]);
  // The hour that is there twice is the second one, of standard time, unless the text says the offset.
  expect(await rowsOf("local", 1, "&partition=2013-11-03")).toMatchObject([
    { n: 2, at: expect.stringContaining("04:30:00") },
    { n: 3, at: expect.stringContaining("06:30:00") },
    { n: 4, at: expect.stringContaining("05:30:00") },
  ]);
  expect((await ask("GET", "/local/versions/1/data?partition=2014")).error?.message).toContain('no partition "2014": it has 2013-11-02');
  expect((await ask<DatasetVersionDetail>("GET", "/local/as-of?at=2013-03-01T00:00:00Z")).version).toBe(1);
  expect((await ask("GET", "/local/as-of?at=2012-01-01T00:00:00Z")).error?.message).toContain("had no accepted version");
});

test("several files are one version; partitions by key keep the order of rows", async () => {
  const files = [];
  for (const [name, text] of [
    ["x.csv", "g,n\nb,1\na,2\nb,3\n"],
    ["y.csv", "g,n\na,4.5\n"],
  ] as const)
    files.push({ name, digest: (await ask<{ digest: string }>("POST", "/groups/uploads", text)).digest });
  const made = await ask<DatasetVersion>("POST", "/groups/ingestions", { from: { kind: "files", files } });
  expect([made.error?.message, made.rows]).toEqual([undefined, 4]);
  expect(await rowsOf("groups", 1, "&partition=g%3Db")).toEqual([
    { g: "b", n: 1 },
    { g: "b", n: 3 },
  ]);
  expect(await rowsOf("groups", 1, "&partition=g%3Da")).toEqual([
    { g: "a", n: 2 },
    { g: "a", n: 4.5 },
  ]);
  const again = await ask<DatasetVersion>("POST", "/groups/ingestions", { from: { kind: "files", files } });
  expect([again.version, again.digest]).toEqual([1, made.digest]);
});

test("rows of a query of PostgreSQL come in by a connection's name; what is no single SELECT is refused", async () => {
  const from = (query: string, connection = "own") => ask<DatasetVersion>("POST", "/table/ingestions", { from: { kind: "postgres", connection, query } });
  const made = await from(
    "select i as id, 'name ' || i as name, nullif(i, 3)::numeric / 2 as half, i > 2 as big, timestamptz '2013-01-01 00:00Z' + i * interval '1 day' as at, '' as empty from generate_series(1, 25000) i;",
  );
  expect([made.error?.message, made.rows]).toEqual([undefined, 25_000]);
  const [first, , third] = (await rowsOf("table", made.version)) as Record<string, unknown>[];
  expect(first).toMatchObject({ id: 1, name: "name 1", half: 0.5, big: false, empty: "" });
  expect(third).toMatchObject({ id: 3, half: null, big: true });
  expect((await from("select 1 as x; drop table dataset_part")).error?.message).toContain("several statements");
  expect((await from("delete from dataset_part returning 1")).error?.message).toContain("refuses the query");
  expect((await from("select nextval('dataset_push_id_seq')")).error?.message).toContain("only reading is possible");
  expect((await from("select 1", "other")).error?.message).toContain('no connection "other"');
  expect((await ask("POST", "/table/ingestions", { from: { kind: "s3", url: "s3://secret/x/" } })).error?.message).toContain("MILLRACE_INGEST_S3");
});

test("pushed rows are durable when answered for, once by their key, and together a version", async () => {
  const push = (body: string, key?: string) => ask<RowsReceipt>("POST", "/pushed/rows", body, key === undefined ? {} : { "idempotency-key": key });
  expect(await push('{"id":1}\n{"id":2}\n', "k1")).toEqual({ rows: 2, pendingRows: 2, repeated: false });
  expect(await push('[{"id":1},{"id":2}]', "k1")).toEqual({ rows: 2, pendingRows: 2, repeated: true });
  expect((await push('{"id":3}', "k1")).error?.message).toContain("used before, with other rows");
  expect((await push("not json")).error?.message).toContain("Line 1 is no JSON");
  expect((await push('{"id":4}\n{"id":\n5}')).error?.message).toContain("Line 2 is no JSON");
  // One object may be written on several lines.
  expect(await push('{\n  "id": 2\n}', "k2")).toMatchObject({ rows: 1, pendingRows: 3 });
  expect(await push('{"rows":[{"id":3}]}')).toMatchObject({ rows: 1, pendingRows: 4 });
  await platform.clock.advance(new Date("2013-03-01T00:00:30Z"));
  expect(await rowsOf("pushed", 1)).toEqual([{ id: 1 }, { id: 2 }, { id: 2 }, { id: 3 }]);
  // One that does not fit spoils no other.
  await push('{"id":"x"}');
  await push('{"id":4}');
  await Promise.all([ask("POST", "/pushed/flush"), ask("POST", "/pushed/flush")]);
  const versions = await ask<{ items: DatasetVersion[] }>("GET", "/pushed/versions?status=accepted");
  expect(versions.items[0]?.rows).toBe(5);
  // And nothing that was accepted is in quarantine as well, where accepting it would double it.
  const refused = await ask<{ items: DatasetVersion[] }>("GET", "/pushed/versions?status=quarantined");
  expect(refused.items.map(({ added }) => added.file)).toEqual([expect.stringMatching(/^push \d+$/)]);
  expect((await ask<{ pendingRows: number }>("GET", "/pushed")).pendingRows).toBe(0);
});

test("two versions are compared by key, or by whole rows", async () => {
  expect((await ask("GET", "/orders/diff?from=1&to=2")).error?.message).toContain("can't be read: quote.csv, line 3");
  const { items } = await ask<{ items: DatasetVersion[] }>("GET", "/orders/versions?status=accepted");
  const newest = items[0]?.version ?? 0;
  const diff = await ask<DatasetDiff>("GET", `/orders/diff?from=1&to=${newest}`);
  expect(diff.rows).toMatchObject({ from: 2, to: 3, added: 1, removed: 0, changed: 0, key: ["id"] });
  expect(diff.columns.added).toEqual([{ name: "extra", type: "VARCHAR" }]);
  expect(diff.examples.added).toMatchObject([{ id: 9, extra: "new" }]);
  expect(diff.statistics.find((one) => one.name === "id")?.to?.count).toBe(3);
  await put("groups", "z.csv", "g,n\nb,1\nc,9\n");
  expect((await ask<DatasetDiff>("GET", "/groups/diff?from=1&to=2&statistics=false")).rows).toMatchObject({ added: 1, removed: 3, changed: null });
});

test("a split is the same whatever the order of rows, has each row once, and keeps groups together", async () => {
  const csv = (order: string) =>
    platform.duckdb.rows(`copy (select i as id, i % 97 as customer from range(10000) t(i) order by ${order}) to '${path.join(folder, "s.csv")}' (header)`);
  const split = async (version: number) =>
    (
      await ask<SplitAnswer>("POST", `/table/versions/${version}/splits`, {
        by: "group",
        columns: ["customer"],
        shares: [
          { name: "train", share: 0.8 },
          { name: "test", share: 0.2 },
        ],
      })
    ).splits;
  const results: number[][] = [];
  for (const order of ["i", "hash(i)"]) {
    await csv(order);
    const made = await put("table", "s.csv", await readFile(path.join(folder, "s.csv")));
    expect(made.error?.message).toBeUndefined();
    results.push((await split(made.version)).map(({ rows }) => rows));
  }
  expect(results[0]).toEqual(results[1]);
  expect((results[0]?.[0] ?? 0) + (results[0]?.[1] ?? 0)).toBe(10_000);
  expect(results[0]?.[1]).toBeGreaterThan(500);
});

test("three million rows stream through 300 MB, and the same content has the same digest", async () => {
  const file = path.join(folder, "big.csv");
  await platform.duckdb.rows(`copy (select range as id, hash(range) % 1000 as v, 'name ' || (range % 5000) as n from range(3000000)) to '${file}' (header)`);
  const bytes = await readFile(file);
  const made = await put("events", "big.csv", bytes);
  expect(made.error?.message).toBeUndefined();
  expect(made.added.rows).toBe(3_000_000);
  const snapshot = await put("table", "big.csv", bytes);
  expect(snapshot.added.digest).toBe(made.added.digest);
}, 120_000);
