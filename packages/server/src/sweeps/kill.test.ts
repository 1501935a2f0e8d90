import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Client, createClient } from "@millrace/sdk/client";
import { afterAll, expect, test } from "vitest";
import { openApi, pythonNode, type ServerProcess, startServerProcess } from "../pipelines/testing.js";

let folder = "";
let server: ServerProcess | undefined;
afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const fit = {
  name: "fit",
  params: [{ name: "depth", type: "int" as const }],
  nodes: [pythonNode("fit", "fit.py", { inputs: { depth: { param: "depth" } }, cache: false })],
};
const goal = { metric: "auc", direction: "maximize" as const };
const script = `import json, os, time, urllib.request
import millrace
time.sleep(0.5)
body = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": "auc", "value": {**millrace.inputs(), **millrace.params()}["depth"] / 100, "timestamp": 1, "step": 1}
headers = {"content-type": "application/json", "authorization": "Bearer " + os.environ.get("MLFLOW_TRACKING_TOKEN", "")}
urllib.request.urlopen(urllib.request.Request(os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-metric", json.dumps(body).encode(), headers))
`;

test("a server that is killed again and again loses no trial and no value, and does none twice", { timeout: 180_000 }, async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-kill-"));
  server = await startServerProcess(folder);
  await openApi(server.url).apply({ "fit.py": script }, [fit]);
  let client: Client = createClient({ url: server.url });
  await client.backfills.start({ id: "past", pipeline: "fit", param: "depth", over: { kind: "values", values: [1, 2, 3, 4, 5] }, atOnce: 2 });
  const over = { depth: { kind: "int" as const, from: 1, to: 50 } };
  await client.sweeps.start({ id: "tune", pipeline: "fit", over, search: "random", trials: 5, atOnce: 2, goal });
  const isOver = async () => {
    const [past, tune] = [await client.backfills.get("past"), await client.sweeps.get("tune")];
    return past.state !== "running" && tune.state !== "running";
  };
  for (let kills = 0, seen = 0; kills < 2; kills++) {
    // Each time when one more is done.
    await expect
      .poll(async () => (await client.backfills.get("past")).progress.succeeded + (await client.sweeps.get("tune")).progress.succeeded, { timeout: 60_000 })
      .toBeGreaterThan(seen);
    seen += 1;
    await server.kill();
    server = await startServerProcess(folder);
    client = createClient({ url: server.url });
  }
  await expect.poll(isOver, { timeout: 90_000, interval: 200 }).toBe(true);
  expect((await client.backfills.get("past")).progress).toMatchObject({ total: 5, succeeded: 5 });
  const sweep = await client.sweeps.get("tune");
  expect(sweep).toMatchObject({ state: "succeeded", progress: { total: 5, succeeded: 5 } });
  for (const { params, value } of sweep.trials) expect(value).toBeCloseTo(Number(params.depth) / 100);
  expect((await client.runs.list({ limit: 100 })).items).toHaveLength(10);
  const tracked = await client.request<{ items: unknown[] }>("POST", "/api/v1/tracking/runs/search", {
    json: { experiments: [sweep.experimentId], limit: 100 },
  });
  // The sweep's own, and one for each run.
  expect(tracked.items).toHaveLength(11);
});

test("a Bayesian search goes on from what was tried when its server is killed", { timeout: 240_000 }, async () => {
  server ??= await startServerProcess(folder);
  const over = { depth: { kind: "int" as const, from: 1, to: 50 } };
  let client = createClient({ url: server.url });
  await client.sweeps.start({ id: "bayes", pipeline: "fit", over, search: "bayesian", trials: 6, atOnce: 2, goal });
  const succeeded = async () => (await client.sweeps.get("bayes")).progress.succeeded;
  await expect.poll(succeeded, { timeout: 120_000, interval: 200 }).toBeGreaterThan(1);
  const before = (await client.sweeps.get("bayes")).trials;
  await server.kill();
  server = await startServerProcess(folder);
  client = createClient({ url: server.url });
  await expect.poll(async () => (await client.sweeps.get("bayes")).state, { timeout: 120_000, interval: 200 }).not.toBe("running");
  const { trials, ...sweep } = await client.sweeps.get("bayes");
  expect(sweep).toMatchObject({ state: "succeeded", message: null, progress: { total: 6, succeeded: 6 } });
  // What was asked for before is what was run, in one run each.
  for (const { n, params, runId } of before) expect(trials.find((trial) => trial.n === n)).toMatchObject({ params, runId });
  expect(new Set(trials.map(({ runId }) => runId)).size).toBe(6);
  for (const { params, value } of trials) expect(value).toBeCloseTo(Number(params.depth) / 100);
});
