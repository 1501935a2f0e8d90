import cluster from "node:cluster";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent, get } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type RunningServer, startServers, startServing } from "./server.js";

let folder: string;
let server: RunningServer;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  server = await startServers({ host: "127.0.0.1", port: 0, grpcPort: 0, dataDir: folder, clock: { kind: "system" }, logLevel: "error" }, 2);
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const pids = () => Object.values(cluster.workers ?? {}).flatMap((worker) => worker?.process.pid ?? []);
/** An answer over a connection of its own, so that the processes take turns. */
const asked = (route: string) =>
  new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
    get(`${server.url}${route}`, { agent: new Agent({ keepAlive: false }) }, async (answer) => {
      const parts: Buffer[] = [];
      for await (const part of answer) parts.push(part);
      resolve({ status: answer.statusCode, body: Buffer.concat(parts).toString() });
    }).on("error", reject);
  });
const ask = async (route: string) => (await asked(route)).status;
/** How many requests to a route `/metrics` says were answered. */
async function counted(route: string): Promise<number> {
  const { body } = await asked("/metrics");
  return Number(new RegExp(`millrace_http_request_duration_seconds_count{[^}]*route="${route}"[^}]*} (\\d+)`).exec(body)?.[1] ?? 0);
}

test("two processes answer on one port, by the same facts", async () => {
  expect(pids()).toHaveLength(2);
  expect(server.grpc).toMatch(/^127\.0\.0\.1:[1-9]/);
  const project = {
    ...{ apiVersion: "millrace/v1", name: "small", files: [], folder: "/" },
    ...Object.fromEntries(
      ["schemas", "entities", "featureViews", "featureServices", "pipelines", "endpoints", "monitors", "triggers"].map((kind) => [kind, []]),
    ),
    datasets: [{ name: "things", mode: "snapshot" }],
  };
  const applied = await fetch(`${server.url}/api/v1/projects/small`, {
    method: "PUT",
    body: JSON.stringify(project),
    headers: { "content-type": "application/json" },
  });
  expect([applied.status, await applied.text()]).toEqual([200, expect.stringContaining('"version":1')]);
  await expect
    .poll(async () => (await Promise.all(Array.from({ length: 8 }, () => ask("/api/v1/datasets/things")))).every((status) => status === 200))
    .toBe(true);
});

test("metrics are of all processes, whichever is asked", async () => {
  const before = await counted("/version");
  await Promise.all(Array.from({ length: 40 }, () => ask("/version")));
  // A request is counted when its answer has gone.
  await expect.poll(() => counted("/version")).toBe(before + 40);
  const told = await Promise.all(Array.from({ length: 8 }, () => counted("/version")));
  expect(told).toEqual(new Array(8).fill(before + 40));
  const { body } = await asked("/metrics");
  expect(body).toMatch(/^# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total [0-9.]+$/m);
  // Of the two and the one that looks after them.
  expect(body).toMatch(/^nodejs_version_info{.*} 1$/m);
  expect(body.match(/^nodejs_heap_size_total_bytes /gm)).toHaveLength(1);
  expect(body.endsWith("# EOF\n")).toBe(true);
});

test("a process that was killed is started again, the others answer meanwhile, and what it counted is not forgotten", async () => {
  const [first = 0, second] = pids();
  const before = await counted("/version");
  expect(before).toBeGreaterThan(0);
  const gone = new Promise((resolve) => cluster.once("exit", resolve));
  process.kill(first, "SIGKILL");
  await gone;
  expect(await Promise.all(Array.from({ length: 6 }, () => ask("/health")))).toEqual(new Array(6).fill(200));
  await expect.poll(() => pids().filter((pid) => pid !== first)).toHaveLength(2);
  expect(pids()).toContain(second);
  expect(await counted("/version")).toBe(before);
});

test("a process that serves needs the PostgreSQL of its server", () => {
  expect(() => startServing({ host: "127.0.0.1", port: 0, dataDir: folder, clock: { kind: "system" }, logLevel: "error" })).toThrow("set DATABASE_URL to it");
});
