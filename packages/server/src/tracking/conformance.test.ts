/** What was seen to differ from MLflow 3.17's own server when both were sent the same requests, and no longer does. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningServer, startServer } from "../server.js";
import { mlflowApi } from "./testing.js";

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
/** Status and code: what MLflow's clients decide by. */
async function refused(route: string, body: Record<string, unknown>, method: "GET" | "POST" | "PATCH" | "DELETE" = "POST") {
  const answer = await call(method, route, body);
  return [answer.status, answer.body.text("error_code")];
}
const invalid = [400, "INVALID_PARAMETER_VALUE"];
const missing = [404, "RESOURCE_DOES_NOT_EXIST"];
async function newExperiment(name: string): Promise<string> {
  return (await post("experiments/create", { name })).body.text("experiment_id");
}
async function newRun(experiment_id = "0", more: Record<string, unknown> = {}): Promise<string> {
  return (await post("runs/create", { experiment_id, start_time: 1, ...more })).body.text("run", "info", "run_id");
}

describe("a request", () => {
  it("has texts where texts are expected, in its own encoding and without what can't be kept", async () => {
    for (const name of [5, true, {}, [], "a\u0000b", "\ud800", ""]) expect(await refused("experiments/create", { name })).toEqual(invalid);
    const raw = (body: string | Uint8Array<ArrayBuffer>, type = "application/json") =>
      fetch(`${server.url}/api/2.0/mlflow/experiments/create`, { method: "POST", body, headers: { "content-type": type } });
    const bodies = ["{", "[]", '"a"', '{"name":NaN}', `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`, `${"[".repeat(10_000)}${"]".repeat(10_000)}`];
    for (const body of [...bodies, new Uint8Array([0x7b, 0xff, 0xfe, 0x7d])]) {
      const answer = await raw(body);
      expect([answer.status, ((await answer.json()) as { error_code: string }).error_code]).toEqual(invalid);
    }
    const run_id = await newRun();
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    for (const [route, body] of [
      ["runs/log-metric", `{"run_id":${deep}}`],
      ["runs/log-metric", `{"run_id":"${run_id}","key":"a","timestamp":1,"value":${deep}}`],
      ["runs/log-batch", `{"run_id":"${run_id}","params":[{"key":"a","value":${deep}}]}`],
      ["runs/search", `{"experiment_ids":["0"],"max_results":${deep}}`],
    ] as const) {
      const answer = await fetch(`${server.url}/api/2.0/mlflow/${route}`, { method: "POST", body, headers: { "content-type": "application/json" } });
      expect([answer.status, ((await answer.json()) as { error_code: string }).error_code]).toEqual(invalid);
    }
    const notUnicode = new Uint8Array([...new TextEncoder().encode('{"name":"'), 0xff, 0xc3, ...new TextEncoder().encode('"}')]);
    expect((await raw(notUnicode)).status).toBe(400);
    expect((await raw('{"name":"typed"}', "application/x-www-form-urlencoded")).status).toBe(400);
    expect((await raw('{"name":"typed"}', "application/json; charset=utf-8")).status).toBe(200);
  });

  it("names a run by an id that leads nowhere else", async () => {
    for (const run_id of ["..", "../../etc", "%2e%2e", "a/b", "-a", "x".repeat(257)]) {
      expect([run_id, ...(await refused("runs/get", { run_id }, "GET"))]).toEqual([run_id, ...invalid]);
      expect(await refused("runs/log-metric", { run_id, key: "a", value: 1, timestamp: 1 })).toEqual(invalid);
      expect(await refused("artifacts/list", { run_id }, "GET")).toEqual(invalid);
    }
    expect(await refused("runs/get", { run_id: "none" }, "GET")).toEqual(missing);
  });

  it("may write what is one of a few by its number", async () => {
    const run_id = await newRun();
    await post("runs/update", { run_id, status: 3, end_time: "17" });
    expect((await call("GET", "runs/get", { run_id })).body.at("run", "info").value).toMatchObject({ status: "FINISHED", end_time: 17 });
    expect(await refused("runs/update", { run_id, status: 9 })).toEqual(invalid);
    const found = await post("runs/search", { experiment_ids: ["0"], run_view_type: 2 });
    expect(found.body.list("runs")).toEqual([]);
  });
});

describe("an experiment", () => {
  it("has a number, and artifacts that lie with this server", async () => {
    for (const experiment_id of ["abc", "1.5", "0x1"]) expect(await refused("experiments/get", { experiment_id }, "GET")).toEqual(invalid);
    for (const experiment_id of ["999999", "99999999999999999999999", "-1"])
      expect(await refused("experiments/get", { experiment_id }, "GET")).toEqual(missing);
    for (const artifact_location of ["file:///etc", "file://C:/x", "/etc", "mlflow-artifacts://host/x", "mlflow-artifacts:/../x", "mlflow-artifacts:/%2e%2e/x"])
      expect(await refused("experiments/create", { name: "elsewhere", artifact_location })).toEqual(invalid);
    expect((await post("experiments/create", { name: "here", artifact_location: "mlflow-artifacts:///here" })).status).toBe(200);
  });

  it("can't take the name of another, and the answer shows no SQL", async () => {
    const experiment_id = await newExperiment("to be renamed");
    await newExperiment("taken");
    const { status, body } = await post("experiments/update", { experiment_id, new_name: "taken" });
    expect([status, body.value]).toEqual([400, { error_code: "RESOURCE_ALREADY_EXISTS", message: "Experiment 'taken' already exists." }]);
    expect((await post("experiments/update", { experiment_id, new_name: "to be renamed" })).status).toBe(200);
  });
});

describe("a metric", () => {
  it("is any number that Python writes, at a moment, and is told of a dataset by name and digest", async () => {
    const run_id = await newRun();
    const at = { run_id, timestamp: 1, step: 0 };
    for (const value of [1, "1", " 1.5 ", "1e5", ".5", "nan", "NaN", "inf", "+inf", "-Infinity", "-inf"])
      expect([value, (await post("runs/log-metric", { ...at, key: "any", value })).status]).toEqual([value, 200]);
    for (const value of ["abc", "", " ", "0x10", "1_000", "--1", true, null, {}, []])
      expect(await refused("runs/log-metric", { ...at, key: "none", value })).toEqual(invalid);
    for (const more of [
      { timestamp: null },
      { timestamp: -1 },
      { timestamp: 2 ** 63 },
      { step: 1.5 },
      { step: "x" },
      { dataset_name: "d" },
      { dataset_digest: "x" },
    ])
      expect(await refused("runs/log-metric", { ...at, key: "none", value: 1, ...more })).toEqual(invalid);
    expect(await refused("runs/log-batch", { run_id, metrics: [{ key: "none", value: 1 }] })).toEqual(invalid);
    expect(await refused("runs/log-metric", { ...at, key: "none", value: 1, model_id: "m-none" })).toEqual(missing);
    const run = await call("GET", "runs/get", { run_id });
    expect(run.body.list("run", "data", "metrics").map((one) => [one.text("key"), one.text("value")])).toEqual([["any", "NaN"]]);
  });
});

describe("a search", () => {
  it("orders experiments by their numbers, and stays within its experiments on every page", async () => {
    const ids: string[] = [];
    for (let n = 0; n < 11; n++) ids.push(await newExperiment(`number ${n}`));
    const { body } = await post("experiments/search", { filter: "name LIKE 'number %'", order_by: ["experiment_id DESC"], max_results: 100 });
    expect(body.list("experiments").map((one) => one.text("experiment_id"))).toEqual(ids.toReversed());
    const [one = "", other = ""] = ids;
    const runs = [await newRun(one, { run_name: "a" }), await newRun(one, { run_name: "b" })];
    await newRun(other);
    for (const run_id of runs) await post("runs/log-metric", { run_id, key: "odd", value: "NaN", timestamp: 1 });
    // None of them has ended, so that all are of the part of the order that has no value.
    const search = { experiment_ids: [one], order_by: ["end_time", "metrics.odd", "run_name"], max_results: 1 };
    const first = await post("runs/search", search);
    const second = await post("runs/search", { ...search, page_token: first.body.text("next_page_token") });
    expect([first, second].flatMap((page) => page.body.list("runs").map((run) => run.text("info", "run_name")))).toEqual(["a", "b"]);
    expect(second.body.at("next_page_token").value).toBeUndefined();
  });

  it("takes keys and names in any quotes, and whole numbers in quotes", async () => {
    const experiment_id = await newExperiment("quotes");
    const run_id = await newRun(experiment_id, { run_name: "it's one" });
    await post("runs/log-batch", {
      run_id,
      params: [
        { key: "p q", value: "it's" },
        { key: "größe", value: "1" },
      ],
      metrics: [{ key: "a", value: 1, timestamp: 1 }],
      tags: [{ key: "x.y", value: "1" }],
    });
    const filters = [
      `params.'p q' = "it's"`,
      "params.`p q` = 'it''s'",
      "params.größe = '1'",
      "tags.'x.y' = '1'",
      "tags.x.y = '1'",
      `"run name" = "it's one"`,
      "`run name` LIKE 'it_s%'",
      "attributes.Created = '1'",
      "start_time >= 1 AND start_time < 2.5",
      "metrics.'a' > .5",
    ];
    for (const filter of filters) {
      const { body } = await post("runs/search", { experiment_ids: [experiment_id], filter, order_by: ['"start_time" DESC', "metrics.'a'"] });
      expect([filter, body.list("runs").map((run) => run.text("info", "run_id"))]).toEqual([filter, [run_id]]);
    }
    for (const filter of ["metrics.a > '1'", "params.'p q' > 'a'", "'run name' = 'x'", "start_time = 'x'"])
      expect([filter, ...(await refused("runs/search", { experiment_ids: [experiment_id], filter }))]).toEqual([filter, ...invalid]);
  });
});

describe("a logged model", () => {
  it("keeps its params, and has a type and a tag only where it was given one", async () => {
    const experiment_id = await newExperiment("logged");
    const made = await post("logged-models", { experiment_id, name: "", params: [{ key: "depth", value: "3" }] });
    const model_id = made.body.text("model", "info", "model_id");
    expect(made.body.text("model", "info", "name")).not.toBe("");
    const params = (value: string) => [
      { key: "depth", value },
      { key: `more ${value}`, value },
    ];
    expect((await post(`logged-models/${model_id}/params`, { params: params("3") })).status).toBe(200);
    expect(await refused(`logged-models/${model_id}/params`, { params: params("4") })).toEqual(invalid);
    const kept = await call("GET", `logged-models/${model_id}`);
    expect(kept.body.list("model", "data", "params").map((one) => [one.text("key"), one.text("value")])).toEqual([
      ["depth", "3"],
      ["more 3", "3"],
    ]);
    expect(await refused(`logged-models/${model_id}/tags/none`, {}, "DELETE")).toEqual(missing);
    const found = async (filter: string) =>
      (await post("logged-models/search", { experiment_ids: [experiment_id], filter, max_results: 5_000 })).body.list("models").length;
    expect(await found("model_type != 'agent'")).toBe(1);
    expect([await found("status = 'PENDING'"), await found("status IN ('READY')")]).toEqual([1, 0]);
  });
});

describe("a file", () => {
  it("is listed below a folder that ends in a slash too", async () => {
    const run_id = await newRun();
    await fetch(`${server.url}/api/2.0/mlflow-artifacts/artifacts/0/${run_id}/artifacts/dir/a.txt`, { method: "PUT", body: "a" });
    const { body } = await call("GET", "artifacts/list", { run_id, path: "dir/" });
    expect(body.list("files").map((file) => file.text("path"))).toEqual(["dir/a.txt"]);
    for (const below of ["../x", "..", "/etc", "dir/../..", "%2e%2e", "dir\\x", "C:\\x", "dir//a", "a\nb"])
      expect([below, ...(await refused("artifacts/list", { run_id, path: below }, "GET"))]).toEqual([below, ...invalid]);
  });
});

describe("a version", () => {
  it("comes from no other host, is found by what it lacks, and the newest has the alias latest", async () => {
    await post("registered-models/create", { name: "hosts" });
    const at = { name: "hosts" };
    for (const source of ["http://host/x", "https://host/x#a", "ftp://host/x", "mlflow-artifacts://host/x", "file://C:/x"])
      expect([source, ...(await refused("model-versions/create", { ...at, source }))]).toEqual([source, ...invalid]);
    expect(await refused("model-versions/create", { ...at, source: "mlflow-artifacts:/0/x", run_id: "f".repeat(32) })).toEqual(invalid);
    for (const source of ["s3://bucket/1", "s3://bucket/2"]) await post("model-versions/create", { ...at, source });
    const found = async (filter: string) =>
      (await call("GET", "model-versions/search", { filter })).body.list("model_versions").map((one) => one.text("version"));
    expect(await found("name = 'hosts' AND run_id NOT IN ('a') AND run_id != 'b'")).toEqual(["2", "1"]);
    expect(await found("name = 'hosts' AND version_number = '2'")).toEqual(["2"]);
    for (const alias of ["latest", "Latest"])
      expect((await call("GET", "registered-models/alias", { ...at, alias })).body.text("model_version", "version")).toBe("2");
    expect((await post("registered-models/alias", { ...at, alias: "größte-1", version: "1" })).status).toBe(200);
    for (const alias of ["latest", "v1", "a b", "a.b", ""]) expect(await refused("registered-models/alias", { ...at, alias, version: "1" })).toEqual(invalid);
  });
});
