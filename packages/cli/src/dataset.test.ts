import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { ProjectSpec } from "@millrace/sdk/spec";
import { startServer } from "@millrace/server";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connect } from "./server.js";
import { runCommand } from "./testing.js";

let folder: string;
let server: Awaited<ReturnType<typeof startServer>>;
const none = { schemas: [], entities: [], featureViews: [], featureServices: [], pipelines: [], endpoints: [], monitors: [], triggers: [], files: [] };
const definitions: ProjectSpec = {
  ...{ apiVersion: "millrace/v1", name: "shop", folder: "/nowhere", ...none },
  datasets: [{ name: "orders", mode: "append", timestamp: "at", key: ["id"], partition: { by: "time", each: "month" } }],
};
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-cli-"));
  server = await startServer({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "system" }, logLevel: "error" });
  const applied = await fetch(`${server.url}/api/v1/projects/shop`, {
    ...{ method: "PUT", body: JSON.stringify(definitions), headers: { "content-type": "application/json" } },
  });
  expect(applied.status).toBe(200);
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});
const millrace = (...args: string[]) => runCommand(["dataset", ...args], { url: server.url });

test("files and folders are added, and a version goes out whole, by partition, divided and compared", { timeout: 120_000 }, async () => {
  const arrivals = path.join(folder, "arrivals");
  await mkdir(arrivals);
  const rows = (from: number, month: string) =>
    `id,customer,at\n${Array.from({ length: 10 }, (_, i) => `${from + i},c${i % 4},2024-${month}-0${(i % 9) + 1}`).join("\n")}\n`;
  await writeFile(path.join(folder, "orders-2024-01.csv"), rows(0, "01"));
  for (const [i, month] of ["02", "03"].entries()) await writeFile(path.join(arrivals, `${month}.csv`), rows(10 + 10 * i, month));
  const file = path.join(folder, "orders-2024-01.csv");
  expect(await millrace("add", "orders", file)).toMatchObject({ code: 0, stdout: "orders version 1: 10 rows added, 10 in all\n" });
  expect(await millrace("add", "orders", file)).toMatchObject({ code: 0, stdout: expect.stringContaining("version 1:") });
  expect(await millrace("add", "orders", arrivals)).toMatchObject({ code: 0, stdout: "orders version 2: 20 rows added, 30 in all\n" });
  const wrong = path.join(folder, "wrong.csv");
  await writeFile(wrong, 'id,customer,at\n99,"a,2024-01-01\n');
  const refused = await millrace("add", "orders", wrong);
  expect([refused.code, refused.stderr]).toEqual([3, expect.stringContaining("wrong.csv, line 2: a quote")]);
  expect((await millrace("add", "orders", "s3://landing/orders/")).stderr).toContain("MILLRACE_INGEST_S3");
  expect((await millrace("add", "orders", "postgres:shop", "--query", "select 1")).stderr).toContain('no connection "shop"');
  expect(await millrace("add", "orders", "postgres://u:p@host/shop", "--query", "select 1")).toMatchObject({ code: 2 });

  expect((await millrace("versions", "orders")).stdout).toMatch(/3 +quarantined[\s\S]*2 +accepted +30 +20[\s\S]*1 +accepted +10/);
  expect((await millrace("partitions", "orders")).stdout).toMatch(/2024-01 +10[\s\S]*2024-02 +10[\s\S]*2024-03 +10/);
  const printed = await millrace("get", "orders", "--version", "1", "--format", "csv");
  expect(printed.stdout.split("\n").length).toBe(12);
  const first = (await connect({ url: server.url }).datasets.version("orders", 1)).createdAt;
  expect((await millrace("get", "orders", "--as-of", first, "--format", "jsonl")).stdout.trim().split("\n").length).toBe(10);
  const out = path.join(folder, "out");
  expect(await millrace("get", "orders", "--partition", "2024-02", "--to", out)).toMatchObject({ code: 0 });
  expect(await readdir(out)).toEqual(["orders-2-2024-02.parquet"]);
  expect((await millrace("diff", "orders", "1", "2")).stdout).toContain("rows: 10 and 30: 20 added, 0 removed, 0 changed");

  const split = async (...args: string[]) => JSON.parse((await millrace("split", "orders", ...args, "--json")).stdout) as { name: string; rows: number }[];
  const groups = await split("train=0.5", "test=0.5", "--by", "customer", "--group");
  expect(groups.reduce((sum, { rows: n }) => sum + n, 0)).toBe(30);
  expect((await split("test=28d", "--by", "time")).map(({ name, rows: n }) => [name, n])).toEqual([
    ["train", 20],
    ["test", 10],
  ]);
  expect(await millrace("split", "orders", "test=28", "more=2", "--by", "time")).toMatchObject({ code: 2 });
});
