import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import type { Endpoint, Prediction } from "@millrace/sdk/api";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { jsonTensor } from "./protocol/tensors.js";
import { openServingServer, type ServingServer, shadeRequest } from "./testing.js";

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
let folder: string;
let server: ServingServer;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  server = await openServingServer(path.join(folder, "data"), { kind: "replay", from: new Date("2024-01-01T00:00:00Z") });
  await server.apply();
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

interface Answer {
  error?: string;
  model_name: string;
  model_version: string;
  id?: string;
  parameters: { version: number };
  outputs: { name: string; datatype: string; shape: number[]; data: (number | string)[]; parameters?: { binary_data_size: number } }[];
}
async function call<T>(url: string, method: string, route: string, body?: unknown, headers: Record<string, string> = {}): Promise<{ status: number; body: T }> {
  const answer = await fetch(`${url}${route}`, {
    method,
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
  });
  return { status: answer.status, body: (await answer.json()) as T };
}
const infer = (body: unknown, route = "/v2/models/shade/infer") => call<Answer>(server.url, "POST", route, body);
const get = async <T>(route: string) => (await call<T>(server.url, "GET", route)).body;
const output = (answer: Answer, name: string) => answer.outputs.find((one) => one.name === name)?.data ?? [];
const prediction = (id: string) => get<Prediction>(`/api/v1/predictions/${encodeURIComponent(id)}`);

test("an endpoint without a version says what is missing, and the first champion answers at once", async () => {
  const before = await infer(shadeRequest([{ color: "red", x: 0 }]));
  expect(before).toMatchObject({ status: 503, body: { error: expect.stringContaining('no version to answer with yet: register one of "shade"') } });
  expect((await call(server.url, "GET", "/v2/models/shade/ready")).status).toBe(503);

  const version = await server.register("columns");
  await server.registry.setAlias("shade", "champion", version);
  await server.registry.setAlias("shade", "challenger", version);
  await server.settled();
  expect((await infer(shadeRequest([{ color: "red", x: 0 }]))).status).toBe(200);
  expect(await get("/v2/models/shade/ready")).toEqual({ name: "shade", ready: true });
  // What answers already challenges nobody.
  expect(await server.registry.byAlias("shade", "challenger")).toBeUndefined();
});

test("the protocol's metadata say what a client has to send", async () => {
  expect(await get("/v2")).toMatchObject({ name: "millrace", extensions: ["binary_tensor_data", "model_repository"] });
  expect((await call(server.url, "GET", "/v2/health/ready")).status).toBe(200);
  expect(await get("/v2/models/shade")).toEqual({
    name: "shade",
    versions: ["1"],
    platform: "onnxruntime_onnx",
    inputs: [
      { name: "asked", datatype: "BYTES", shape: [-1] },
      { name: "color", datatype: "BYTES", shape: [-1] },
      { name: "x", datatype: "FP64", shape: [-1] },
    ],
    outputs: [
      { name: "probability", datatype: "FP64", shape: [-1] },
      { name: "prediction_id", datatype: "BYTES", shape: [-1] },
    ],
  });
});

test("rows are answered in order, with ids under which the log has what went in", async () => {
  const asked = await call<Answer>(
    server.url,
    "POST",
    "/v2/models/shade/infer",
    shadeRequest(
      [
        { color: "red", x: 0.5 },
        { color: "blue", x: 0.5 },
        { color: null, x: 0.5 },
      ],
      "three",
    ),
    { "millrace-time": "2024-01-01T06:00:00Z" },
  );
  expect(asked.body).toMatchObject({ model_name: "shade", model_version: "1", id: "three", parameters: { version: 1 } });
  for (const [row, z] of [1.5, -0.5, 0.5].entries()) expect(Number(output(asked.body, "probability")[row])).toBeCloseTo(sigmoid(z), 6);
  expect(output(asked.body, "prediction_id")).toEqual(["three:0", "three:1", "three:2"]);
  expect(await prediction("three:1")).toEqual({
    ...{ id: "three:1", endpoint: "shade", model: "shade", version: 1, at: "2024-01-01T06:00:00.000Z", route: "stable", key: null },
    request: { asked: "2024-01-01T06:00:00.000Z", color: "blue", x: 0.5 },
    features: { color: "blue", x: 0.5 },
    ...{ inputs: {}, outputs: {}, latencyMs: expect.any(Number), caller: "anna", rollout: null },
    prediction: output(asked.body, "probability")[1],
    ...{ label: null, labelledAt: null },
  });
  expect((await call(server.url, "GET", "/api/v1/predictions/nobody")).status).toBe(404);
});

test("tensors may come and go as bytes behind the JSON", async () => {
  const texts = Buffer.concat(["red", "blauß"].map((text) => Buffer.concat([Buffer.from(Uint32Array.of(Buffer.byteLength(text)).buffer), Buffer.from(text)])));
  const numbers = Buffer.from(Float32Array.of(0.25, -1).buffer);
  const head = Buffer.from(
    JSON.stringify({
      inputs: [
        { name: "color", datatype: "BYTES", shape: [2, 1], parameters: { binary_data_size: texts.length } },
        { name: "x", datatype: "FP32", shape: [2, 1], parameters: { binary_data_size: numbers.length } },
      ],
      outputs: [{ name: "probability", parameters: { binary_data: true } }],
    }),
  );
  const answer = await fetch(`${server.url}/v2/models/shade/infer`, {
    method: "POST",
    body: Buffer.concat([head, texts, numbers]),
    headers: { "content-type": "application/octet-stream", "inference-header-content-length": String(head.length) },
  });
  const bytes = Buffer.from(await answer.arrayBuffer());
  const length = Number(answer.headers.get("inference-header-content-length"));
  expect((JSON.parse(bytes.toString("utf8", 0, length)) as Answer).outputs).toEqual([
    { name: "probability", datatype: "FP64", shape: [2], parameters: { binary_data_size: 16 } },
  ]);
  expect(bytes.readDoubleLE(length)).toBeCloseTo(sigmoid(1.25), 6);
  expect(bytes.readDoubleLE(length + 8)).toBeCloseTo(sigmoid(-1), 6);
});

test("a malformed request is told which tensor is wrong and what it should be", async () => {
  const [color, x] = shadeRequest([{ color: "red", x: 1 }]).inputs;
  const many = Array.from({ length: 10_001 }, () => 1);
  const wrong: [unknown, string][] = [
    ["{", "The request is no JSON"],
    [{}, "The request is malformed at /inputs"],
    [{ inputs: [color] }, 'The input "x" is missing.'],
    [{ inputs: [color, { ...x, name: "y" }] }, 'There is no input "y". The model takes asked, color, x.'],
    [{ inputs: [color, x, x] }, 'The input "x" comes twice.'],
    [{ inputs: [color, { ...x, datatype: "BYTES" }] }, 'The input "x" has the datatype BYTES; it takes FP64, '],
    [{ inputs: [color, { ...x, data: ["one"] }] }, 'The input "x" of FP64 holds "one", which is no number.'],
    [{ inputs: [color, { ...x, data: [1, 2] }] }, 'The input "x" has 2 values for a shape of 1.'],
    [{ inputs: [color, { ...x, shape: [2], data: [1, 2] }] }, 'The input "x" has 2 rows where "color" has 1.'],
    [{ inputs: [color, { ...x, shape: [1, 2] }] }, 'The input "x" has the shape [1, 2]; it takes [n] or [n, 1].'],
    [{ inputs: [color, { ...x, data: undefined, parameters: { binary_data_size: 8 } }] }, "no header Inference-Header-Content-Length"],
    [{ inputs: [color, x], outputs: [{ name: "odds" }] }, 'There is no output "odds". The model gives probability, prediction_id.'],
    [
      {
        inputs: [
          { ...color, shape: [10_001], data: many.map(String) },
          { ...x, shape: [10_001], data: many },
        ],
      },
      "A request has at most 10000 rows, not 10001.",
    ],
    [{ inputs: [{ name: "asked", datatype: "BYTES", shape: [1], data: ["noon"] }, color, x] }, '"asked" holds "noon", which is no time.'],
  ];
  for (const [body, message] of wrong) {
    const answer = await infer(body);
    expect([answer.status, answer.body.error], message).toEqual([400, expect.stringContaining(message)]);
  }
  expect((await infer(" ".repeat(16 * 1024 * 1024 + 1))).status).toBe(413);
  expect(await infer({}, "/v2/models/nobody/infer")).toMatchObject({ status: 400 });
  expect(await infer(shadeRequest([{ color: "red", x: 1 }]), "/v2/models/nobody/infer")).toMatchObject({
    status: 404,
    body: { error: 'There is no endpoint "nobody".' },
  });
  expect((await infer(shadeRequest([{ color: "red", x: 1 }]), "/v2/models/shade/versions/9/infer")).status).toBe(404);
});

test("labels join their predictions, also when they come twice, too early or corrected", async () => {
  const label = (labels: { id: string; label: number | boolean }[]) =>
    call<{ accepted: number }>(server.url, "POST", "/api/v1/endpoints/shade/labels", { labels }, { "millrace-time": "2024-01-02T00:00:00Z" });
  expect((await label([{ id: "early", label: true }])).body).toEqual({ accepted: 1, unmatched: [] });
  await infer(shadeRequest([{ color: "red", x: 0 }], "early"));
  await label([
    { id: "early", label: true },
    { id: "three:0", label: 0 },
    { id: "three:0", label: 1 },
  ]);
  expect(await prediction("early")).toMatchObject({ label: 1, labelledAt: "2024-01-02T00:00:00.000Z" });
  expect(await prediction("three:0")).toMatchObject({ label: 1 });
  expect(await label([{ id: "early", label: 0.5 }])).toMatchObject({
    status: 400,
    body: { error: { message: expect.stringContaining('The label of "early"') } },
  });
});

test("a request that is sent again gets the same ids and is logged once", async () => {
  const request = shadeRequest([{ color: "blue", x: 1 }], "again");
  const answers = await Promise.all(Array.from({ length: 5 }, () => infer(request)));
  // Once more after the first ones have left the spool.
  await prediction("again");
  answers.push(await infer(request));
  expect(answers.map(({ body }) => output(body, "prediction_id"))).toEqual(Array.from({ length: 6 }, () => ["again"]));
  const { items } = await get<{ items: Prediction[] }>("/api/v1/endpoints/shade/predictions?limit=1000");
  expect(items.filter(({ id }) => id === "again")).toHaveLength(1);
  expect(items.map(({ at }) => at)).toEqual(items.map(({ at }) => at).sort((a, b) => (a < b ? 1 : a > b ? -1 : 0)));
});

test("another process answers by what was decided elsewhere, and its predictions come into the same log", async () => {
  const beside = await server.beside();
  const ask = (id: string) =>
    beside.infer("shade", {
      id,
      inputs: shadeRequest([{ color: "red", x: 0 }]).inputs.map((one) => jsonTensor(one, one.data)),
      moment: server.platform.clock.now(),
    });
  try {
    expect((await ask("beside-0")).version).toBe(1);
    const version = await server.register("columns");
    await server.registry.setAlias("shade", "champion", version);
    await vi.waitFor(async () => expect((await ask("beside-1")).version).toBe(version), { timeout: 5_000, interval: 20 });
  } finally {
    await beside.stop();
  }
  expect(await prediction("beside-0")).toMatchObject({ version: 1, route: "stable" });
  expect((await get<Endpoint>("/api/v1/endpoints/shade")).predictions).toBeGreaterThan(10);
});

test("the log keeps its columns when the service changes", async () => {
  const logged = await server.serving.loggedPredictions({ endpoint: "shade", sample: 100, from: undefined, to: undefined });
  expect(Object.keys(logged.request)).toEqual(["asked", "color", "x"]);
  expect(logged.at.length).toBe(logged.features.x?.length);
  const { featureServices, endpoints } = await import("./testing.js").then(({ shadeProject }) => shadeProject());
  const [service] = featureServices ?? [];
  if (service === undefined || endpoints === undefined) throw new Error("the project has a service");
  await server.projects.apply(
    {
      ...{ apiVersion: "millrace/v1", name: "test", datasets: [], schemas: [], entities: [], featureViews: [], pipelines: [], monitors: [], triggers: [] },
      ...{ files: [], folder: "/nowhere", endpoints },
      featureServices: [
        {
          ...service,
          compute: [{ name: "double_x", type: "float64", expr: { op: "add", left: { op: "column", name: "x" }, right: { op: "column", name: "x" } } }],
          features: [...service.features, { name: "double_x", type: "float64" }],
        },
      ],
    },
    "test",
  );
  const before = await server.serving.usePredictions("shade", {}, (connection, relation) =>
    server.platform.duckdb.rows<{ f_double_x: number | null }>(`select distinct f_double_x from ${relation}`, connection),
  );
  expect(before).toEqual([{ f_double_x: null }]);
  await infer(shadeRequest([{ color: "red", x: 3 }], "wider"));
  expect(await prediction("wider")).toMatchObject({ features: { x: 3, double_x: 6 } });
  expect(await prediction("early")).toMatchObject({ features: { x: 0, double_x: null } });
});

test("what was acknowledged is in the log once after a server was killed, and a repeated request is not logged again", async () => {
  const dataDir = path.join(folder, "killed");
  const code = `
    const { openServingServer } = await import(${JSON.stringify(new URL("./testing.ts", import.meta.url).href)});
    const server = await openServingServer(${JSON.stringify(dataDir)}, { kind: "system" });
    await server.apply();
    await server.registry.setAlias("shade", "champion", await server.register("columns"));
    await server.settled();
    console.log(server.url);`;
  const child = spawn(process.execPath, ["--import", "tsx", "--conditions=millrace-source", "--input-type=module", "--eval", code], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit");
  const acknowledged: string[] = [];
  let sealed: number | undefined;
  try {
    const url = await new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stdout }).once("line", resolve);
      child.once("exit", () => reject(new Error("the server did not start")));
    });
    const client = async (name: string) => {
      for (let n = 0; ; n++) {
        const answer = await call<Answer>(url, "POST", "/v2/models/shade/infer", shadeRequest([{ color: "red", x: n }], `${name}-${n}`)).catch(() => undefined);
        if (answer === undefined) return;
        expect(answer.status).toBe(200);
        acknowledged.push(`${name}-${n}`);
        if (acknowledged.length === 150) {
          await call(url, "GET", "/api/v1/predictions/a-0");
          sealed = acknowledged.length;
        }
        if (sealed !== undefined && acknowledged.length >= sealed + 150) child.kill("SIGKILL");
      }
    };
    await Promise.all(["a", "b", "c", "d"].map(client));
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
  const after = await openServingServer(dataDir, { kind: "system" });
  try {
    const logged = async () => {
      // How many there are is up to the machine: more, it may be, than a page of the route has.
      const rows = await after.serving.usePredictions("shade", {}, (connection, relation) =>
        after.platform.duckdb.rows<{ id: string }>(`select id from ${relation}`, connection),
      );
      return rows.map(({ id }) => id);
    };
    const found = await logged();
    expect(new Set(found).size).toBe(found.length);
    expect(acknowledged.filter((id) => !found.includes(id))).toEqual([]);
    const last = acknowledged.at(-1);
    await call<Answer>(after.url, "POST", "/v2/models/shade/infer", shadeRequest([{ color: "blue", x: 0 }], last));
    expect((await logged()).length).toBe(found.length);
    // Nothing is left but the folder of the one that runs.
    expect(await readdir(path.join(dataDir, "spool"))).toHaveLength(1);
    await call<Answer>(after.url, "POST", "/v2/models/shade/infer", shadeRequest([{ color: "blue", x: 0 }], "last"));
    expect((await call<Endpoint>(after.url, "GET", "/api/v1/endpoints/shade")).body.stable).toBe(1);
  } finally {
    await after.stop();
  }
  expect(await readdir(path.join(dataDir, "spool"))).toEqual([]);
});
