import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startServerProcess } from "./pipelines/testing.js";
import { openPlatform } from "./platform/open.js";
import { type RunningServer, startServer } from "./server.js";

let folder: string;
let server: RunningServer;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  server = await startServer({ host: "127.0.0.1", port: 0, dataDir: folder, clock: { kind: "system" }, logLevel: "warn" });
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

test("a server that is ready says so", async () => {
  const answer = await fetch(`${server.url}/health`);
  expect([answer.status, await answer.text()]).toEqual([200, "OK"]);
});

test("metrics are OpenMetrics", async () => {
  const answer = await fetch(`${server.url}/metrics`);
  expect(answer.headers.get("content-type")).toContain("application/openmetrics-text");
  expect((await answer.text()).trimEnd().endsWith("# EOF")).toBe(true);
});

test("another site's page and another name of this machine are refused", async () => {
  const { port } = new URL(server.url);
  const status = (headers: Record<string, string>, method = "GET") =>
    new Promise<number | undefined>((resolve, reject) => {
      const asked = request({ host: "127.0.0.1", port, path: "/api/v1/clock", method, headers }, (answer) => resolve(answer.resume().statusCode));
      asked.on("error", reject).end();
    });
  expect(await status({})).toBe(200);
  expect(await status({ host: `localhost:${port}`, origin: `http://localhost:${port}` })).toBe(200);
  expect(await status({ host: `rebound.example:${port}` })).toBe(403);
  expect(await status({ origin: "http://elsewhere.example" })).toBe(403);
  expect(await status({ "sec-fetch-site": "cross-site" }, "POST")).toBe(403);
});

test("without users it is not bound to where others could reach it", async () => {
  const alone = path.join(folder, "exposed");
  await expect(startServer({ host: "0.0.0.0", port: 0, dataDir: alone, clock: { kind: "system" }, logLevel: "silent" })).rejects.toThrow("millrace user add");
});

test("a data folder has one server at a time", async () => {
  await expect(startServer({ host: "127.0.0.1", port: 0, dataDir: folder, clock: { kind: "system" }, logLevel: "silent" })).rejects.toThrow(
    new RegExp(`in use by .*${process.pid}`),
  );
});

test("after a server is killed the next one takes its data over within 3 s", async () => {
  const dataDir = path.join(folder, "killed");
  const killed = await startServerProcess(dataDir);
  await killed.kill();
  const began = performance.now();
  const { close } = await openPlatform({ host: "127.0.0.1", port: 0, dataDir, clock: { kind: "system" }, logLevel: "silent" });
  expect(performance.now() - began).toBeLessThan(3_000);
  await close();
});

test("the API describes itself as OpenAPI 3.1", async () => {
  const document = (await (await fetch(`${server.url}/openapi.json`)).json()) as { openapi: string };
  expect(document.openapi).toBe("3.1.0");
});
