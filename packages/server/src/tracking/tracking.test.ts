import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningServer, startServer } from "../server.js";
import { mlflowApi, withMlflowClient } from "./testing.js";

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

const call = mlflowApi(() => server.url);
const post = (route: string, body: Record<string, unknown>) => call("POST", route, body);
const newExperiment = async (name: string) => (await post("experiments/create", { name })).body.text("experiment_id");
const newRun = async (run_name: string, experiment_id = "0", start_time = 1) =>
  (await post("runs/create", { experiment_id, run_name, start_time })).body.text("run", "info", "run_id");
async function search(experiment: string, filter: string, order_by: string[] = []): Promise<string[] | string> {
  const { status, body } = await post("runs/search", { experiment_ids: [experiment], filter, order_by });
  return status === 200 ? body.list("runs").map((run) => run.text("info", "run_name")) : body.text("error_code");
}

describe("metrics", () => {
  it("keep the value of the largest step, and all of them as their history, the odd ones too", async () => {
    const run_id = await newRun("metrics");
    const at = (value: number | string, step: number, timestamp: number) => ({ key: "loss", value, step, timestamp });
    expect((await post("runs/log-batch", { run_id, metrics: [at(3, 2, 10), at("NaN", 1, 30), at(1, 2, 9)] })).status).toBe(200);
    await post("runs/log-batch", { run_id, metrics: [at(3, 2, 10), at("-Infinity", 0, 50)] });
    const { body } = await call("GET", "runs/get", { run_id });
    expect(body.at("run", "data", "metrics").value).toEqual([{ key: "loss", value: 3, step: 2, timestamp: 10 }]);
    const pages: unknown[] = [];
    for (let page_token = ""; ; ) {
      const { body } = await call("GET", "metrics/get-history", { run_id, metric_key: "loss", max_results: 3, page_token });
      pages.push(body.list("metrics").map((point) => point.at("value").value));
      if (body.at("next_page_token").value === undefined) break;
      page_token = body.text("next_page_token");
    }
    expect(pages).toEqual([[1, 3, "NaN"], ["-Infinity"]]);
  });

  it("are refused where the value is no number, and nothing of the batch is kept then", async () => {
    const run_id = await newRun("refused");
    for (const value of ["abc", "", true, null]) {
      const { status, body } = await post("runs/log-batch", {
        run_id,
        metrics: [
          { key: "fine", value: 1 },
          { key: "bad", value },
        ],
      });
      expect([status, body.text("error_code")]).toEqual([400, "INVALID_PARAMETER_VALUE"]);
    }
    expect(
      (await post("runs/log-batch", { run_id, metrics: Array.from({ length: 1_001 }, (_, i) => ({ key: `m${i}`, value: i, timestamp: 1 })) })).status,
    ).toBe(400);
    for (const key of ["../up", "a//b", "a\u0000b", "x".repeat(251), "no?"])
      expect((await post("runs/log-metric", { run_id, key, value: 1, timestamp: 1 })).status).toBe(400);
    expect((await call("GET", "runs/get", { run_id })).body.list("run", "data", "metrics")).toEqual([]);
  });

  it("of large batches are in every answer as soon as the batch is acknowledged, whatever the order in which batches come", async () => {
    const experiment = await newExperiment("large batches");
    const run_id = await newRun("large", experiment);
    const keys = Array.from({ length: 200 }, (_, k) => `m${k}`);
    const batch = (step: number, of = keys) => post("runs/log-batch", { run_id, metrics: of.map((key) => ({ key, value: step, step, timestamp: step })) });
    const asked = async (route: string, body?: unknown) => {
      const init = body === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
      return (await fetch(`${server.url}/api/v1/tracking/${route}`, init)).json();
    };
    const readers: [string, (step: number) => Promise<unknown>, (step: number) => unknown][] = [
      ["get", async () => (await call("GET", "runs/get", { run_id })).body.list("run", "data", "metrics")[0]?.at("value").value, (step) => step],
      ["search", (step) => search(experiment, `metrics.m7 = ${step}`, ["metrics.m3 DESC"]), () => ["large"]],
      ["table", () => asked("runs/search", { experiments: [experiment], columns: ["metrics.m1"] }), (step) => ({ items: [{ metrics: { m1: step } }] })],
      ["count", (step) => asked("runs/count", { experiments: [experiment], filter: `metrics.m1 = ${step}` }), () => ({ count: 1 })],
      ["compare", () => asked("runs/compare", { runs: [run_id] }), (step) => ({ items: [{ metrics: { m5: step } }] })],
      ["one run", () => asked(`runs/${run_id}/metrics`), (step) => ({ items: expect.arrayContaining([expect.objectContaining({ key: "m9", value: step })]) })],
      ["values", () => asked(`experiments/${experiment}/values?key=metrics.m2`), (step) => ({ range: { min: step, max: step } })],
      [
        "csv",
        async () => (await fetch(`${server.url}/api/v1/tracking/runs.csv?experiments=${experiment}&columns=metrics.m4`)).text(),
        (step) => expect.stringMatching(new RegExp(`,${step}\r?\n$`)),
      ],
    ];
    let step = 0;
    for (const [name, read, expected] of readers) {
      step += 10;
      // One that comes late, one of a few metrics in between, and one that is sent again, change nothing of what is latest.
      await Promise.all([batch(step), batch(step - 5), batch(step - 3, keys.slice(0, 3)), batch(step)]);
      expect([await read(step)], name).toMatchObject([expected(step)]);
    }
    // Many at once, and readers that settle them at once.
    await Promise.all(Array.from({ length: 80 }, (_, i) => batch(step + 1 + i)));
    const all = await Promise.all(Array.from({ length: 6 }, () => call("GET", "runs/get", { run_id })));
    for (const { body } of all) expect(new Set(body.list("run", "data", "metrics").map((metric) => metric.at("value").value))).toEqual(new Set([step + 80]));
    expect((await call("GET", "metrics/get-history", { run_id, metric_key: "m3" })).body.list("metrics")).toHaveLength(2 * readers.length + 80);
  });

  it("are sampled so that no spike is lost", async () => {
    const run_id = await newRun("spikes");
    const metrics = Array.from({ length: 1_000 }, (_, step) => ({
      key: "loss",
      value: step === 633 ? 99 : step === 634 ? -99 : Math.sin(step),
      step,
      timestamp: step,
    }));
    await post("runs/log-batch", { run_id, metrics });
    const { body } = await call("GET", "metrics/get-history-bulk-interval", { run_ids: run_id, metric_key: "loss", max_results: 50 });
    const points = body.list("metrics").map((point) => Number(point.text("value")));
    expect(points.length).toBeLessThanOrEqual(50);
    expect([Math.min(...points), Math.max(...points), points[0]]).toEqual([-99, 99, 0]);
    expect((await call("GET", "metrics/get-history-bulk", { run_id: [run_id, run_id], metric_key: "loss" })).body.list("metrics")).toHaveLength(1_000);
  });

  it("that are sent again by many writers at once are there once", async () => {
    const run_id = await newRun("writers");
    const batch = (w: number) => Array.from({ length: 100 }, (_, i) => ({ key: `m${(i * 7 + w) % 20}`, value: i, step: i, timestamp: 1 }));
    const sent = [0, 1, 2, 3].flatMap((w) => [0, 1, 2].map(() => post("runs/log-batch", { run_id, metrics: batch(w) })));
    expect(new Set((await Promise.all(sent)).map(({ status }) => status))).toEqual(new Set([200]));
    let points = 0;
    for (let key = 0; key < 20; key++) points += (await call("GET", "metrics/get-history", { run_id, metric_key: `m${key}` })).body.list("metrics").length;
    expect(points).toBe(400);
  });
});

describe("metrics in batches", () => {
  it("keep every digit of steps, moments and values, under any name that may be", async () => {
    const run_id = await newRun("digits");
    const metrics = [
      { key: "größe/π 1", value: 5e-324, step: -(2 ** 40) - 1, timestamp: 0 },
      { key: "größe/π 1", value: -1.7976931348623157e308, step: Number.MAX_SAFE_INTEGER, timestamp: 1_700_000_000_123 },
      { key: "größe/π 1", value: 0.1, step: -1, timestamp: 2 ** 32 },
    ];
    const send = () => post("runs/log-batch", { run_id, metrics, params: [{ key: "p", value: "1" }], tags: [{ key: "t", value: "ü" }] });
    expect([(await send()).status, (await send()).status]).toEqual([200, 200]);
    const { body } = await call("GET", "metrics/get-history", { run_id, metric_key: "größe/π 1" });
    expect(body.at("metrics").value).toEqual([...metrics].sort((a, b) => a.timestamp - b.timestamp));
    const { body: run } = await call("GET", "runs/get", { run_id });
    expect(run.list("run", "data", "metrics").map((one) => one.text("step"))).toEqual([String(Number.MAX_SAFE_INTEGER)]);
  });
});

describe("runs", () => {
  it("keep a param's first value: another one is refused, and nothing of its batch is kept", async () => {
    const run_id = await newRun("params");
    await post("runs/log-parameter", { run_id, key: "depth", value: "6" });
    expect((await post("runs/log-parameter", { run_id, key: "depth", value: "6" })).status).toBe(200);
    const refused = await post("runs/log-batch", { run_id, params: [{ key: "depth", value: "7" }], tags: [{ key: "late", value: "yes" }] });
    expect(refused.status).toBe(400);
    expect(refused.body.text("message")).toContain("already logged with value='6'");
    await post("runs/log-parameter", { run_id, key: "long", value: "é".repeat(7_000) });
    const { body } = await call("GET", "runs/get", { run_id });
    expect(body.list("run", "data", "params").map((param) => param.text("value").length)).toEqual([1, 6_000]);
    expect(JSON.stringify(body)).not.toContain("late");
  });

  it("go with their experiment and come back with it, those deleted before stay deleted", async () => {
    const experiment_id = await newExperiment("goes");
    const [before, with_it] = [await newRun("before", experiment_id), await newRun("with", experiment_id)];
    await post("runs/delete", { run_id: before });
    expect((await post("runs/log-metric", { run_id: before, key: "a", value: 1, timestamp: 1 })).status).toBe(400);
    await post("experiments/delete", { experiment_id });
    expect((await post("runs/create", { experiment_id })).body.text("message")).toContain("must be in the 'active' state");
    expect((await post("experiments/create", { name: "goes" })).body.text("error_code")).toBe("RESOURCE_ALREADY_EXISTS");
    await post("experiments/restore", { experiment_id });
    const stage = async (run_id: string) => (await call("GET", "runs/get", { run_id })).body.text("run", "info", "lifecycle_stage");
    expect([await stage(before), await stage(with_it)]).toEqual(["deleted", "active"]);
  });

  it("of a name that is taken by another experiment are told so, without a word of SQL", async () => {
    const [one] = [await newExperiment("first name"), await newExperiment("second name")];
    const { status, body } = await post("experiments/update", { experiment_id: one, new_name: "second name" });
    expect([status, body.value]).toEqual([400, { error_code: "RESOURCE_ALREADY_EXISTS", message: "Experiment 'second name' already exists." }]);
  });
});

describe("search", () => {
  let experiment: string;
  beforeAll(async () => {
    experiment = await newExperiment("search");
    const runs = [
      { name: "low", auc: 0.6, kind: "tree" },
      { name: "high", auc: 0.8, kind: "tree" },
      { name: "other", auc: 0.9, kind: "linear" },
      { name: "odd", auc: "NaN", kind: "it's" },
      { name: "none" },
    ];
    for (const [i, { name, auc, kind }] of runs.entries()) {
      const run_id = await newRun(name, experiment, i);
      const metrics = auc === undefined ? [] : [{ key: "val/auc", value: auc, timestamp: 1, step: 0 }];
      await post("runs/log-batch", {
        run_id,
        metrics,
        params: kind === undefined ? [] : [{ key: "kind", value: kind }],
        tags: [{ key: "n.o", value: `${i}` }],
      });
      if (name === "high") {
        const dataset = { name: "flights", digest: "d1", source_type: "local", source: "{}" };
        const inputs = { run_id, datasets: [{ dataset, tags: [{ key: "mlflow.data.context", value: "training" }] }] };
        await post("runs/log-inputs", inputs);
        await post("runs/log-inputs", inputs);
      }
    }
  });

  it.each([
    ["metrics.`val/auc` > 0.5 and params.kind = 'tree'", ["high", "low"]],
    ['metrics."val/auc" != 0.6', ["odd", "other", "high"]],
    ["metrics.val/auc >= 0.9", ["other"]],
    ["attributes.run_name LIKE 'o%'", ["odd", "other"]],
    ["run_name IN ('low', 'other')", ["other", "low"]],
    ["params.kind NOT IN ('tree', 'linear')", ["odd"]],
    ["params.kind = 'it''s'", ["odd"]],
    ["params.kind IS NULL", ["none"]],
    ["tags.n.o is not null and start_time < 2", ["high", "low"]],
    ["params.kind ILIKE 'TR%' AND (run_name = 'low' OR metrics.`val/auc` > 0.7)", ["high", "low"]],
    ["dataset.name = 'flights' and datasets.context = 'training'", ["high"]],
    ["status = 'RUNNING' and run.`Run name` = 'low'", ["low"]],
    ["", ["none", "odd", "other", "high", "low"]],
  ])("finds by %s", async (filter, found) => {
    expect(await search(experiment, filter)).toEqual(found);
  });

  it.each([
    "metrics.auc > 'x'; drop table experiment",
    "nothing.at = 1",
    "params.kind > 'a'",
    "metrics.auc",
    `${"(".repeat(30)}status = 'RUNNING'${")".repeat(30)}`,
    "status = 'RUNNING' status = 'FAILED'",
    "start_time LIKE '1%'",
  ])("refuses %s", async (filter) => {
    expect(await search(experiment, filter)).toBe("INVALID_PARAMETER_VALUE");
  });

  it("orders values first, then NaN, then what has no value, in both directions", async () => {
    expect(await search(experiment, "", ["metrics.`val/auc` DESC"])).toEqual(["other", "high", "low", "odd", "none"]);
    expect(await search(experiment, "", ["metrics.`val/auc`"])).toEqual(["low", "high", "other", "odd", "none"]);
    expect(await search(experiment, "", ["params.kind ASC", "metrics.`val/auc` DESC", "start_time"])).toEqual(["odd", "other", "high", "low", "none"]);
    expect(await search(experiment, "", ["metrics.auc; drop"])).toBe("INVALID_PARAMETER_VALUE");
  });

  it.each([
    [["metrics.`val/auc` DESC"]],
    [["params.kind DESC", "attributes.end_time"]],
    [["attributes.end_time", "metrics.`val/auc`"]],
    [["metrics.nowhere", "params.kind DESC"]],
    [[]],
  ])("gives pages by %j that new runs don't move", async (order_by) => {
    const whole = await search(experiment, "", order_by);
    const names: string[] = [];
    let page_token: string | undefined;
    do {
      const { body } = await post("runs/search", {
        experiment_ids: [experiment],
        order_by,
        max_results: 1,
        ...(page_token === undefined ? {} : { page_token }),
      });
      names.push(...body.list("runs").map((run) => run.text("info", "run_name")));
      page_token = body.at("next_page_token").value === undefined ? undefined : body.text("next_page_token");
      const added = await newRun("added", experiment, 1_000 + names.length);
      await post("runs/log-metric", { run_id: added, key: "val/auc", value: 5 });
      await post("runs/log-parameter", { run_id: added, key: "kind", value: "zz" });
      if (names.length === 1) expect((await post("runs/search", { experiment_ids: [experiment], filter: "status = 'FAILED'", page_token })).status).toBe(400);
      await post("runs/delete", { run_id: added });
    } while (page_token !== undefined);
    expect(names).toEqual(whole);
  });
});

it("says of what MLflow has and it has not that it is not there", async () => {
  const { status, body } = await post("gateway/secrets/create", {});
  expect([status, body.text("error_code")]).toEqual([404, "ENDPOINT_NOT_FOUND"]);
});

it("serves MLflow's own client", { timeout: 300_000 }, async () => {
  const answered = await withMlflowClient(
    server.url,
    `
import json, math, pathlib
import mlflow
from mlflow.data.http_dataset_source import HTTPDatasetSource
from mlflow.data.meta_dataset import MetaDataset
mlflow.set_experiment("from the client")
with mlflow.start_run(run_name="first") as run:
    mlflow.log_params({"rounds": 10, "kind": "tree"})
    for step in range(5):
        mlflow.log_metrics({"loss": 1 / (step + 1), "odd": math.nan}, step=step)
    mlflow.set_tag("who", "me")
    mlflow.log_input(MetaDataset(HTTPDatasetSource("http://example.com/toy.csv"), name="toy"), context="training")
    file = pathlib.Path("notes.txt")
    file.write_text("kept")
    mlflow.log_artifact(str(file), "texts")
client = mlflow.MlflowClient()
read = client.get_run(run.info.run_id)
found = mlflow.search_runs(experiment_names=["from the client"], filter_string="params.kind = 'tree' and metrics.loss < 0.5", output_format="list")
print(json.dumps({
    "status": read.info.status, "params": read.data.params, "loss": read.data.metrics["loss"], "odd": math.isnan(read.data.metrics["odd"]),
    "inputs": [i.dataset.name for i in read.inputs.dataset_inputs],
    "history": len(client.get_metric_history(run.info.run_id, "loss")), "found": [r.info.run_name for r in found],
    "artifacts": [a.path for a in client.list_artifacts(run.info.run_id, "texts")],
    "text": mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/texts/notes.txt"),
}))
`,
  );
  expect(answered).toEqual({
    status: "FINISHED",
    params: { rounds: "10", kind: "tree" },
    loss: 0.2,
    odd: true,
    inputs: ["toy"],
    history: 5,
    found: ["first"],
    artifacts: ["texts/notes.txt"],
    text: "kept",
  });
});
