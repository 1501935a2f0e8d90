import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { startServer } from "@millrace/server";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseRange } from "./commands/sweep.js";
import { connect } from "./server.js";
import { runCommand } from "./testing.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));

let folder: string;
let server: Awaited<ReturnType<typeof startServer>>;

const millrace = (...args: string[]) => runCommand(args, { url: server.url });

const definitions = `import { asha, byTime, dataset, month, pipeline, project, schedule, scheduled, schema, splitByTime, sweep, timestamp } from "@millrace/sdk";
const good = schema({ name: "good", columns: { ordered_at: timestamp() }, unexpectedColumns: "allow" });
const orders = dataset({ name: "orders", watch: { folder: "data", pattern: "*.parquet" }, timestamp: "ordered_at", partition: byTime("month"), schema: good });
export const past = pipeline({ name: "past", params: { until: month() } }, ({ until }) => splitByTime(orders.upTo(until), { test: "7d" }));
export const monthly = schedule({ name: "monthly", run: past, cron: "0 6 1 * *", zone: "Europe/Oslo", params: { until: scheduled("month", { minus: 1 }) }, catchUp: { all: 3 }, overlap: "queue" });
// @ts-expect-error a date is no month
schedule({ name: "x", run: past, cron: "0 6 1 * *", params: { until: scheduled("date") } });
export const tune = sweep({ name: "tune", run: past, over: { until: ["2024-01", "2024-02"] }, search: "grid", goal: { maximize: "auc" }, stop: asha() });
export default project({ name: "work", definitions: [monthly, tune] });
`;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-work-"));
  server = await startServer({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "system" }, logLevel: "error" });
  await millrace("init", path.join(folder, "work"));
  await writeFile(path.join(folder, "work", "millrace.ts"), definitions);
  expect(await millrace("apply", path.join(folder, "work"))).toMatchObject({ code: 0, stderr: "" });
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

test("definitions of schedules and sweeps are typed by their pipeline", async () => {
  const said = await new Promise<string>((resolve) =>
    execFile(path.join(root, "node_modules/.bin/tsc"), ["-p", path.join(folder, "work")], (_error, stdout) => resolve(stdout)),
  );
  expect(said).toBe("");
});

test("schedules are listed, looked ahead, edited and paused", async () => {
  expect((await millrace("schedule", "list")).stdout).toMatch(/^monthly +past +0 6 1 \* \* \(Europe\/Oslo\) +on /m);
  const next = await millrace("schedule", "next", "monthly", "-n", "2");
  expect(next.stdout.trim().split("\n")).toHaveLength(3);
  expect(next.stdout).toMatch(/T06:00:00\+0[12]:00 +until=20\d\d-\d\d$/m);
  expect((await millrace("schedule", "edit", "monthly", "--cron", "0 7 1 * *")).stdout).toMatch(/edited by .+: cron \(millrace schedule reset monthly\)/);
  const applied = await millrace("apply", path.join(folder, "work"));
  expect(applied.stderr).toContain('The schedule "monthly" was edited on the server');
  expect((await millrace("schedule", "pause", "monthly")).stdout).toContain(": paused");
  expect((await millrace("schedule", "reset", "monthly")).stdout).toContain("0 6 1 * *");
  expect(await millrace("schedule", "create", "hourly", "past", "--cron", "0 * * * *", "-p", "until={scheduled:month}")).toMatchObject({ code: 0 });
  expect(await millrace("schedule", "delete", "hourly")).toMatchObject({ code: 0, stdout: "hourly is deleted.\n" });
  expect(await millrace("schedule", "edit", "monthly")).toMatchObject({ code: 2 });
});

test("a backfill and a sweep are followed to their ends", async () => {
  const client = connect({ url: server.url });
  const done = await millrace("backfill", "past", "--param", "until", "--from", "2024-01", "--to", "2024-02", "--at-once", "2", "--wait");
  expect(done).toMatchObject({ code: 0, stdout: expect.stringMatching(/^backfill \w+\nsucceeded: 2 succeeded of 2\n$/) });
  expect((await millrace("backfills")).stdout).toMatch(/2024-01 to 2024-02/);
  const parts = await millrace("backfill", "past", "--param", "until", "--partitions", "orders", "--newest-first", "--wait", "--json");
  const { id } = JSON.parse(parts.stdout);
  expect((await client.backfills.items(id)).items.map(({ value, state }) => [value, state])).toEqual([
    ["2024-02", "succeeded"],
    ["2024-01", "succeeded"],
  ]);
  expect((await millrace("backfill", "past", "--param", "until", "--partitions", "payments")).stderr).toContain('There is no dataset "payments"');
  expect(await millrace("backfill", "past", "--param", "until")).toMatchObject({ code: 2 });

  const sweep = await millrace("sweep", "tune", "--wait");
  expect(sweep.code).toBe(1);
  expect(sweep.stdout).toContain('trial 0: failed  until=2024-01  (Its run says no number "auc"');
  expect(sweep.stdout).toContain("failed: 2 failed of 2. No trial has told a value.");
  expect((await millrace("sweeps")).stdout).toMatch(/^\w+ +past +grid /m);
});

test("manifests for Kubernetes may have no workers, and no nonsense", async () => {
  const printed = await millrace("render", "kubernetes", "--image", "registry.example/millrace:1", "--workers", "0");
  expect(printed).toMatchObject({ code: 0, stdout: expect.stringMatching(/name: millrace-worker\n[\s\S]*replicas: 0\n/) });
  expect(await millrace("render", "kubernetes", "--image", "x", "--workers", "-1")).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("Give a number from 0 to 1000."),
  });
});

test("values to try are read as they are written", () => {
  const declared = [
    { name: "depth", type: "int" as const },
    { name: "lr", type: "float" as const },
  ];
  expect(parseRange("depth=3..8", declared)).toEqual(["depth", { kind: "int", from: 3, to: 8 }]);
  expect(parseRange("depth=2..16/2", declared)).toEqual(["depth", { kind: "int", from: 2, to: 16, step: 2 }]);
  expect(parseRange("lr=log:1e-3..0.3", declared)).toEqual(["lr", { kind: "float", from: 0.001, to: 0.3, log: true }]);
  expect(parseRange("lr=0..1/5", declared)).toEqual(["lr", { kind: "float", from: 0, to: 1, points: 5 }]);
  expect(parseRange("depth=3,5", declared)).toEqual(["depth", { kind: "choice", values: [3, 5] }]);
  expect(parseRange("kind=tree,linear", declared)).toEqual(["kind", { kind: "choice", values: ["tree", "linear"] }]);
  expect(() => parseRange("depth", declared)).toThrow("names no values");
});
