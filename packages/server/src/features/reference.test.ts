/** Features against a slow and plain computation of what they should be, on data that is made to be difficult. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Columns, HistoricalFeatures } from "@millrace/sdk/api";
import type { FeatureServiceSpec, FeatureViewSpec, ProjectSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createCompute } from "../compute/index.js";
import { createDatasets, type Datasets } from "../datasets/index.js";
import { openHttp, type Platform } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { createProjects } from "../projects/index.js";
import { applyProject } from "../projects/testing.js";
import { createValidation } from "../validation/index.js";
import { createFeatures, type Features, featuresRoutes } from "./index.js";

const minute = 60_000;
const hour = 60 * minute;
/** New York's clocks show the hour from one to two twice. */
const start = Date.parse("2013-11-03T04:00:00Z");
const days = 6;

interface Row {
  site: string | null;
  unit: number | null;
  at: number;
  created: number | null;
  level: number | null;
  word: string | null;
  part: number;
}
const source = { dataset: "events" };
const times = { timestamp: "at", created: "created" };
const latest = (name: string, ttl?: string): FeatureViewSpec => ({
  ...{ kind: "latest", name, entity: "sensor", source, ...times },
  ...(ttl === undefined ? {} : { ttl }),
  features: [
    { name: "level", type: "float64" },
    { name: "word", type: "string" },
  ],
});
const windows = [
  { aggregate: "count", over: "5m" },
  { aggregate: "count", over: "3h" },
  { aggregate: "sum", column: "level", over: "2h" },
  { aggregate: "mean", column: "level", over: "1d" },
  { aggregate: "min", column: "level", over: "6h" },
  { aggregate: "max", column: "level", over: "90d" },
  { aggregate: "stddev", column: "level", over: "1d" },
  { aggregate: "last", column: "word", over: "2h" },
  { aggregate: "distinct", column: "word", over: "1d" },
] as const;
const typeOf = (aggregate: string) => (aggregate === "last" ? "string" : aggregate === "count" || aggregate === "distinct" ? "int64" : "float64");
const windowFeatures = windows.map((one) => ({ ...one, name: `${one.aggregate}_${one.over}`, type: typeOf(one.aggregate) as "int64" }));
const views: FeatureViewSpec[] = [
  latest("fresh", "90m"),
  latest("exact", "0s"),
  latest("forever"),
  { kind: "window", name: "activity", entity: "sensor", source, ...times, features: windowFeatures },
  // The same without a creation, of which naive timestamps are UTC.
  {
    ...{ kind: "window", name: "plain", entity: "sensor", timestamp: "moment" },
    source: { dataset: "events", sql: 'select site, unit, "at"::timestamp as moment, level, word from events' },
    features: windowFeatures,
  },
];
const service = (view: string): FeatureServiceSpec => ({
  name: `${view}_features`,
  request: [
    { name: "t", type: "timestamp" },
    { name: "site", type: "string" },
    { name: "unit", type: "int64" },
  ],
  timestamp: "t",
  views: [view],
  compute: [{ name: "hour", type: "int64", expr: { op: "hour", of: { op: "column", name: "t" }, zone: "America/New_York" } }],
  features: [...(views.find((one) => one.name === view)?.features ?? []).map(({ name, type }) => ({ name, type })), { name: "hour", type: "int64" }],
});
const project: Partial<ProjectSpec> = {
  datasets: [{ name: "events", mode: "append", timestamp: "at" }],
  entities: [
    {
      name: "sensor",
      keys: [
        { name: "site", type: "string" },
        { name: "unit", type: "int64" },
      ],
    },
  ],
  featureViews: views,
  featureServices: views.map((view) => service(view.name)),
};

let seed = 5;
function random(n: number): number {
  seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
  return Math.floor((seed / 2 ** 31) * n);
}
const pick = <T>(...of: T[]): T => of[random(of.length)] as T;

/** Amendments long after, rows told twice, many at one moment, long gaps, values that are nothing or no number. */
function generate(n: number): Row[] {
  const rows: Row[] = [];
  for (let i = 0; i < n; i++) {
    const at = start + random(days * 24 * 4) * 15 * minute;
    // Nothing for a whole day.
    if (at > start + 2 * 24 * hour && at < start + 3 * 24 * hour) continue;
    const row: Row = {
      site: random(40) === 0 ? null : pick("north", "south", "it's"),
      unit: random(40) === 0 ? null : random(3),
      at,
      created: pick(null, at, at + random(8) * 15 * minute, at + random(72) * hour, at - hour),
      level: pick(null, Number.NaN, 0.1, 0.2, 0.3, -5, 1e6),
      word: pick(null, "a", "b", "é", ""),
      part: random(2),
    };
    rows.push(row);
    if (random(6) === 0) rows.push({ ...row });
    // What was told is corrected later.
    if (random(3) === 0) rows.push({ ...row, created: at + random(48) * hour, level: random(10) / 4, word: "corrected" });
  }
  return rows;
}
const rows = generate(1_400);
const asks = Array.from({ length: 1_500 }, () => ({
  at: start - 2 * hour + random((days + 2) * 24 * 4) * 15 * minute + (random(4) === 0 ? random(15 * minute) : 0),
  site: pick("north", "south", "it's", "nowhere", null),
  unit: random(4),
}));

const number = (value: number | null): number | null => (value === null || !Number.isFinite(value) ? null : value);
const compareText = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
function compare(a: number | string | null, b: number | string | null): number {
  if (a === null || b === null) return Number(b === null) - Number(a === null);
  return typeof a === "string" && typeof b === "string" ? compareText(a, b) : Number(a) - Number(b);
}
type Known = Row & { created: number };
const createdOf = (row: Row): number => row.created ?? row.at;
const own = ({ site, unit }: { site: string | null; unit: number | null }): Known[] =>
  rows.filter((row) => site !== null && unit !== null && row.site === site && row.unit === unit).map((row) => ({ ...row, created: createdOf(row) }));

type Values = (number | string | null)[];
function latestOf(ask: (typeof asks)[number], ttl: number, asOf: "known" | "event_time"): Values {
  let best: Known | undefined;
  for (const row of own(ask)) {
    if (row.at > ask.at || (asOf === "known" && row.created > ask.at)) continue;
    const order =
      best === undefined
        ? 1
        : row.at - best.at ||
          row.created - best.created ||
          row.part - best.part ||
          compare(number(row.level), number(best.level)) ||
          compare(row.word, best.word);
    if (order > 0) best = row;
  }
  return best === undefined || ask.at - best.at > ttl ? [null, null] : [number(best.level), best.word];
}
const length = (over: string) => Number.parseInt(over, 10) * (over.endsWith("m") ? minute : over.endsWith("h") ? hour : 24 * hour);
function windowOf(ask: (typeof asks)[number], known: boolean): Values {
  return windows.map((one) => {
    const events = own(ask).filter((row) => row.at <= ask.at && row.at > ask.at - length(one.over) && (!known || row.created <= ask.at));
    if (one.aggregate === "count") return events.length;
    const words = events.filter((row) => row.word !== null);
    if (one.aggregate === "distinct") return new Set(words.map((row) => row.word)).size;
    if (one.aggregate === "last") {
      const seen = (row: Known) => (known || one.aggregate !== "last" ? Math.max(row.at, row.created) : 0);
      return words.sort((a, b) => a.at - b.at || seen(a) - seen(b) || compare(a.word, b.word)).at(-1)?.word ?? null;
    }
    const levels = events.map((row) => number(row.level)).filter((level) => level !== null);
    const sum = levels.reduce((total, level) => total + level, 0);
    if (levels.length === 0) return null;
    const mean = sum / levels.length;
    switch (one.aggregate) {
      case "sum":
        return sum;
      case "mean":
        return mean;
      case "min":
        return Math.min(...levels);
      case "max":
        return Math.max(...levels);
      default:
        return levels.length < 2 ? null : Math.sqrt(levels.reduce((total, level) => total + (level - mean) ** 2, 0) / (levels.length - 1));
    }
  });
}
const newYork = new Intl.DateTimeFormat("en-US", { timeZone: "America/New_York", hour: "numeric", hourCycle: "h23" });
const request: Columns = {
  // Moments are written in zones of several kinds.
  t: asks.map(({ at }, i) => (i % 3 === 0 ? new Date(at).toISOString() : i % 3 === 1 ? new Date(at).toISOString().slice(0, -1) : zoned(at))),
  site: asks.map((ask) => ask.site),
  unit: asks.map((ask) => ask.unit),
};
function zoned(at: number): string {
  return `${new Date(at - 5 * hour).toISOString().slice(0, -1)}-05:00`;
}

let folder: string;
let url: string;
let platform: Platform;
let features: Features;
let beside: Features;
let stop: () => Promise<void>;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const clock = { kind: "replay" as const, from: new Date("2013-12-01T00:00:00Z") };
  const opened = await openPlatform({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock, logLevel: "warn" });
  platform = opened.platform;
  const projects = createProjects(platform);
  const datasets: Datasets & { put(name: string, file: string, body: Buffer): Promise<unknown> } = createDatasets(platform, {
    projects,
    validation: createValidation(platform, { compute: createCompute(platform), projects }),
  });
  features = createFeatures(platform, { projects, datasets });
  beside = createFeatures(
    { ...platform, events: { ...platform.events, subscribe: () => {} }, clock: { ...platform.clock, onTick: () => {} } },
    { projects, datasets },
  );
  const app = await openHttp(platform, async () => ({ name: "anna" }));
  featuresRoutes(app, features);
  url = await app.listen({ host: "127.0.0.1", port: 0 });
  await applyProject(projects, project);
  await platform.events.start();
  for (const part of [0, 1]) {
    const json = path.join(folder, "rows.json");
    const text = (row: Row) =>
      JSON.stringify({
        ...{ site: row.site, unit: row.unit, word: row.word, level: row.level === null ? null : String(row.level) },
        ...{ at: zoned(row.at), created: row.created === null ? null : zoned(row.created) },
      });
    await writeFile(
      json,
      rows
        .filter((row) => row.part === part)
        .map(text)
        .join("\n"),
    );
    const columns = "{site: 'varchar', unit: 'int', 'at': 'timestamptz', created: 'timestamptz', level: 'double', word: 'varchar'}";
    await platform.duckdb.rows(
      `copy (select * from read_json('${json}', format = 'newline_delimited', columns = ${columns})) to '${folder}/part.parquet' (format parquet)`,
    );
    await datasets.put("events", `part-${part}.parquet`, await readFile(path.join(folder, "part.parquet")));
  }
  await platform.events.settled();
  stop = async () => {
    await app.close();
    await opened.close();
  };
});
afterAll(async () => {
  await stop();
  await rm(folder, { recursive: true, force: true });
});

async function offline(view: string, asOf?: "known" | "event_time"): Promise<Columns> {
  const answer = await fetch(`${url}/api/v1/feature-services/${view}_features/historical`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ rows: request, ...(asOf === undefined ? {} : { asOf }) }),
  });
  const body = (await answer.json()) as HistoricalFeatures & { error?: { message: string } };
  expect(body.error?.message).toBeUndefined();
  return body.features;
}
function expectEqual(found: Columns, view: string, expected: (ask: (typeof asks)[number]) => Values): void {
  const names = (views.find((one) => one.name === view)?.features ?? []).map((one) => one.name);
  const wrong: unknown[] = [];
  for (const [i, ask] of asks.entries()) {
    for (const [f, value] of expected(ask).entries()) {
      const other = found[names[f] ?? ""]?.[i] ?? null;
      const close = typeof value === "number" && typeof other === "number" && Math.abs(value - other) <= 1e-9 * Math.max(1, Math.abs(value));
      if (value !== other && !close) wrong.push([names[f], new Date(ask.at).toISOString(), ask.site, ask.unit, { expected: value, found: other }]);
    }
  }
  expect(wrong.slice(0, 5)).toEqual([]);
  expect(found.hour).toEqual(asks.map((ask) => Number(newYork.format(ask.at))));
}

test.each([
  ["fresh", 90 * minute],
  ["exact", 0],
  ["forever", Number.POSITIVE_INFINITY],
])("the latest values of %s are those that the plain computation gives, as known and by event time, and online", async (view, ttl) => {
  expectEqual(await offline(view), view, (ask) => latestOf(ask, ttl, "known"));
  expectEqual(await offline(view, "event_time"), view, (ask) => latestOf(ask, ttl, "event_time"));
  // Corrections make a difference.
  expect(asks.filter((ask) => latestOf(ask, ttl, "known")[0] !== latestOf(ask, ttl, "event_time")[0]).length).toBeGreaterThan(view === "exact" ? 5 : 100);
  const at = asks.map((ask) => new Date(ask.at));
  for (const reader of [features, beside])
    expectEqual((await reader.readOnline(`${view}_features`, request, at)).features, view, (ask) => latestOf(ask, ttl, "known"));
});

test("windows hold what the plain computation finds, as known and by event time, and online", async () => {
  const at = asks.map((ask) => new Date(ask.at));
  expectEqual(await offline("activity"), "activity", (ask) => windowOf(ask, true));
  expectEqual((await features.readOnline("activity_features", request, at)).features, "activity", (ask) => windowOf(ask, true));
  expectEqual(await offline("plain"), "plain", (ask) => windowOf(ask, false));
  expectEqual((await beside.readOnline("plain_features", request, at)).features, "plain", (ask) => windowOf(ask, false));
});

test("what is pushed later than it happened is not seen before", async () => {
  const push = { site: ["pushed", "pushed"], unit: [1, 1], level: [1, 2], word: ["a", "b"], at: Array(2).fill("2013-11-20T10:00:00Z") };
  await features.push("forever", { ...push, created: ["2013-11-20T10:00:00Z", "2013-11-21T00:00:00Z"] });
  await features.push("activity", { ...push, created: [null, "2013-11-20T11:00:00Z"] });
  const read = async (service: string, moments: string[]) => {
    const asked = { t: moments, site: moments.map(() => "pushed"), unit: moments.map(() => 1) };
    return beside.readOnline(
      service,
      asked,
      moments.map((moment) => new Date(moment)),
    );
  };
  const found = await read("forever_features", ["2013-11-20T09:59:59Z", "2013-11-20T23:59:59Z", "2013-11-21T00:00:00Z"]);
  expect([found.features.level, found.status.forever]).toEqual([
    [null, 1, 2],
    ["NOT_FOUND", "PRESENT", "PRESENT"],
  ]);
  const counted = await read("activity_features", ["2013-11-20T10:30:00Z", "2013-11-20T11:00:00Z", "2013-11-20T13:00:00Z"]);
  expect(counted.features.count_3h).toEqual([1, 2, 0]);
});
