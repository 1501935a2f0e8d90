/** Models of MLflow's flavors, from `log_model` to their predictions, at a whole server. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { EndpointSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { projectSpec } from "../../projects/testing.js";
import { type RunningServer, startServer } from "../../server.js";
import { clientPython } from "../../tracking/testing.js";
import { shadeFeatures } from "../testing.js";

const scripts = fileURLToPath(new URL(".", import.meta.url));
let folder: string;
let server: RunningServer;
let itself: { colours: number[][]; trees: number[] };

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const python = await clientPython(path.join(scripts, "../../tracking/client/requirements-3.lock"), folder);
  server = await startServer({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "system" }, logLevel: "error" });
  const env = { ...process.env, MLFLOW_TRACKING_URI: server.url, MLFLOW_DISABLE_TELEMETRY: "true", PYTHONWARNINGS: "ignore", PYTHONDONTWRITEBYTECODE: "1" };
  const { stdout } = await promisify(execFile)(python, [path.join(scripts, "flavors.py")], { cwd: folder, env });
  itself = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
  const endpoint = (name: string, more: Partial<EndpointSpec> = {}): EndpointSpec => ({
    ...{ name, model: name, rollout: { kind: "canary", steps: [1], each: "1h", judge: [] }, log: {} },
    ...more,
  });
  const project = projectSpec({
    featureServices: [shadeFeatures],
    endpoints: [
      endpoint("colours", { workers: { count: 2, timeout: "20s", memoryMb: 1_500 } }),
      endpoint("shades", { model: "colours", service: shadeFeatures.name }),
      endpoint("trees"),
      endpoint("greeting"),
    ],
  });
  expect(await send("PUT", "/api/v1/projects/test", project)).toMatchObject({ status: 200 });
  const waits = async () =>
    (await Promise.all(project.endpoints.map(({ name }) => send("GET", `/api/v1/endpoints/${name}`)))).some(({ body }) => body.stable !== 1);
  await vi.waitFor(async () => expect(await waits()).toBe(false), 300_000);
}, 600_000);
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

interface Answer {
  error?: string;
  stable?: number | null;
  outputs: { name: string; datatype: string; shape: number[]; data: unknown[] }[];
  predictions?: unknown[];
}
async function send(method: "GET" | "POST" | "PUT", route: string, body?: object): Promise<{ status: number; body: Answer }> {
  const answer = await fetch(server.url + route, {
    method,
    ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: (await answer.json()) as Answer };
}
const near = (values: number[]) => values.map((value) => expect.closeTo(value, 6));
const rows = ["red", "blue", "red", "green"].map((color, at) => ({ color, x: -2 + (4 / 199) * at }));
const columns = [
  { name: "color", datatype: "BYTES", shape: [4], data: rows.map(({ color }) => color) },
  { name: "x", datatype: "FP64", shape: [4], data: rows.map(({ x }) => x) },
];

it("a pipeline of scikit-learn answers by tensors, by invocations, and by rows of features", { timeout: 300_000 }, async () => {
  expect(await send("GET", "/v2/models/colours")).toMatchObject({
    body: { platform: "mlflow_pyfunc", versions: ["1"], inputs: columns.map(({ name, datatype }) => ({ name, datatype, shape: [-1] })) },
  });
  const tensors = await send("POST", "/v2/models/colours/infer", { id: "tensors", inputs: columns });
  expect(tensors).toMatchObject({ status: 200, body: { model_version: "1", outputs: [{ name: "output", datatype: "FP64", shape: [4, 2] }] } });
  expect(tensors.body.outputs[0]?.data).toEqual(near(itself.colours.flat()));
  expect((await send("POST", "/endpoints/colours/invocations", { dataframe_records: rows })).body.predictions).toEqual(itself.colours.map(near));
  const featured = await send("POST", "/v2/models/shades/infer", { inputs: columns });
  expect(featured).toMatchObject({ status: 200, body: { outputs: [{ name: "probability" }, { name: "prediction_id" }] } });
  expect(featured.body.outputs[0]?.data).toEqual(near(itself.colours.map((row) => row[1] ?? 0)));
  expect(await send("GET", "/api/v1/predictions/tensors:1")).toMatchObject({
    body: { inputs: { color: "blue" }, prediction: expect.closeTo(itself.colours[1]?.[1] ?? 0, 6) },
  });
});

it("what does not fit the signature is told before the model is asked", async () => {
  const [color, x] = columns;
  const refused: [unknown[], string][] = [
    [[color], 'The input "x" is missing.'],
    [[color, x, { ...x, name: "y" }], 'There is no input "y". The model takes color, x.'],
    [[color, { ...x, datatype: "BYTES", data: ["1", "2", "3", "4"] }], 'The input "x" has the datatype BYTES; it takes FP64, '],
    [[color, { ...x, shape: [2, 2] }], 'The input "x" has the shape [2, 2]; it takes [-1]'],
    [[color, { ...x, shape: [3], data: [1, 2, 3] }], 'The input "x" has 3 rows where "color" has 4.'],
  ];
  for (const [inputs, message] of refused)
    expect(await send("POST", "/v2/models/colours/infer", { inputs })).toMatchObject({ status: 400, body: { error: expect.stringContaining(message) } });
});

it("a booster takes its matrix, and a function of MLflow's what its type hints say", { timeout: 300_000 }, async () => {
  const matrix = rows.map(({ color, x }) => [x, color === "red" ? 1 : 0]);
  const trees = await send("POST", "/v2/models/trees/infer", { inputs: [{ name: "input", datatype: "FP32", shape: [4, 2], data: matrix }] });
  expect(trees).toMatchObject({ status: 200, body: { outputs: [{ name: "output", datatype: "FP32", shape: [4] }] } });
  expect(trees.body.outputs[0]?.data).toEqual(near(itself.trees));
  expect((await send("POST", "/endpoints/trees/invocations", { inputs: matrix })).body.predictions).toEqual(near(itself.trees));
  const texts = [{ name: "Ada" }, { name: "Grace" }];
  expect(await send("POST", "/endpoints/greeting/invocations", { inputs: texts })).toMatchObject({ body: { predictions: ["Hello Ada", "Hello Grace"] } });
  const tensor = { name: "input", datatype: "BYTES", shape: [2], data: texts.map((row) => JSON.stringify(row)) };
  expect((await send("POST", "/v2/models/greeting/infer", { inputs: [tensor] })).body.outputs[0]?.data).toEqual(["Hello Ada", "Hello Grace"]);
});
