import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import type { EvaluationReport, Model, ModelVersion, ModelVersionDetail } from "@millrace/sdk/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openHttp, type Platform } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { createRegistry, type Registry, registryRoutes } from "./index.js";

let folder: string;
let platform: Platform;
let registry: Registry;
/** Another process's registry of the same database. */
let beside: Registry;
let url: string;
let close: () => Promise<void>;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const opened = await openPlatform({ host: "127.0.0.1", port: 0, dataDir: folder, clock: { kind: "system" }, logLevel: "silent" });
  platform = opened.platform;
  registry = createRegistry(platform);
  beside = createRegistry(platform);
  const app = await openHttp(platform, async () => ({ name: "anna" }));
  registryRoutes(app, registry, platform.objects);
  await platform.events.start();
  url = await app.listen({ host: "127.0.0.1", port: 0 });
  close = async () => {
    await app.close();
    await platform.events.stop();
    await opened.close();
  };
});
afterAll(async () => {
  await close();
  await rm(folder, { recursive: true, force: true });
});

const noMetrics = { rows: 0, positives: 0, auc: null, log_loss: null, brier: null, calibration_error: null, mean_prediction: null };
const report: EvaluationReport = {
  ...{ candidate: noMetrics, champion: null, championVersion: null, slices: [], calibration: [], parity: null },
  latency: { p50Ms: 1, p99Ms: 1 },
};
async function given(model: string, text: string, runId: string) {
  const { digest, size } = await platform.objects.put(Buffer.from(text));
  const files = [{ path: "sub/model.onnx", digest, size }];
  return { model, digest, files, service: "rides", runId, trackingRunId: null, metrics: { auc: 0.7 }, gates: [], report };
}
/** What was told of a model, oldest first. */
async function told(model: string): Promise<unknown[]> {
  const events = await platform.events.list({ limit: 1_000, types: ["model_version.*", "alias.*"] });
  return events
    .filter(({ data }) => data.model === model)
    .map(({ type, data: { version, alias } }) => [type, version, ...(alias === undefined ? [] : [alias])]);
}
async function ask<T>(route: string, method = "GET", body?: unknown): Promise<{ status: number; body: T }> {
  const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const answer = await fetch(`${url}/api/v1/models${route}`, { method, ...json });
  return { status: answer.status, body: (await answer.json()) as T };
}

test("a run that registers the same model again gets its version again, also where another run has registered an equal one before", async () => {
  const [first, second] = [await given("ride", "a model", "run-1"), await given("ride", "a model", "run-2")];
  expect(await registry.register(first)).toEqual({ version: 1 });
  expect(await registry.register(second)).toEqual({ version: 2 });
  expect(await beside.register(second)).toEqual({ version: 2 });
  expect(await beside.register(first)).toEqual({ version: 1 });
  expect(await registry.byDigest("ride", first.digest)).toMatchObject({ version: 1, runId: "run-1" });
  expect(await told("ride")).toEqual([
    ["model_version.registered", 1],
    ["model_version.registered", 2],
  ]);
});

test("of two processes that register at once each gets a version of its own, and for one run both get the same", async () => {
  const all = await Promise.all(Array.from({ length: 6 }, (_, i) => given("busy", `model ${i >> 1}`, `run-${i >> 1}`)));
  const made = await Promise.all(all.map((one, i) => (i % 2 === 0 ? registry : beside).register(one)));
  expect(
    made
      .map(({ version }) => version)
      .filter((version, i, versions) => versions.indexOf(version) === i)
      .sort(),
  ).toEqual([1, 2, 3]);
  for (const i of [0, 2, 4]) expect(made[i]).toEqual(made[i + 1]);
});

test("an alias that is set twice is told once; it moves, and is gone once deleted", async () => {
  for (const text of ["one", "two"]) await registry.register(await given("cab", text, `run-${text}`));
  await Promise.all([registry.setAlias("cab", "champion", 1), beside.setAlias("cab", "champion", 1)]);
  expect((await ask<Model>("/cab/aliases/champion", "PUT", { version: 2 })).body).toMatchObject({
    aliases: { champion: 2 },
    versions: 2,
    latest: { version: 2 },
  });
  expect(await registry.byAlias("cab", "champion")).toMatchObject({ version: 2, service: "rides" });
  await registry.deleteAlias("cab", "champion");
  await registry.deleteAlias("cab", "champion");
  expect(await registry.byAlias("cab", "champion")).toBeUndefined();
  await expect
    .poll(async () => (await told("cab")).slice(2))
    .toEqual([
      ["alias.set", 1, "champion"],
      ["alias.set", 2, "champion"],
      ["alias.deleted", 2, "champion"],
    ]);
});

test("names that MLflow's clients read as something else, and versions that are none, can't be aliases", async () => {
  await registry.register(await given("bus", "a bus", "run-bus"));
  for (const alias of ["latest", "LATEST", "v1", "V12", "a b", "a/b", "a.b", "a".repeat(256)]) {
    expect((await ask(`/bus/aliases/${encodeURIComponent(alias)}`, "PUT", { version: 1 })).status, alias).toBe(400);
  }
  for (const version of [0, -1, 1.5, "1", 3_000_000_000, null]) {
    expect((await ask("/bus/aliases/champion", "PUT", { version })).status, String(version)).toBe(400);
  }
  expect(await ask("/bus/aliases/champion", "PUT", { version: 2 })).toMatchObject({
    status: 404,
    body: { error: { code: "NOT_FOUND", message: 'There is no version of the model "bus" "2".' } },
  });
  expect((await ask("/none/aliases/champion", "PUT", { version: 1 })).status).toBe(404);
  // What was refused left no model behind.
  expect((await ask("/none")).status).toBe(404);
});

test("versions are listed newest first, page by page, and answer with their files and report", async () => {
  for (const text of ["x", "y", "z"]) await registry.register(await given("train", text, `run-${text}`));
  const page = await ask<{ items: ModelVersion[]; next?: string }>("/train/versions?limit=2");
  expect(page.body).toMatchObject({ items: [{ version: 3 }, { version: 2 }], next: "2" });
  expect((await ask<{ items: ModelVersion[] }>("/train/versions?limit=2&after=2")).body.items.map(({ version }) => version)).toEqual([1]);
  expect((await ask<ModelVersionDetail>("/train/versions/3")).body).toMatchObject({ runId: "run-z", metrics: { auc: 0.7 }, report, files: [{ size: 1 }] });
  const file = await fetch(`${url}/api/v1/models/train/versions/3/files/sub/model.onnx`);
  expect([await file.text(), file.headers.get("content-disposition")]).toEqual(["z", 'attachment; filename="model.onnx"']);
  for (const route of [
    "/none",
    "/none/versions",
    "/none/versions/1",
    "/train/versions/4",
    "/train/versions/3/files/model.onnx",
    "/train/versions/3/files/..%2f..%2fx",
  ]) {
    expect((await ask(route)).status, route).toBe(404);
  }
  for (const route of ["/train/versions/0", "/train/versions/one", "/train/versions?after=-1", "/train/versions?limit=0"]) {
    expect((await ask(route)).status, route).toBe(400);
  }
});

test("a version's files come as one archive that tar unpacks, also as Triton has them", async () => {
  const long = `${"folder/".repeat(20)}${"n".repeat(60)}.txt`;
  const contents: Record<string, string> = { "model.onnx": "m".repeat(1_000), "data/zwölf.txt": "", [long]: "long" };
  const files = [];
  for (const [path, text] of Object.entries(contents)) files.push({ path, ...(await platform.objects.put(Buffer.from(text))) });
  await registry.register({ ...(await given("packed", "x", "run-packed")), files });
  for (const [query, expected] of [
    ["", contents],
    ["?triton=shade", { "shade/1/model.onnx": contents["model.onnx"] }],
  ] as const) {
    const answer = await fetch(`${url}/api/v1/models/packed/versions/1/archive.tar${query}`);
    expect(answer.headers.get("content-type")).toBe("application/x-tar");
    const into = await mkdtemp(path.join(folder, "unpacked-"));
    await writeFile(path.join(into, "archive.tar"), Buffer.from(await answer.arrayBuffer()));
    await promisify(execFile)("tar", ["-xf", "archive.tar"], { cwd: into });
    for (const [file, text] of Object.entries(expected)) expect(await readFile(path.join(into, file), "utf8"), file).toBe(text);
  }
  expect((await ask("/packed/versions/1/archive.tar?triton=../x")).status).toBe(400);
  expect((await ask("/packed/versions/2/archive.tar")).status).toBe(404);
});
