/** Feast's own client, as it comes, reads and writes through its remote online store; and what its protocol answers in detail. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { FeatureServiceSpec, FeatureViewSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createCompute } from "../../compute/index.js";
import { createDatasets } from "../../datasets/index.js";
import { openHttp, type Platform } from "../../platform/index.js";
import { openPlatform } from "../../platform/open.js";
import { createProjects } from "../../projects/index.js";
import { applyProject } from "../../projects/testing.js";
import { clientPython } from "../../tracking/testing.js";
import { createValidation } from "../../validation/index.js";
import { createFeatures, type Features, feastRoutes } from "../index.js";

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
/** For what Feast joins offline: values that are corrected later, of which Feast sees all. */
const state: FeatureViewSpec = {
  ...{ kind: "latest", name: "state", entity: "sensor", source: { dataset: "events" }, timestamp: "at", created: "created", ttl: "90m" },
  features: [
    { name: "level", type: "float64" },
    { name: "word", type: "string" },
  ],
};
const stateService: FeatureServiceSpec = {
  name: "states",
  request: [
    { name: "t", type: "timestamp" },
    { name: "sensor", type: "string" },
  ],
  ...{ timestamp: "t", views: ["state"], compute: [], features: state.features.map(({ name, type }) => ({ name, type })) },
};
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
let platform: Platform;
let datasets: ReturnType<typeof createDatasets>;
let features: Features;
let stop: () => Promise<void>;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const opened = await openPlatform({
    ...{ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "system" as const }, logLevel: "warn" },
  });
  platform = opened.platform;
  const projects = createProjects(platform);
  datasets = createDatasets(platform, { projects, validation: createValidation(platform, { compute: createCompute(platform), projects }) });
  const app = await openHttp(platform, async () => ({ name: "anna" }));
  features = createFeatures(platform, { projects, datasets });
  feastRoutes(app, features);
  await applyProject(projects, {
    datasets: [
      { name: "weather_hourly", mode: "append" },
      { name: "landings", mode: "append" },
      { name: "events", mode: "append" },
    ],
    entities: ["origin", "sensor"].map((name) => ({ name, keys: [{ name, type: "string" }] })),
    featureViews: [...views, state],
    featureServices: [service, stateService],
  });
  await platform.events.start();
  url = await app.listen({ host: "127.0.0.1", port: 0 });
  stop = async () => {
    await app.close();
    await opened.close();
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

/** What the script says in its last line. */
async function feast(script: string): Promise<unknown> {
  const python = await clientPython(path.join(scripts, "requirements.lock"), folder);
  const env = { ...process.env, MILLRACE_URL: url, FEAST_USAGE: "False", PYTHONWARNINGS: "ignore", PYTHONDONTWRITEBYTECODE: "1" };
  const { stdout } = await promisify(execFile)(python, [path.join(scripts, script)], { cwd: folder, env });
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
}

test("by event time, a row's features are those that Feast joins itself: what is known late, gaps up to and beyond the TTL, what is missing", {
  timeout: 600_000,
}, async () => {
  // Values that are written down when they are true, or up to two days later; some are missing. One of each moment: of several Feast's file store takes any,
  // as it sorts twice by a sort that is not stable.
  const events = `select 's' || (i // 4 % 7) as sensor, timestamptz '2013-11-03 04:00:00Z' + to_minutes((hash(i // 4) % 600)::int * 15) as "at",
      "at" + to_minutes(case i % 4 when 0 then 0 when 1 then 5 when 2 then 60 else 3000 end::int) as created,
      case when hash(i, 1) % 6 = 0 then null else (hash(i, 2) % 1000)::double / 10 end as level,
      case when hash(i, 3) % 6 = 0 then null else 'word ' || hash(i, 4) % 9 end as word
    from range(4000) r (i) qualify row_number() over (partition by sensor, "at" order by hash(i, 6)) = 1`;
  // At a row's moment, at the TTL's end, a millisecond beyond it, before everything, after everything; and sensors without any row.
  // Each of them once: of two that ask the same, Feast answers one.
  const asked = `select row_number() over (order by sensor, t) as id, * from (select distinct case when i % 11 = 0 then 'nobody' else 's' || (i % 7) end as sensor,
      timestamptz '2013-11-03 04:00:00Z' + to_minutes((hash(i, 5) % 640)::int * 15 - 300) + to_milliseconds(case i % 3 when 0 then 0 when 1 then 1 else -1 end) as t
    from range(3000) r (i))`;
  for (const [name, sql] of Object.entries({ events, asked })) {
    await platform.duckdb.rows(`copy (${sql}) to '${path.join(folder, `${name}.parquet`)}' (format parquet)`);
  }
  await datasets.put("events", "events.parquet", await readFile(path.join(folder, "events.parquet")));
  const rows = await platform.duckdb.rows<{ sensor: string; t: string }>(
    `select sensor, strftime(t, '%Y-%m-%dT%H:%M:%S.%gZ') as t from '${path.join(folder, "asked.parquet")}' order by id`,
  );
  const theirs = await feast("feast_historical.py");
  const request = { t: rows.map((row) => row.t), sensor: rows.map((row) => row.sensor) };
  const ours = (await features.historical("states", { rows: request, asOf: "event_time" })).features;
  expect(theirs).toEqual({ leftOut: expect.any(Number), values: ours });
  expect(ours.level?.filter((level) => level !== null).length).toBeGreaterThan(500);
  expect(ours.level?.filter((level) => level === null).length).toBeGreaterThan(500);
  const known = (await features.historical("states", { rows: request, asOf: "known" })).features;
  expect(known).not.toEqual(ours);
});

test("Feast 0.67.0 writes and reads features here as in its own feature server", { timeout: 600_000 }, async () => {
  const ago = (ms: number) => new Date(Date.now() - ms).toISOString().slice(0, -1);
  expect(
    (await post("/push", { push_source_name: "landings", df: { origin: ["JFK", "JFK"], event_timestamp: [ago(1_000), ago(3_600_000)] }, to: "online" })).status,
  ).toBe(200);
  const found = await feast("feast_client.py");
  const origin = ["JFK", "LGA", "EWR", "XXX"];
  expect(found).toEqual({
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
