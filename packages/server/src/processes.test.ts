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
/** The status of an answer over a connection of its own. */
const ask = (route: string) =>
  new Promise<number | undefined>((resolve, reject) => {
    get(`${server.url}${route}`, { agent: new Agent({ keepAlive: false }) }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    }).on("error", reject);
  });

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

test("a process that was killed is started again, and the others answer meanwhile", async () => {
  const [first = 0, second] = pids();
  const gone = new Promise((resolve) => cluster.once("exit", resolve));
  process.kill(first, "SIGKILL");
  await gone;
  expect(await Promise.all(Array.from({ length: 6 }, () => ask("/health")))).toEqual(new Array(6).fill(200));
  await expect.poll(() => pids().filter((pid) => pid !== first)).toHaveLength(2);
  expect(pids()).toContain(second);
});

test("a process that serves needs the PostgreSQL of its server", () => {
  expect(() => startServing({ host: "127.0.0.1", port: 0, dataDir: folder, clock: { kind: "system" }, logLevel: "error" })).toThrow("set DATABASE_URL to it");
});
