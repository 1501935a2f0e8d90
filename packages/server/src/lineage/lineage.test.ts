import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Lineage, Run } from "@millrace/sdk/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openShadeLoop, type ShadeLoop } from "../monitoring/testing.js";
import { mlflowApi } from "../tracking/testing.js";

let folder: string;
let loop: ShadeLoop;
let run: Run;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  loop = await openShadeLoop(folder, "2024-01-01T00:00:00Z");
  await loop.apply({ monitors: [], triggers: [] });
  for (const [file, rows] of Object.entries({ one: 100, two: 200 })) {
    await loop.arrive(`${file}.parquet`, `select null::varchar as color, i / 50.0 - 1 as x, i > 50 as dark from range(${rows}) t(i)`);
  }
  run = await loop.finished((await loop.send<Run>("POST", "/api/v1/pipelines/shade/runs", {})).id);
  await loop.predict("2024-01-01T12:00:00Z", "asked/today", [
    { color: "red", x: 0 },
    { color: null, x: 1 },
  ]);
  await loop.label("asked/today", [true, false]);
});
afterAll(async () => {
  await loop.stop();
  await rm(folder, { recursive: true, force: true });
});

/** What a node was made from, by kind and label. */
function madeFrom({ nodes, edges }: Lineage, id: string): string[] {
  const from = edges.filter((edge) => edge.from === id).map((edge) => edge.to);
  return nodes.flatMap((node) => (from.includes(node.id) ? [`${node.kind} ${node.label}`] : [])).sort();
}

test("a prediction leads back to its model version, run, steps, dataset version, files and commit", async () => {
  const found = await loop.get<Lineage>(`/api/v1/lineage/prediction/${encodeURIComponent("asked/today:0")}`);
  expect(found.root).toBe("prediction/asked/today:0");
  expect(found.nodes.find((node) => node.id === found.root)?.facts).toMatchObject({ endpoint: "shade", at: "2024-01-01T12:00:00.000Z", label: 1 });
  expect(madeFrom(found, found.root)).toEqual(["model_version shade v1"]);
  expect(madeFrom(found, "model_version/shade/1")).toEqual([`run shade ${run.id}`]);
  expect(madeFrom(found, `run/${run.id}`)).toEqual(["project_version test v1", "step register"]);
  expect(madeFrom(found, "project_version/test/1")).toEqual(["commit c0ffee"]);
  expect(madeFrom(found, `step/${run.id}/register`)).toEqual(["step evaluate", "step train"]);
  expect(madeFrom(found, `step/${run.id}/train`)).toEqual(["step read"]);
  expect(madeFrom(found, `step/${run.id}/read`)).toEqual(["dataset_version shades v2"]);
  expect(madeFrom(found, "dataset_version/shades/2")).toEqual(["file one.parquet", "file two.parquet"]);
  const ids = new Set(found.nodes.map((node) => node.id));
  for (const { from, to } of found.edges) expect([ids.has(from), ids.has(to)]).toEqual([true, true]);
});

test("lineage begins anywhere on the way, and what is not there is told as such", async () => {
  expect((await loop.get<Lineage>("/api/v1/lineage/dataset_version/shades/1")).nodes.map((node) => node.label)).toEqual(["shades v1", "one.parquet"]);
  expect((await loop.get<Lineage>("/api/v1/lineage/model_version/shade/1")).root).toBe("model_version/shade/1");
  expect((await loop.get<Lineage>(`/api/v1/lineage/run/${run.id}`)).root).toBe(`run/${run.id}`);
  for (const [route, status] of [
    ["prediction/none", 404],
    ["model_version/shade/7", 404],
    ["model_version/shade", 404],
    ["dataset_version/shades/99", 404],
    ["run/none", 404],
    ["mood/good", 400],
  ] as const) {
    await expect(loop.get(`/api/v1/lineage/${route}`), route).rejects.toThrow(`answered ${status}`);
  }
});

test("a tracked run knows its datasets, commit, parent, children, models and the versions made from it, and each of them leads back to it", async () => {
  const call = mlflowApi(() => loop.url);
  const post = async (route: string, body: Record<string, unknown>) => (await call("POST", route, body)).body;
  const experiment_id = (await post("experiments/create", { name: "by hand" })).text("experiment_id");
  const newRun = async (run_name: string, tags: Record<string, string> = {}) =>
    (await post("runs/create", { experiment_id, run_name, tags: Object.entries(tags).map(([key, value]) => ({ key, value })) })).text("run", "info", "run_id");
  const parent = await newRun("sweep");
  const trained = await newRun("trial", { "mlflow.parentRunId": parent, "mlflow.source.git.commit": "feedbeef12345678", "mlflow.source.name": "train.py" });
  const child = await newRun("inner", { "mlflow.parentRunId": trained });
  const dataset = { name: "flights", digest: "d1g3st", source_type: "http", source: "{}" };
  await post("runs/log-inputs", { run_id: trained, datasets: [{ dataset, tags: [{ key: "mlflow.data.context", value: "training" }] }] });
  const model = (await post("logged-models", { experiment_id, name: "tree", source_run_id: trained })).text("model", "info", "model_id");
  await post("runs/outputs", { run_id: trained, models: [{ model_id: model, step: 0 }] });
  const judged = await newRun("judged");
  await post("runs/log-inputs", { run_id: judged, models: [{ model_id: model }] });
  for (const name of ["hand made", "copied"]) await post("registered-models/create", { name });
  await post("model-versions/create", { name: "hand made", source: `models:/${model}`, model_id: model });
  await post("model-versions/create", { name: "copied", source: "models:/hand made/1" });

  const back = await loop.get<Lineage>(`/api/v1/lineage/run/${trained}`);
  expect(back.root).toBe(`tracking_run/${trained}`);
  expect(back.nodes.find(({ id }) => id === back.root)?.facts).toMatchObject({ experiment: "by hand", status: "RUNNING" });
  expect(madeFrom(back, back.root)).toEqual(["commit feedbeef1234", "dataset flights", `tracking_run sweep ${parent}`]);

  const forward = await loop.get<Lineage>(`/api/v1/lineage/tracking_run/${trained}?direction=forward`);
  const madeOf = (of: Lineage, id: string) => madeFrom({ ...of, edges: of.edges.map(({ from, to }) => ({ from: to, to: from })) }, id);
  // A copy of a version is of the same run and model.
  const versions = ["model_version copied v1", "model_version hand made v1"];
  expect(madeOf(forward, forward.root)).toEqual([`logged_model tree ${model}`, ...versions, `tracking_run inner ${child}`]);
  expect(madeOf(forward, `logged_model/${model}`)).toEqual([...versions, `tracking_run judged ${judged}`]);
  expect(madeOf(forward, "model_version/hand made/1")).toEqual(["model_version copied v1"]);

  // From the other ends: which runs and datasets is the version from, and what was made from the dataset.
  const version = await loop.get<Lineage>("/api/v1/lineage/model_version/copied/1");
  expect(madeFrom(version, version.root)).toContain("model_version hand made v1");
  expect(madeFrom(version, "model_version/hand made/1")).toEqual([`logged_model tree ${model}`, `tracking_run trial ${trained}`]);
  expect(version.nodes.map(({ id }) => id)).toEqual(expect.arrayContaining(["dataset/d1g3st", "commit/feedbeef12345678"]));
  const of = await loop.get<Lineage>("/api/v1/lineage/dataset/d1g3st?direction=forward");
  expect(madeOf(of, of.root)).toEqual([`tracking_run trial ${trained}`]);
  expect(of.nodes.map(({ id }) => id)).toContain("model_version/hand made/1");
  const both = await loop.get<Lineage>(`/api/v1/lineage/logged_model/${model}?direction=both`);
  expect(both.nodes.map(({ id }) => id)).toEqual(expect.arrayContaining([`tracking_run/${trained}`, `tracking_run/${judged}`, "model_version/copied/1"]));

  // A pipeline's run and its record in tracking lead to each other; a dataset's version leads on to the runs that read it.
  const pipelines = (await call("GET", "experiments/get-by-name", { experiment_name: "shade" })).body.text("experiment", "experiment_id");
  const record = (await post("runs/search", { experiment_ids: [pipelines] })).list("runs")[0]?.text("info", "run_id") ?? "";
  expect(madeFrom(await loop.get<Lineage>(`/api/v1/lineage/run/${record}`), `tracking_run/${record}`)).toEqual([`run shade ${run.id}`]);
  const read = await loop.get<Lineage>("/api/v1/lineage/dataset_version/shades/2?direction=forward");
  expect(madeOf(read, read.root)).toEqual([`run shade ${run.id}`]);
  expect(read.nodes.map(({ id }) => id)).toEqual(expect.arrayContaining(["model_version/shade/1", `tracking_run/${record}`]));

  // Two runs that each say they belong to the other.
  await post("runs/set-tag", { run_id: parent, key: "mlflow.parentRunId", value: child });
  expect((await loop.get<Lineage>(`/api/v1/lineage/run/${child}?direction=both`)).nodes.length).toBeGreaterThan(3);
  for (const route of ["logged_model/none", "dataset/none", "tracking_run/none"])
    await expect(loop.get(`/api/v1/lineage/${route}`), route).rejects.toThrow("answered 404");
});
