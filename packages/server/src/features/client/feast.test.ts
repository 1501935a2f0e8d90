/** Feast's own client, as it comes, reads and writes through its remote online store; and what its protocol answers in detail. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { FeatureServiceSpec, FeatureViewSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createCompute } from "../../compute/index.js";
import { createDatasets } from "../../datasets/index.js";
import { openHttp } from "../../platform/index.js";
import { openPlatform } from "../../platform/open.js";
import { createProjects } from "../../projects/index.js";
import { applyProject } from "../../projects/testing.js";
import { clientPython } from "../../tracking/testing.js";
import { createValidation } from "../../validation/index.js";
import { createFeatures, feastRoutes } from "../index.js";

const scripts = fileURLToPath(new URL(".", import.meta.url));
const views: FeatureViewSpec[] = [
  {
    ...{ kind: "latest", name: "weather", entity: "origin", source: { dataset: "weather_hourly" }, timestamp: "time_hour", ttl: "2h" },
    features: [
      { name: "temp", type: "float64" },
      { name: "visib", type: "float64" },
      { name: "note", type: "string" },
    ],
  },
  {
    ...{ kind: "window", name: "delays", entity: "origin", source: { dataset: "landings" }, timestamp: "landed_at" },
    features: [{ name: "landed_24h", type: "int64", aggregate: "count", over: "24h" }],
  },
];
const service: FeatureServiceSpec = {
  name: "delay_features",
  request: [
    { name: "at", type: "timestamp" },
    { name: "origin", type: "string" },
  ],
  ...{ timestamp: "at", views: ["weather", "delays"], compute: [] },
  features: [
    { name: "temp", type: "float64" },
    { name: "note", type: "string" },
    { name: "landed_24h", type: "int64" },
  ],
};

let folder: string;
let url: string;
let stop: () => Promise<void>;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const { platform, close } = await openPlatform({
    ...{ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "system" as const }, logLevel: "warn" },
  });
  const projects = createProjects(platform);
  const datasets = createDatasets(platform, { projects, validation: createValidation(platform, { compute: createCompute(platform), projects }) });
  const app = await openHttp(platform, async () => ({ name: "anna" }));
  feastRoutes(app, createFeatures(platform, { projects, datasets }));
  await applyProject(projects, {
    datasets: [
      { name: "weather_hourly", mode: "append" },
      { name: "landings", mode: "append" },
    ],
    entities: [{ name: "origin", keys: [{ name: "origin", type: "string" }] }],
    featureViews: views,
    featureServices: [service],
  });
  await platform.events.start();
  url = await app.listen({ host: "127.0.0.1", port: 0 });
  stop = async () => {
    await app.close();
    await close();
  };
});
afterAll(async () => {
  await stop();
  await rm(folder, { recursive: true, force: true });
});

async function post(route: string, body: unknown): Promise<{ status: number; body: unknown }> {
  const answer = await fetch(`${url}${route}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  const text = await answer.text();
  return { status: answer.status, body: text === "" ? undefined : JSON.parse(text) };
}

test("Feast 0.67.0 writes and reads features here as in its own feature server", { timeout: 600_000 }, async () => {
  const ago = (ms: number) => new Date(Date.now() - ms).toISOString().slice(0, -1);
  expect(
    (await post("/push", { push_source_name: "landings", df: { origin: ["JFK", "JFK"], event_timestamp: [ago(1_000), ago(3_600_000)] }, to: "online" })).status,
  ).toBe(200);
  const python = await clientPython(path.join(scripts, "requirements.lock"), folder);
  const env = { ...process.env, MILLRACE_URL: url, FEAST_USAGE: "False", PYTHONWARNINGS: "ignore", PYTHONDONTWRITEBYTECODE: "1" };
  const { stdout } = await promisify(execFile)(python, [path.join(scripts, "feast_client.py")], { cwd: folder, env });
  const origin = ["JFK", "LGA", "EWR", "XXX"];
  expect(JSON.parse(stdout.trim().split("\n").at(-1) ?? "")).toEqual({
    feast: "0.67.0",
    byFeature: { origin, temp: [51.5, null, null, null], visib: [9, null, 7, null], landed_24h: [2, 0, 0, 0] },
    full: { origin, weather__temp: [51.5, null, null, null] },
    byService: { origin, temp: [51.5, null, null, null], note: ["rain", null, null, null], landed_24h: [2, 0, 0, 0] },
  });

  const { status, body } = await post("/get-online-features", { features: ["weather:temp", "delays:landed_24h"], entities: { origin } });
  expect([status, body]).toEqual([
    200,
    {
      metadata: { feature_names: ["origin", "temp", "landed_24h"] },
      results: [
        { values: origin, statuses: Array(4).fill("PRESENT"), event_timestamps: Array(4).fill("1970-01-01T00:00:00Z") },
        {
          values: [51.5, null, null, null],
          statuses: ["PRESENT", "OUTSIDE_MAX_AGE", "NULL_VALUE", "NOT_FOUND"],
          event_timestamps: [expect.stringMatching(/^20/), expect.stringMatching(/^20/), expect.stringMatching(/^20/), "1970-01-01T00:00:00Z"],
        },
        { values: [2, 0, 0, 0], statuses: ["PRESENT", "NOT_FOUND", "NOT_FOUND", "NOT_FOUND"], event_timestamps: expect.any(Array) },
      ],
    },
  ]);
});

test("what Feast's protocol can't be given is told", async () => {
  const read = async (body: unknown) => (await post("/get-online-features", body)).body;
  const message = (text: string) => ({ error: { code: expect.any(String), message: expect.stringContaining(text) } });
  expect(await read({ entities: { origin: ["JFK"] } })).toEqual(message("Name the features"));
  expect(await read({ features: ["weather:wind"], entities: { origin: ["JFK"] } })).toEqual(message('has no feature "wind". It has temp, visib, note'));
  expect(await read({ features: ["weather:temp"], entities: { airport: ["JFK"] } })).toEqual(message('lack "origin"'));
  expect((await post("/push", { push_source_name: "nothing", df: {} })).body).toEqual(message('no feature view "nothing"'));
  expect((await post("/materialize", { feature_views: ["weather"], end_ts: "2024-01-01T00:00:00" })).status).toBe(200);
});
