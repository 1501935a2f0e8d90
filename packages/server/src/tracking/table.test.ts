import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { literal, openDuckDb } from "../platform/index.js";
import { type RunningServer, startServer } from "../server.js";
import { Json, mlflowApi } from "./testing.js";

let folder: string;
let server: RunningServer;
/** Three runs: `a` to `c`, begun in that order. */
let experiment: string;
const ids: Record<string, string> = {};
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  server = await startServer({ host: "127.0.0.1", port: 0, dataDir: folder, clock: { kind: "system" }, logLevel: "warn" });
  experiment = await newExperiment("sweep");
  await newRun("a", 1_000, { metrics: { auc: 0.7, "val/loss": "NaN" }, params: { lr: "0.1", note: "=cmd|' /C calc'!A0" }, end: 61_000 });
  await newRun("b", 2_000, { metrics: { auc: 0.9 }, params: { lr: "-0.01", note: 'says "yes", twice' } });
  await newRun("c", 3_000, { params: { lr: "0.1" }, tags: { team: "@home" } });
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const mlflow = mlflowApi(() => server.url);
const post = (route: string, body: Record<string, unknown>) => mlflow("POST", route, body);
const newExperiment = async (name: string) => (await post("experiments/create", { name })).body.text("experiment_id");
interface Logged {
  metrics?: Record<string, number | string>;
  params?: Record<string, string>;
  tags?: Record<string, string>;
  end?: number;
}
async function newRun(run_name: string, start_time: number, { metrics = {}, params = {}, tags = {}, end }: Logged = {}, experiment_id = experiment) {
  const run_id = (await post("runs/create", { experiment_id, run_name, start_time, user_id: "anna" })).body.text("run", "info", "run_id");
  const list = (of: Record<string, unknown>) => Object.entries(of).map(([key, value]) => ({ key, value }));
  await post("runs/log-batch", { run_id, metrics: list(metrics).map((one) => ({ ...one, step: 1, timestamp: 1 })), params: list(params), tags: list(tags) });
  if (end !== undefined) await post("runs/update", { run_id, status: "FINISHED", end_time: end });
  ids[run_name] = run_id;
  return run_id;
}
async function ask(method: "GET" | "POST", route: string, body?: unknown): Promise<{ status: number; body: Json }> {
  const answer = await fetch(`${server.url}/api/v1/tracking/${route}`, {
    method,
    ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: new Json(await answer.json()) };
}
const search = (query: Record<string, unknown> = {}) => ask("POST", "runs/search", { experiments: [experiment], ...query });
const names = async (query: Record<string, unknown>) => (await search(query)).body.list("items").map((run) => run.text("name"));

describe("the table of runs", () => {
  it("answers the chosen columns, the newest runs first, what is no number as a text", async () => {
    const { body } = await search({ columns: ["metrics.val/loss", "metrics.auc", "params.lr", "tags.team", "datasets", "models"] });
    expect(body.list("items").map((run) => run.at("name").value)).toEqual(["c", "b", "a"]);
    expect(body.list("items").map((run) => run.at("metrics").value)).toEqual([{}, { auc: 0.9 }, { auc: 0.7, "val/loss": "NaN" }]);
    expect(body.at("items", 0).value).toMatchObject({ params: { lr: "0.1" }, tags: { team: "@home" }, datasets: [], models: [], endTime: null, user: "anna" });
    expect((await search({ columns: ["nothing"] })).status).toBe(400);
  });

  it("goes on page by page in any order, of the duration too", async () => {
    const query = { orderBy: ["metrics.auc DESC"], limit: 1 };
    const seen: string[] = [];
    for (let token: string | undefined; ; ) {
      const { body } = await search({ ...query, ...(token === undefined ? {} : { token }) });
      seen.push(body.text("items", 0, "name"));
      if (body.at("next").value === undefined) break;
      token = body.text("next");
    }
    expect(seen).toEqual(["b", "a", "c"]);
    expect(await names({ orderBy: ["duration"] })).toEqual(["a", "c", "b"]);
    expect(await names({ filter: "duration = 60000" })).toEqual(["a"]);
  });

  it("answers those of some runs that still fit, for who looks at them", async () => {
    expect(await names({ ids: [ids.a, ids.b], filter: "params.lr = '0.1'" })).toEqual(["a"]);
  });

  it("counts what fits, up to a bound", async () => {
    const count = async (more: Record<string, unknown>) => (await ask("POST", "runs/count", { experiments: [experiment], ...more })).body.value;
    expect(await count({})).toEqual({ count: 3, exact: true });
    expect(await count({ filter: "params.lr = '0.1'" })).toEqual({ count: 2, exact: true });
    expect(await count({ atMost: 2 })).toEqual({ count: 2, exact: false });
    expect(await count({ view: "deleted" })).toEqual({ count: 0, exact: true });
  });

  it.each([
    ["metrics.auc > 'high'", 14],
    ["params.lr = '0.1' and metrics.auc >", 35],
    ["params.lr = '0.1' nonsense", 18],
    ["params.lr = '0.1' and colour = 'red'", 22],
    ["params.lr = ''' or 1=1 --", 14],
  ])("says where the filter %s is wrong", async (filter, at) => {
    const { status, body } = await search({ filter });
    expect(status).toBe(400);
    expect(body.at("error", "details", "at").value).toBe(at);
    expect(body.text("error", "message").length).toBeGreaterThan(20);
  });
});

describe("columns and values", () => {
  it("are those that the runs of the experiment have", async () => {
    const { body } = await ask("GET", `experiments/${experiment}/columns`);
    expect(body.value).toMatchObject({
      metrics: { auc: 2, "val/loss": 1 },
      params: { lr: 3, note: 2 },
      tags: { "mlflow.runName": 3, team: 1 },
      runs: 3,
      complete: true,
      datasets: false,
    });
    expect((await ask("GET", "experiments/999999/columns")).status).toBe(404);
  });

  it("come by frequency and by what was typed, of a metric as its range", async () => {
    const values = async (key: string, of = "") =>
      (await ask("GET", `experiments/${experiment}/values?key=${encodeURIComponent(key)}&search=${of}`)).body.value;
    expect(await values("params.lr")).toEqual({ values: ["0.1", "-0.01"] });
    expect(await values("params.lr", "-")).toEqual({ values: ["-0.01"] });
    expect(await values("attributes.user_id")).toEqual({ values: ["anna"] });
    expect(await values("metrics.auc")).toEqual({ values: [], range: { min: 0.7, max: 0.9 } });
    expect((await ask("GET", `experiments/${experiment}/values?key=x.y`)).status).toBe(400);
  });
});

describe("the CSV of runs", () => {
  it("has the chosen columns of all that fit, and no text that a spreadsheet takes for a formula", async () => {
    const query = new URLSearchParams([
      ["experiments", experiment],
      ["orderBy", "start_time"],
      ...["metrics.auc", "params.lr", "params.note", "tags.team"].map((one): [string, string] => ["columns", one]),
    ]);
    const answer = await fetch(`${server.url}/api/v1/tracking/runs.csv?${query}`);
    expect(answer.headers.get("content-type")).toBe("text/csv; charset=utf-8");
    expect((await answer.text()).split("\r\n")).toEqual([
      "run_id,name,experiment_id,status,user,start_time,end_time,duration_s,metrics.auc,params.lr,params.note,tags.team",
      `${ids.a},a,${experiment},FINISHED,anna,1970-01-01T00:00:01.000Z,1970-01-01T00:01:01.000Z,60,0.7,0.1,'=cmd|' /C calc'!A0,`,
      `${ids.b},b,${experiment},RUNNING,anna,1970-01-01T00:00:02.000Z,,,0.9,-0.01,"says ""yes"", twice",`,
      `${ids.c},c,${experiment},RUNNING,anna,1970-01-01T00:00:03.000Z,,,,0.1,,'@home`,
      "",
    ]);
    expect((await fetch(`${server.url}/api/v1/tracking/runs.csv?experiments=${experiment}&filter=nonsense`)).status).toBe(400);
  });

  it("goes over pages", async () => {
    const many = await newExperiment("many");
    const run = { experiment: many, name: "", user: "", status: "FINISHED", endTime: null, stage: "active", deletedTime: null, params: {}, tags: {} };
    const rest = { datasets: [], modelInputs: [], modelOutputs: [] };
    for (const from of [0, 500, 1_000]) {
      const items = Array.from({ length: 500 }, (_, i) => ({ ...run, ...rest, id: `m${from + i}`, startTime: from + i }));
      await ask("POST", "../transfer/runs", { items });
    }
    const text = await (await fetch(`${server.url}/api/v1/tracking/runs.csv?experiments=${many}`)).text();
    expect(new Set(text.trim().split("\r\n")).size).toBe(1_501);
  });
});

describe("several runs at once", () => {
  it("are tagged, deleted and restored", async () => {
    const other = await newExperiment("changed");
    const both = [await newRun("x", 1, {}, other), await newRun("y", 2, {}, other)];
    const shown = async (view: string) => names({ experiments: [other], view, orderBy: ["run_name"] });
    expect((await ask("POST", "runs/change", { ids: both, tags: { keep: "no" }, stage: "deleted" })).body.value).toEqual({ changed: 2 });
    expect([await shown("active"), await shown("deleted")]).toEqual([[], ["x", "y"]]);
    await ask("POST", "runs/change", { ids: [both[0]], stage: "active" });
    expect([await shown("active"), await shown("deleted")]).toEqual([["x"], ["y"]]);
    expect(await names({ experiments: [other], view: "all", filter: "tags.keep = 'no'" })).toEqual(["y", "x"]);
    expect((await ask("POST", "runs/change", { ids: ["nobody"], stage: "deleted" })).status).toBe(404);
  });
});

describe("experiments", () => {
  it("are listed with their runs and when something happened in them last", async () => {
    const quiet = await newExperiment("Quiet one");
    const { body } = await ask("GET", "experiments?search=QUIET");
    expect(body.list("items").map((one) => one.value)).toMatchObject([
      { id: quiet, name: "Quiet one", runs: 0, running: 0, lastActivity: null, stage: "active" },
    ]);
    const [found] = (await ask("GET", "experiments?search=sweep")).body.list("items");
    expect(found?.value).toMatchObject({ runs: 3, running: 2, lastActivity: 3_000 });
    await post("experiments/delete", { experiment_id: quiet });
    expect((await ask("GET", "experiments?search=quiet")).body.list("items")).toEqual([]);
    expect((await ask("GET", "experiments?search=quiet&view=deleted")).body.list("items").length).toBe(1);
    const pages = await ask("GET", "experiments?limit=1&order=name");
    const second = await ask("GET", `experiments?limit=1&order=name&after=${encodeURIComponent(pages.body.text("next"))}`);
    expect([pages.body.text("items", 0, "name"), second.body.text("items", 0, "name")]).toEqual(["Default", "changed"]);
  });
});

describe("a run", () => {
  it("tells the smallest, the largest and the latest value of its metrics", async () => {
    const run_id = await newRun("curve", 1, {}, await newExperiment("curves"));
    await post("runs/log-batch", { run_id, metrics: [3, 1, 2].map((value, step) => ({ key: "loss", value, step, timestamp: 1 })) });
    expect((await ask("GET", `runs/${run_id}/metrics`)).body.value).toEqual({
      items: [{ key: "loss", value: 2, step: 2, timestamp: 1, min: 1, max: 3, points: 3 }],
    });
    expect((await ask("GET", "runs/nobody/metrics")).status).toBe(404);
  });

  it("knows its parent and its children", async () => {
    const other = await newExperiment("families");
    const parent = await newRun("parent", 1, {}, other);
    const child = await newRun("child", 2, { tags: { "mlflow.parentRunId": parent } }, other);
    expect((await ask("GET", `runs/${parent}/family`)).body.value).toMatchObject({ parent: null, children: [{ id: child, name: "child" }], more: false });
    expect((await ask("GET", `runs/${child}/family`)).body.value).toMatchObject({ parent: { id: parent }, children: [] });
  });
});

describe("a Parquet file among the artifacts", () => {
  it("tells its columns and its first rows as texts, and nothing where it is none", async () => {
    const duckdb = openDuckDb({ memoryMb: 64, threads: 1, spillFolder: path.join(folder, "spill") });
    const file = path.join(folder, "rows.parquet");
    await duckdb.rows(
      `copy (select i as id, [i] as "a ""list""", case when i > 0 then 'x' end as name from range(300) t (i)) to ${literal(file)} (format parquet)`,
    );
    await duckdb.close();
    const put = async (name: string, body: Buffer<ArrayBuffer> | string) =>
      (await fetch(`${server.url}/api/2.0/mlflow-artifacts/artifacts/${experiment}/${ids.a}/artifacts/${name}`, { method: "PUT", body })).status;
    expect([await put("rows.parquet", await readFile(file)), await put("no.parquet", "no table")]).toEqual([200, 200]);
    const rows = (name: string) => ask("GET", `artifacts/rows?path=${experiment}/${ids.a}/artifacts/${name}`);
    const { body } = await rows("rows.parquet");
    expect(body.at("columns").value).toEqual([
      { name: "id", type: "BIGINT" },
      { name: 'a "list"', type: "BIGINT[]" },
      { name: "name", type: "VARCHAR" },
    ]);
    expect([body.at("rows", 0).value, body.list("rows").length, body.at("total").value]).toEqual([["0", "[0]", null], 200, 300]);
    expect((await rows("no.parquet")).body.text("error", "message")).toContain("can't be read as a Parquet file");
    expect([(await rows("none.parquet")).status, (await rows("../x.parquet")).status]).toEqual([404, 400]);
  });
});
