/** A version whose environment takes its time, at a registry of packages that does not answer yet: two server processes, one of which is killed. */
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { type Client, createClient } from "@millrace/sdk/client";
import type { EndpointSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ServerProcess, startServerProcess } from "../pipelines/testing.js";
import { newId, type Platform } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { projectSpec } from "../projects/testing.js";
import { createRegistry } from "../registry/index.js";

const root = fileURLToPath(new URL("../../../../", import.meta.url));
let folder: string;
let database: Awaited<ReturnType<typeof openPlatform>>;
let packages: Server;
/** Requests for the package that nobody has, which wait for their answer. */
const held: ServerResponse[] = [];
let asked = 0;
let answering = false;
const servers: ServerProcess[] = [];

async function start(): Promise<Client> {
  // Of a slow registry uv asks again sooner than that by itself.
  const { MILLRACE_ENVIRONMENTS = path.join(root, ".millrace", "environments") } = process.env;
  const environment = { DATABASE_URL: database.platform.databaseUrl, UV_HTTP_TIMEOUT: "120", MILLRACE_ENVIRONMENTS };
  const server = await startServerProcess(path.join(folder, "data"), environment);
  servers.push(server);
  return createClient({ url: server.url });
}

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  packages = createServer((request, response) => {
    if (answering || !request.url?.includes("slow-package")) return void response.writeHead(404).end();
    asked++;
    held.push(response);
  });
  await once(packages.listen(0, "127.0.0.1"), "listening");
  database = await openPlatform({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "system" }, logLevel: "silent" });
}, 60_000);
afterAll(async () => {
  for (const response of held) response.destroy();
  await Promise.all(servers.map((server) => server.stop()));
  packages.close();
  await database.close();
  await rm(folder, { recursive: true, force: true });
});

async function register(platform: Platform, model: string, content: Record<string, Buffer>): Promise<void> {
  const files = await Promise.all(
    Object.entries(content).map(async ([name, bytes]) => {
      const { digest, size } = await platform.objects.put(bytes);
      return { path: name, digest, size };
    }),
  );
  const noMetrics = { rows: 0, positives: 0, auc: null, log_loss: null, brier: null, calibration_error: null, mean_prediction: null };
  const report = {
    ...{ candidate: noMetrics, champion: null, championVersion: null, slices: [], calibration: [], parity: null },
    latency: { p50Ms: 1, p99Ms: 1 },
  };
  const digest = files[0]?.digest ?? "";
  const registry = createRegistry(platform);
  await registry.register({ model, digest, files, service: null, runId: newId(), trackingRunId: null, metrics: {}, gates: [], report });
}

test("while a version's environment is made, other endpoints switch, a process may die, and something newer may take over", { timeout: 180_000 }, async () => {
  const onnx = { "model.onnx": await readFile(fileURLToPath(new URL("../inference/fixtures/columns.onnx", import.meta.url))) };
  const { port } = packages.address() as AddressInfo;
  const python = {
    MLmodel: Buffer.from("flavors:\n  python_function:\n    loader_module: slow_package\n"),
    "requirements.txt": Buffer.from(`--extra-index-url http://127.0.0.1:${port}/simple\nslow-package==1.0\n`),
  };
  for (const [model, content] of Object.entries({ quick: [onnx, onnx], slow: [onnx, python, onnx] }))
    for (const one of content) await register(database.platform, model, one);
  const endpoint = (name: string): EndpointSpec => ({
    ...{ name, model: name, log: {} },
    rollout: { kind: "canary", steps: [0.5, 1], each: "1h", judge: [] },
  });
  const first = await start();
  await first.projects.apply(projectSpec({ name: "test", endpoints: [endpoint("quick"), endpoint("slow")] }));
  const champion = (client: Client, model: string, version: number) => client.models.setAlias(model, "champion", version);
  const answers = (client: Client, name: string) => async () => (await client.endpoints.get(name)).stable;
  for (const name of ["quick", "slow"]) {
    await champion(first, name, 1);
    await expect.poll(answers(first, name), { timeout: 20_000 }).toBe(1);
  }

  await champion(first, "slow", 2);
  await expect.poll(() => asked, { timeout: 60_000 }).toBe(1);
  await champion(first, "quick", 2);
  await expect.poll(answers(first, "quick"), { timeout: 10_000 }).toBe(2);
  expect(await first.endpoints.get("slow")).toMatchObject({ stable: 1, rollout: { candidate: 1 }, preparing: [2] });

  // Another process leaves it to the one that is at it, and goes on with it when that is gone.
  const second = await start();
  await champion(second, "quick", 1);
  await expect.poll(answers(second, "quick"), { timeout: 10_000 }).toBe(1);
  expect(asked).toBe(1);
  await servers[0]?.kill();
  await expect.poll(() => asked, { timeout: 60_000 }).toBe(2);

  // Something newer does not wait for it, and it does not begin.
  await champion(second, "slow", 3);
  await expect.poll(answers(second, "slow"), { timeout: 10_000 }).toBe(3);
  expect((await second.endpoints.rollouts("slow")).items.map(({ candidate }) => candidate)).toEqual([3, 1]);

  // Wanted again, it ends as its environment does.
  await champion(second, "slow", 2);
  answering = true;
  for (const response of held.splice(0)) response.writeHead(404).end();
  const newest = async () => (await second.endpoints.rollouts("slow")).items[0];
  await expect
    .poll(newest, { timeout: 60_000 })
    .toMatchObject({ candidate: 2, state: "rolled_back", reason: expect.stringContaining("environment can't be made") });
  expect(await second.endpoints.get("slow")).toMatchObject({ stable: 3, preparing: [] });
});
