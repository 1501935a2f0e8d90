import { Value } from "@sinclair/typebox/value";
import { expect, test } from "vitest";
import {
  below,
  better,
  bool,
  canary,
  champion,
  checkProject,
  choice,
  col,
  compile,
  count,
  cron,
  dataset,
  endpoint,
  entity,
  errorRate,
  evaluate,
  featureService,
  featureView,
  float64,
  historicalFeatures,
  hour,
  int,
  int64,
  isNull,
  latency,
  Model,
  metric,
  monitor,
  month,
  newData,
  ProjectError,
  pipeline,
  project,
  python,
  register,
  schema,
  share,
  splitByTime,
  string,
  Table,
  table,
  timestamp,
  trigger,
  validate,
  window,
} from "./index.js";
import { ProjectSpec } from "./spec.js";

const trips = schema({ name: "trips", columns: { at: timestamp(), city: string({ domain: ["Oslo", "Bergen"] }), km: float64({ min: 0 }), late: int64() } });
const tripData = dataset({ name: "trips", schema: trips, timestamp: "at", watch: { folder: "arrivals", pattern: "*.parquet" } });
const city = entity({ name: "city", keys: { city: string() } });
const latest = featureView({ name: "city_now", entity: city, source: tripData, timestamp: "at", ttl: "2h", features: { km: float64("km") } });
const recent = window({
  name: "city_recent",
  entity: city,
  events: tripData,
  timestamp: "at",
  features: { trips_1d: count().over("1d"), late_1d: share("late").over("1d") },
});
const service = featureService({
  name: "trip_features",
  request: { at: timestamp(), city: string() },
  timestamp: "at",
  views: [latest, recent],
  compute: { hour: hour(col("at"), "Europe/Oslo"), new_city: isNull(col("trips_1d")) },
  features: ["city", "km", "late_1d", "hour", "new_city"],
});
const size = choice(["small", "large"], { default: "small" });
const train = python({
  script: "steps/train.py",
  requirements: "requirements.lock",
  in: { train: Table, depth: int(), fast: bool({ default: false }), size },
  out: { model: Model },
});
const trip = pipeline({ name: "trip", params: { until: month({ default: "latest" }), depth: int({ default: 6 }), size } }, ({ until, depth, size }) => {
  const rows = historicalFeatures(validate(tripData.upTo(until), trips), service);
  const { train: before, test } = splitByTime(rows, { test: "7d" });
  const { model } = train({ train: before, depth, size });
  const report = evaluate(model, test, { label: "late", slices: ["city"], against: champion("trip") });
  register(model, report, { name: "trip", gates: [better("auc", { by: 0.01 }), latency({ p99: "5ms" })] });
});
const tripEndpoint = endpoint({
  name: "trip",
  model: "trip",
  features: service,
  rollout: canary({ steps: ["10%", "100%"], each: "6h", judge: [errorRate.below("0.1%"), metric("auc").notWorse({ by: 0.01 })] }),
});
const tripMonitor = monitor({ name: "trip", endpoint: tripEndpoint, every: "1d", performance: { metrics: ["auc"] } });
const retrain = trigger({
  name: "retrain",
  run: trip,
  when: [newData(tripData), cron("0 6 1 * *"), below(tripMonitor, "auc", 0.68)],
  coolDown: "3d",
  params: { depth: 8 },
});
const folder = import.meta.dirname;

test("definitions compile to the document that the server takes, with what they name and where they stand", () => {
  // The module's one listed definition names, one after the other, all others but the schema's own.
  const spec = compile(project({ name: "trips", definitions: [{ retrain }] }), { folder });

  expect(Value.Check(ProjectSpec, spec)).toBe(true);
  expect(spec.datasets).toEqual([
    expect.objectContaining({ name: "trips", mode: "append", schema: "trips", timestamp: "at", definedAt: expect.stringMatching(/^compile\.test\.ts:\d+$/) }),
  ]);
  expect(spec.schemas.map((one) => one.name)).toEqual(["trips"]);
  expect(spec.entities).toEqual([{ name: "city", keys: [{ name: "city", type: "string" }] }]);
  expect(spec.featureViews).toMatchObject([
    { kind: "latest", name: "city_now", entity: "city", source: { dataset: "trips" }, ttl: "2h", features: [{ name: "km", type: "float64", unit: "km" }] },
    {
      kind: "window",
      features: [
        { name: "trips_1d", aggregate: "count", over: "1d", type: "int64" },
        { name: "late_1d", aggregate: "share", column: "late", over: "1d", type: "float64" },
      ],
    },
  ]);
  expect(spec.featureServices).toMatchObject([
    {
      name: "trip_features",
      views: ["city_now", "city_recent"],
      compute: [
        { name: "hour", type: "int64", expr: { op: "hour", of: { op: "column", name: "at" }, zone: "Europe/Oslo" } },
        { name: "new_city", type: "boolean" },
      ],
      features: [
        { name: "city", type: "string" },
        { name: "km", type: "float64" },
        { name: "late_1d", type: "float64" },
        { name: "hour", type: "int64" },
        { name: "new_city", type: "boolean" },
      ],
    },
  ]);
  expect(spec.pipelines[0]?.params).toEqual([
    { name: "until", type: "month", default: "latest" },
    { name: "depth", type: "int", default: 6 },
    { name: "size", type: "enum", values: ["small", "large"], default: "small" },
  ]);
  expect(spec.pipelines[0]?.nodes.map(({ id, inputs }) => [id, inputs])).toEqual([
    ["read_trips", { until: { param: "until" } }],
    ["validate_trips", { rows: { node: "read_trips", output: "rows" } }],
    ["features", { rows: { node: "validate_trips", output: "rows" } }],
    ["split", { rows: { node: "features", output: "rows" } }],
    ["train", { train: { node: "split", output: "train" }, depth: { param: "depth" }, fast: { literal: false }, size: { param: "size" } }],
    ["evaluate", { model: { node: "train", output: "model" }, rows: { node: "split", output: "test" } }],
    ["register_trip", { model: { node: "train", output: "model" }, report: { node: "evaluate", output: "report" } }],
  ]);
  expect(spec.pipelines[0]?.nodes[3]).toMatchObject({ kind: "split_by_time", config: { timestamp: "at", test: "7d" } });
  expect(spec.pipelines[0]?.nodes[6]).toMatchObject({ config: { model: "trip", service: "trip_features", alias: "challenger" } });
  expect(spec.endpoints[0]?.rollout).toMatchObject({ steps: [0.1, 1], judge: [{ kind: "error_rate_below", share: 0.001, minRequests: 100 }, { by: 0.01 }] });
  expect(spec.triggers[0]).toMatchObject({
    pipeline: "trip",
    coolDown: "3d",
    params: { depth: 8 },
    when: [{ kind: "new_data" }, { zone: "UTC" }, { bound: 0.68 }],
  });
});

test("what the compiler can't see is told with file and line, all of it at once", () => {
  const twice = dataset({ name: "trips" });
  const bad = trigger({ name: "nightly", run: trip, when: [cron("61 6 1 * *", { zone: "Mars/Base" })], coolDown: "0d" });
  const typo = featureService({
    name: "typo",
    request: { at: timestamp(), city: string() },
    timestamp: "at",
    views: [recent],
    // @ts-expect-error: no such column
    compute: { day: hour(col("att"), "UTC") },
    features: ["day"],
  });
  const slip = featureService({
    name: "slip",
    request: { at: timestamp(), city: string() },
    timestamp: "at",
    views: [recent],
    // @ts-expect-error: no such feature
    features: ["trips_2d"],
  });
  const message = messageOf(() => compile(project({ name: "trips", definitions: [twice, tripData, bad, typo, slip] }), { folder }));
  expect(message).toMatch(/^compile\.test\.ts:\d+: the dataset "trips" is defined twice, also at .*compile\.test\.ts:\d+$/m);
  expect(message).toMatch(/^compile\.test\.ts:\d+: the trigger "nightly": "61" in the cron expression "61 6 1 \* \*" is no minute/m);
  expect(message).toMatch(/^compile\.test\.ts:\d+: the cool-down of the trigger "nightly" is "0d": it must be longer than nothing$/m);
  expect(message).toMatch(/^compile\.test\.ts:\d+: .*there is no column "att"/m);
  expect(message).toMatch(/^compile\.test\.ts:\d+: .*"trips_2d"/m);
});

test("a document of another language is checked for names that lead nowhere and for cycles", () => {
  const spec = compile(project({ name: "trips", definitions: [retrain] }), { folder });
  const [view] = spec.featureViews;
  const nodes = spec.pipelines[0]?.nodes ?? [];
  if (view === undefined) throw new Error("no view");
  view.entity = "citi";
  nodes.reverse();
  const problems = messageOf(() => {
    throw new ProjectError(checkProject(spec));
  });
  expect(problems).toMatch(/there is no entity "citi"; is "city" meant\?/);
  expect(problems).toMatch(
    /takes "report" from "evaluate", which stands after it: list the steps in the order in which they run|takes "report" from "evaluate": steps go in a cycle/,
  );
});

test("wiring that can't work does not compile", () => {
  const wanted = python({
    script: "score.py",
    in: { rows: table({ km: float64(), speed: float64() }), model: Model },
    out: { scores: table({ score: float64() }) },
  });
  const never = pipeline({ name: "never" }, () => {
    const rows = tripData.upTo("2013-03");
    const { model } = train({ train: rows, depth: 3 });
    // @ts-expect-error: the table has no column "speed"
    const { scores } = wanted({ rows, model });
    // @ts-expect-error: a table is no model
    wanted({ rows: scores, model: rows });
    // @ts-expect-error: "depth" has no default
    train({ train: rows });
    // @ts-expect-error: not one of the choices
    train({ train: rows, depth: 3, size: "huge" });
    // @ts-expect-error: a number is no month
    tripData.upTo(2013);
    // @ts-expect-error: the scores lack the request's columns
    historicalFeatures(scores, service);
    const features = historicalFeatures(rows, service, { select: "select at, city, late from rows", columns: { late: int64() } });
    // @ts-expect-error: no such column
    evaluate(model, features, { label: "latte" });
  });
  // @ts-expect-error: not a column of the schema
  dataset({ name: "other", schema: trips, timestamp: "when" });
  // @ts-expect-error: no such column of the events
  window({ name: "w", entity: city, events: tripData, timestamp: "at", features: { x: share("latte").over("1d") } });
  // @ts-expect-error: not a duration
  splitByTime.length > 5 && share("late").over("1 day");
  // @ts-expect-error: the request lacks the view's key
  featureService({ name: "s", request: { at: timestamp() }, timestamp: "at", views: [recent], features: ["at"] });
  // @ts-expect-error: the monitor has no such metric
  below(tripMonitor, "brier", 0.1);
  // @ts-expect-error: the pipeline has no such param
  trigger({ name: "t", run: trip, when: [], params: { deep: 1 } });
  expect(never.spec.name).toBe("never");
});

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof ProjectError) return error.message;
    throw error;
  }
  return "";
}
