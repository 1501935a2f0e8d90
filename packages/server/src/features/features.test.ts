import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Artifact, Columns, FeatureComparison, FeatureView, OnlineFeatures } from "@millrace/sdk/api";
import { ApiError, createClient } from "@millrace/sdk/client";
import type { FeatureServiceSpec, FeatureViewSpec, NodeSpec, ProjectSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createCompute } from "../compute/index.js";
import { createDatasets, datasetsRoutes, tableDigest } from "../datasets/index.js";
import { openHttp, type Platform, parquet } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { createProjects, type Projects } from "../projects/index.js";
import { applyProject } from "../projects/testing.js";
import { createValidation } from "../validation/index.js";
import { createFeatures, type Features, featuresRoutes } from "./index.js";

const data = (name: string) => fileURLToPath(new URL(`../../../../examples/flights/data/${name}`, import.meta.url));
const landedAt = `time_hour + to_minutes((minute + dep_delay + air_time
  + (((arr_time // 100 * 60 + arr_time % 100) - (dep_time // 100 * 60 + dep_time % 100) - air_time) % 60 + 60) % 60)::int)`;
const landings = `select origin, carrier, ${landedAt} as landed_at, arr_delay > 15 as late from flights where arr_delay is not null`;
const zone = "America/New_York";

const late = (name: string, over: string) => ({ name, type: "float64" as const, aggregate: "share" as const, column: "late", over });
const flightViews: FeatureViewSpec[] = [
  {
    ...{ kind: "latest", name: "weather", entity: "origin", timestamp: "time_hour", ttl: "2h" },
    source: { dataset: "weather_hourly", sql: "select origin, time_hour, temp, visib from weather_hourly" },
    features: ["temp", "visib"].map((name) => ({ name, type: "float64" })),
  },
  {
    ...{ kind: "window", name: "origin_delays", entity: "origin", source: { dataset: "flights", sql: landings }, timestamp: "landed_at" },
    features: [late("origin_late_3h", "3h"), late("origin_late_7d", "7d"), { name: "landed_24h", type: "int64", aggregate: "count", over: "24h" }],
  },
  {
    ...{ kind: "window", name: "carrier_delays", entity: "carrier", source: { dataset: "flights", sql: landings }, timestamp: "landed_at" },
    features: [late("carrier_late_24h", "24h")],
  },
  {
    ...{ kind: "latest", name: "plane", entity: "aircraft", source: { dataset: "planes", sql: "select tailnum, year as plane_year from planes" } },
    features: [{ name: "plane_year", type: "int64" }],
  },
];
const part = (op: "year" | "month" | "day_of_week" | "hour" | "minute") => ({ op, of: { op: "column" as const, name: "sched_dep" }, zone });
const flightService: FeatureServiceSpec = {
  name: "delay_features",
  request: [
    { name: "sched_dep", type: "timestamp" },
    ...["carrier", "origin", "tailnum"].map((name) => ({ name, type: "string" as const })),
    { name: "distance", type: "float64" },
  ],
  timestamp: "sched_dep",
  views: flightViews.map((view) => view.name),
  compute: [
    { name: "month", type: "int64", expr: part("month") },
    { name: "weekday", type: "int64", expr: part("day_of_week") },
    {
      name: "minute_of_day",
      type: "int64",
      expr: { op: "add", left: { op: "multiply", left: part("hour"), right: { op: "literal", value: 60 } }, right: part("minute") },
    },
    { name: "plane_age", type: "int64", expr: { op: "subtract", left: part("year"), right: { op: "column", name: "plane_year" } } },
    { name: "far", type: "boolean", expr: { op: "less", left: { op: "literal", value: 1_000 }, right: { op: "column", name: "distance" } } },
  ],
  features: [
    ...["carrier", "origin"].map((name) => ({ name, type: "string" as const })),
    ...["month", "weekday", "minute_of_day", "plane_age", "landed_24h"].map((name) => ({ name, type: "int64" as const })),
    { name: "far", type: "boolean" },
    ...["distance", "temp", "visib", "origin_late_3h", "origin_late_7d", "carrier_late_24h"].map((name) => ({ name, type: "float64" as const })),
  ],
};

/** Everything that a window can be made of, and a value that changes, of an entity with two keys. */
const source = { dataset: "readings" };
const sensorViews: FeatureViewSpec[] = [
  {
    ...{ kind: "window", name: "activity", entity: "sensor", source, timestamp: "at" },
    features: [
      { name: "events_2h", type: "int64", aggregate: "count", over: "2h" },
      { name: "alarms_1d", type: "float64", aggregate: "share", column: "alarm", over: "1d" },
      { name: "units_5h", type: "float64", aggregate: "sum", column: "units", over: "5h" },
      { name: "level_3d", type: "float64", aggregate: "mean", column: "level", over: "3d" },
    ],
  },
  { ...{ kind: "latest", name: "state", entity: "sensor", source, timestamp: "at", ttl: "90m" }, features: [{ name: "level", type: "float64" }] },
];
const sensorService: FeatureServiceSpec = {
  name: "sensor_features",
  request: [
    { name: "t", type: "timestamp" },
    { name: "site", type: "string" },
    { name: "unit", type: "int64" },
  ],
  timestamp: "t",
  views: ["activity", "state"],
  compute: [],
  features: [{ name: "events_2h", type: "int64" }, ...["alarms_1d", "units_5h", "level_3d", "level"].map((name) => ({ name, type: "float64" as const }))],
};
const project: Partial<ProjectSpec> = {
  datasets: [
    { name: "flights", mode: "append", timestamp: "time_hour" },
    { name: "weather_hourly", mode: "append", timestamp: "time_hour" },
    { name: "planes", mode: "snapshot" },
    { name: "readings", mode: "append", timestamp: "at" },
  ],
  entities: [
    { name: "origin", keys: [{ name: "origin", type: "string" }] },
    { name: "carrier", keys: [{ name: "carrier", type: "string" }] },
    { name: "aircraft", keys: [{ name: "tailnum", type: "string" }] },
    {
      name: "sensor",
      keys: [
        { name: "site", type: "string" },
        { name: "unit", type: "int64" },
      ],
    },
  ],
  featureViews: [...flightViews, ...sensorViews],
  featureServices: [flightService, sensorService],
};

let folder: string;
let url: string;
let platform: Platform;
let projects: Projects;
let datasets: ReturnType<typeof createDatasets>;
let features: Features;
/** Another process beside the first. */
let beside: Features;
/** What serving would have logged. */
let log: { request: Columns; features: Columns; at: Date[] };
let stop: () => Promise<void>;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const clock = { kind: "replay" as const, from: new Date("2013-03-01T00:00:00Z") };
  const opened = await openPlatform({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock, logLevel: "warn" });
  platform = opened.platform;
  projects = createProjects(platform);
  datasets = createDatasets(platform, { projects, validation: createValidation(platform, { compute: createCompute(platform), projects }) });
  const parts = { projects, datasets, loggedPredictions: async () => log };
  features = createFeatures(platform, parts);
  beside = createFeatures({ ...platform, events: { ...platform.events, subscribe: () => {} } }, parts);
  const app = await openHttp(platform, async () => ({ name: "anna" }));
  featuresRoutes(app, features);
  datasetsRoutes(app, datasets);
  url = await app.listen({ host: "127.0.0.1", port: 0 });
  await applyProject(projects, project);
  await platform.events.start();
  stop = async () => {
    await app.close();
    await opened.close();
  };
});
afterAll(async () => {
  await stop();
  await rm(folder, { recursive: true, force: true });
});

async function post<T>(route: string, body: unknown, moment?: string): Promise<{ status: number; body: T }> {
  const headers = { "content-type": "application/json", ...(moment === undefined ? {} : { "millrace-time": moment }) };
  const answer = await fetch(`${url}/api/v1/${route}`, { method: "POST", headers, body: JSON.stringify(body) });
  return { status: answer.status, body: (await answer.json()) as T };
}
function different(comparison: FeatureComparison) {
  return comparison.features.filter((feature) => feature.different > 0).map((feature) => [feature.name, feature.different, feature.examples[0]]);
}

test("real flights get the same features offline and online", async () => {
  for (const [dataset, file] of [
    ["planes", "planes"],
    ...["01", "02"].flatMap((m) => [
      ["flights", `flights-2013-${m}`],
      ["weather_hourly", `weather-2013-${m}`],
    ]),
  ]) {
    await datasets.put(dataset ?? "", `${file}.parquet`, await readFile(data(`${file}.parquet`)));
  }
  const february = await platform.objects.put(await readFile(data("flights-2013-02.parquet")));
  const rows: Artifact = {
    type: "table",
    digest: tableDigest([february.digest]),
    files: [{ path: "rows.parquet", digest: february.digest, size: february.size }],
    meta: {},
  };
  const node: Extract<NodeSpec, { kind: "historical_features" }> = {
    ...{ id: "features", kind: "historical_features" as const, inputs: {}, outputs: [{ name: "rows", type: "table" as const }] },
    config: {
      service: "delay_features",
      select: `select time_hour + to_minutes(minute) as sched_dep, carrier, origin, coalesce(tailnum, '') as tailnum, distance, arr_delay > 15 as late from rows`,
    },
  };
  const kind = features.stepKinds.historical_features;
  const workDir = await mkdtemp(path.join(folder, "work-"));
  const context = {
    runId: "r",
    project: "test",
    projectVersion: 1,
    node,
    inputs: { rows },
    params: {},
    trackingRunId: null,
    workDir,
    log: () => {},
    signal: new AbortController().signal,
  };
  expect(await kind.identity?.(context)).toEqual(await kind.identity?.(context));
  const output = (await kind.run(context)).outputs.rows;
  expect(output?.meta.rows).toBe(24_951);
  expect(output?.meta.columns).toEqual([
    "sched_dep",
    "carrier",
    "origin",
    "tailnum",
    "distance",
    "late",
    ...flightService.features.map((f) => f.name).filter((name) => !["carrier", "origin", "distance"].includes(name)),
  ]);

  await platform.events.settled();
  const sample = await platform.duckdb.rows<Record<string, string | number | boolean | null>>(
    `select * replace (strftime(sched_dep, '%Y-%m-%dT%H:%M:%SZ') as sched_dep) from ${parquet([await platform.objects.localPath((await platform.objects.stat(output?.files[0]?.digest as `sha256:${string}`))?.digest ?? "sha256:")])} using sample reservoir(400 rows) repeatable (7)`,
  );
  const column = (name: string) => sample.map((row) => row[name] ?? null);
  const request = Object.fromEntries(flightService.request.map(({ name }) => [name, column(name)]));
  const at = sample.map((row) => new Date(String(row.sched_dep)));
  const online = await features.readOnline("delay_features", request, at);
  for (const { name } of flightService.features) expect(online.features[name], name).toEqual(column(name));
  expect(online.status.plane).toContain("NOT_FOUND");
  expect(online.status.weather?.filter((status) => status === "PRESENT").length).toBeGreaterThan(390);
  log = { request, features: online.features, at };
  const check = await post<FeatureComparison>("feature-services/delay_features/check", { endpoint: "delay", sample: 400 });
  expect([check.status, check.body.rows, check.body.equal, different(check.body)]).toEqual([200, 400, 400, []]);

  // A difference is told with both values.
  log = { ...log, features: { ...log.features, temp: log.features.temp?.map((temp, i) => (i === 0 ? 1_000 : temp)) ?? [] } };
  const wrong = (await post<FeatureComparison>("feature-services/delay_features/check", { endpoint: "delay", sample: 400 })).body;
  expect([wrong.equal, different(wrong)[0]?.[0], different(wrong)[0]?.[2]]).toEqual([
    399,
    "temp",
    expect.objectContaining({ online: 1_000, offline: column("temp")[0] }),
  ]);
});

test("online equals offline while rows are pushed late, twice and in any order, and files arrive with what was pushed", async () => {
  let seed = 11;
  const random = (n: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((seed / 2 ** 31) * n);
  };
  const start = Date.parse("2013-05-01T00:00:00Z");
  const hour = 3_600_000;
  const events = Array.from({ length: 3_000 }, () => ({
    // Few minutes and few values: many events are equal.
    at: start + random(9 * 24) * hour + random(4) * 15 * 60_000,
    site: ["north", "south"][random(2)] ?? "",
    unit: random(2),
    alarm: random(5) === 0 ? null : random(3) === 0,
    units: random(4),
    level: random(6) === 0 ? null : random(3) + 0.1,
  })).sort((a, b) => a.at - b.at);
  // One state at a moment: what a latest view is about.
  const states = new Map(events.map((event) => [`${event.at} ${event.site} ${event.unit}`, event.level]));
  for (const event of events) event.level = states.get(`${event.at} ${event.site} ${event.unit}`) ?? null;

  const columnsOf = (rows: typeof events): Columns => ({
    at: rows.map((row) => new Date(row.at).toISOString()),
    ...Object.fromEntries((["site", "unit", "alarm", "units", "level"] as const).map((name) => [name, rows.map((row) => row[name])])),
  });
  async function deliver(file: string, rows: typeof events): Promise<void> {
    const place = path.join(folder, file);
    const json = path.join(folder, `${file}.json`);
    await (await import("node:fs/promises")).writeFile(json, rows.map((row) => JSON.stringify({ ...row, at: new Date(row.at).toISOString() })).join("\n"));
    await platform.duckdb.rows(
      `copy (select * from read_json('${json}', format = 'newline_delimited', columns = {'at': 'timestamptz', site: 'varchar', unit: 'int', alarm: 'boolean', units: 'int', level: 'double'})) to '${place}' (format parquet)`,
    );
    await datasets.put("readings", file, await readFile(place));
    await platform.events.settled();
  }
  const logged: typeof log = {
    request: { t: [], site: [], unit: [] },
    features: Object.fromEntries(sensorService.features.map(({ name }) => [name, []])),
    at: [],
  };
  async function ask(reader: Features, until: number): Promise<void> {
    const at = Array.from({ length: 6 }, () => new Date(until - random(30 * 60) * 60_000));
    const request: Columns = {
      t: at.map((t) => t.toISOString()),
      site: at.map(() => ["north", "south", "east"][random(3)] ?? ""),
      unit: at.map(() => random(2)),
    };
    const { features: found } = await reader.readOnline("sensor_features", request, at);
    logged.at.push(...at);
    for (const [name, values] of Object.entries(request)) logged.request[name]?.push(...values);
    for (const [name, values] of Object.entries(found)) logged.features[name]?.push(...values);
  }

  // A file holds its days and some of what comes after, as a file of local months does; it arrives a while after its end.
  const files: (typeof events)[] = [[], [], []];
  for (const event of events) files[Math.max(0, Math.min(2, Math.floor((event.at - start - random(5) * hour) / (3 * 24 * hour))))]?.push(event);
  for (let h = 0; h < 9 * 24; h++) {
    const [from, to] = [start + h * hour, start + (h + 1) * hour];
    const batch = events.filter((event) => event.at >= from && event.at < to);
    const push = async () => {
      for (const view of ["activity", "state"]) await (random(2) === 0 ? features : beside).push(view, columnsOf(batch));
    };
    // Equal events of one moment are told together; a batch may come in two halves in the wrong order, and again.
    const middle = from + 30 * 60_000;
    const halves = [batch.filter((event) => event.at >= middle), batch.filter((event) => event.at < middle)];
    await Promise.all(halves.map((half) => features.push("activity", columnsOf(half))));
    await push();
    if (random(10) === 0) await push();
    if (h > 30) for (const reader of [features, beside]) await ask(reader, to);
    if (h % 72 === 11 && h > 72) {
      const file = h < 144 ? 0 : 1;
      await deliver(`readings-${file}.parquet`, files[file] ?? []);
      await deliver(`readings-${file}.parquet`, files[file] ?? []);
      for (const reader of [features, beside]) await ask(reader, to);
    }
  }
  await deliver("readings-2.parquet", files[2] ?? []);
  for (const reader of [features, beside]) await ask(reader, start + 9 * 24 * hour);
  log = logged;
  const comparison = await features.check("sensor_features", { endpoint: "e", sample: 1, from: undefined, to: undefined });
  expect(comparison.rows).toBeGreaterThan(2_000);
  expect(different(comparison)).toEqual([]);
  const views = (await (await fetch(`${url}/api/v1/feature-views`)).json()) as { items: FeatureView[] };
  expect(views.items.find((view) => view.name === "activity")).toMatchObject({
    keys: ["site", "unit"],
    newest: new Date(events.at(-1)?.at ?? 0).toISOString(),
  });
});

test("what was pushed gives way to the dataset where the dataset has passed it", async () => {
  const at = (day: number) => `2013-05-${String(day).padStart(2, "0")}T12:00:30.000Z`;
  const row = (day: number): Columns => ({ at: [at(day)], site: ["west"], unit: [1], alarm: [true], units: [7], level: [1] });
  for (const day of [2, 9]) await features.push("activity", row(day));
  const count = async (reader: Features) => {
    const request: Columns = { t: [at(2), at(9)], site: ["west", "west"], unit: [1, 1] };
    return (await reader.readOnline("sensor_features", request, [new Date(at(2)), new Date(at(9))])).features.events_2h;
  };
  expect(await count(beside)).toEqual([1, 1]);
  const place = path.join(folder, "more.parquet");
  await platform.duckdb.rows(
    `copy (select timestamptz '2013-05-10 03:00:00Z' as at, 'north' as site, 0 as unit, true as alarm, 1 as units, 0.5 as level) to '${place}' (format parquet)`,
  );
  await datasets.put("readings", "readings-3.parquet", await readFile(place));
  await platform.events.settled();
  for (const reader of [features, beside]) expect(await count(reader)).toEqual([0, 0]);
});

test("one call brings rows into the dataset and online, once however often it is sent, and then they are the same offline", async () => {
  const client = createClient({ url });
  const at = (minute: number) => `2013-05-20T12:${String(minute).padStart(2, "0")}:00.000Z`;
  const row = (minute: number, units: number | string = 3) => ({
    at: at(minute),
    site: "east",
    unit: 1,
    alarm: minute > 1,
    units,
    level: 0.5,
    note: "only the dataset's",
  });
  const request: Columns = { t: [at(30)], site: ["east"], unit: [1] };
  const counts = async (reader: Features) => {
    const { events_2h, units_5h, level } = (await reader.readOnline("sensor_features", request, [new Date(at(30))])).features;
    return [events_2h, units_5h, level];
  };
  for (const repeated of [false, true]) {
    const receipt = await client.datasets.pushRows("readings", [row(1), row(2)], { key: "shift 7", online: true });
    expect(receipt).toEqual({ rows: 2, pendingRows: 2, repeated, online: ["activity", "state"] });
    for (const reader of [features, beside]) expect(await counts(reader)).toEqual([[2], [6], [0.5]]);
  }
  // Without being asked for, nothing goes online.
  expect((await client.datasets.pushRows("readings", [row(3)])).online).toBeUndefined();
  expect(await counts(beside)).toEqual([[2], [6], [0.5]]);

  // What does not fit is kept nowhere.
  const refused = async (dataset: string, rows: Record<string, unknown>[]) => {
    const error: unknown = await client.datasets.pushRows(dataset, rows, { online: true }).catch((cause: unknown) => cause);
    return error instanceof ApiError ? [error.status, error.message] : error;
  };
  expect(await refused("readings", [row(4), row(5, "many")])).toEqual([400, '"units" is float64, and "many" is not.']);
  expect(await refused("readings", [{ at: at(4), site: "east" }])).toEqual([400, expect.stringContaining('lack "unit"')]);
  expect(await refused("planes", [{ tailnum: "N1", year: 1999 }])).toEqual([400, expect.stringContaining('"plane" reads it by SQL')]);
  expect(await counts(beside)).toEqual([[2], [6], [0.5]]);

  expect((await client.datasets.flush("readings")).version?.added.rows).toBe(3);
  await platform.events.settled();
  for (const reader of [features, beside]) expect(await counts(reader)).toEqual([[3], [9], [0.5]]);
  const offline = (await features.historical("sensor_features", { rows: request, asOf: "event_time" })).features;
  expect([offline.events_2h, offline.units_5h, offline.level]).toEqual([[3], [9], [0.5]]);
});

test("Python reads and pushes the same features, of tables as they come", async () => {
  const script = `
import datetime, json
from millrace import datasets, features
at = datetime.datetime(2013, 6, 5, 12, 0, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
print(features.push("activity", [dict(site="py", unit=1, at=at, alarm=True, units=3, level=float("nan"))]))
rows = {"t": [at, at + datetime.timedelta(minutes=30)], "site": ["py", "py"], "unit": [1, 1]}
online = features.online("sensor_features", {name: values[1:] for name, values in rows.items()})
print(json.dumps([online, online.status]))
print(json.dumps(features.historical("sensor_features", rows, as_of="event_time")))
print(datasets.push("readings", [dict(site="py", unit=1, at=at, alarm=True, units=4, level=0.5)], online=True)["online"])
try:
    features.push("nothing", [])
except Exception as error:
    print(error)
`;
  const env = { ...process.env, MILLRACE_URL: url, PYTHONPATH: fileURLToPath(new URL("../../../../python", import.meta.url)), PYTHONDONTWRITEBYTECODE: "1" };
  const { stdout } = await promisify(execFile)("python3", ["-c", script], { env });
  const [pushed, online, offline, taken, refused] = stdout.trim().split("\n");
  expect(pushed).toBe("1");
  expect(JSON.parse(online ?? "")[1]).toEqual({ activity: [expect.any(String)], state: [expect.any(String)] });
  // The dataset does not have it yet.
  expect(JSON.parse(offline ?? "")).toMatchObject({ site: ["py", "py"], events_2h: [0, 0], level: [null, null] });
  expect(taken).toBe("['activity', 'state']");
  const moment = "2013-06-05T10:30:00Z";
  const { events_2h, units_5h } = (await beside.readOnline("sensor_features", { t: [moment], site: ["py"], unit: [1] }, [new Date(moment)])).features;
  expect([events_2h, units_5h]).toEqual([[2], [7]]);
  expect(refused).toContain("nothing");
});

test("what does not fit is told, and a moment of its own decides about a read", async () => {
  const push = (view: string, columns: Columns) => post<{ error: { message: string } }>(`feature-views/${view}/push`, { columns });
  expect((await push("weather", { origin: ["JFK"], temp: [1] })).body.error.message).toContain(
    'lack "time_hour". The view "weather" takes origin, time_hour, temp, visib',
  );
  expect((await push("weather", { origin: ["JFK"], time_hour: ["yesterday"], temp: [1], visib: [1] })).body.error.message).toContain('"yesterday" is no time');
  expect((await push("activity", { site: [3], unit: [1], at: [], alarm: [], units: [], level: [] })).status).toBe(400);
  expect((await push("nothing", {})).status).toBe(404);

  const read = (moment: string, temp?: string) =>
    post<OnlineFeatures>(
      "feature-services/delay_features/online",
      { request: { sched_dep: [moment], carrier: ["UA"], origin: ["JFK"], tailnum: [temp ?? null], distance: [100] } },
      moment,
    );
  await push("weather", { origin: ["JFK", "JFK"], time_hour: ["2013-06-01T10:00:00Z", "2013-06-01T12:00:00+01:00"], temp: [50, 51], visib: [1, null] });
  expect((await read("2013-06-01T10:30:00Z")).body).toMatchObject({
    features: { temp: [50], plane_age: [null], far: [false] },
    status: { weather: ["PRESENT"], plane: ["NOT_FOUND"] },
  });
  expect((await read("2013-06-01T12:59:00Z")).body).toMatchObject({ features: { temp: [51], visib: [null] }, status: { weather: ["PRESENT"] } });
  expect((await read("2013-06-01T13:30:00Z")).body).toMatchObject({ features: { temp: [null] }, status: { weather: ["OUTSIDE_MAX_AGE"] } });
  expect((await read("2012-06-01T13:30:00Z")).body).toMatchObject({
    features: { temp: [null], landed_24h: [0] },
    status: { weather: ["NOT_FOUND"], origin_delays: ["NOT_FOUND"] },
  });
  const missing = await post<{ error: { message: string } }>("feature-services/delay_features/online", { request: { carrier: ["UA"] } });
  expect([missing.status, missing.body.error.message]).toEqual([400, expect.stringContaining('lacks "sched_dep"')]);
});
