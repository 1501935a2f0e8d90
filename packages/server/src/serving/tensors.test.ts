/** Endpoints without a feature service: they take what their model takes. */
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import type { Prediction, Rollout } from "@millrace/sdk/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openServingServer, type ServingServer, shadeProject } from "./testing.js";

let folder: string;
let server: ServingServer;
const champion = async (model: string, fixture: "matrix" | "datatypes" | "columns") => {
  const version = await server.register(fixture, { model, service: null });
  await server.registry.setAlias(model, "champion", version);
  await server.settled();
  return version;
};
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  server = await openServingServer(path.join(folder, "data"), { kind: "replay", from: new Date("2024-01-01T00:00:00Z") });
  const [endpoint] = shadeProject().endpoints ?? [];
  if (endpoint === undefined) throw new Error("the project has an endpoint");
  const { service: _, ...tensors } = endpoint;
  const rollout = { ...tensors.rollout, judge: [] };
  await server.applySpec({
    ...shadeProject(),
    endpoints: ["matrix", "datatypes", "columns"].map((name) => ({ ...tensors, name, model: name, rollout })),
  });
  await champion("matrix", "matrix");
  await champion("datatypes", "datatypes");
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

interface Answer {
  error?: string;
  id: string;
  model_version: string;
  outputs: { name: string; datatype: string; shape: number[]; data: unknown[]; parameters?: { binary_data_size: number } }[];
}
async function post<T = Answer>(route: string, body: unknown): Promise<{ status: number; body: T }> {
  const answer = await fetch(`${server.url}${route}`, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });
  return { status: answer.status, body: (await answer.json()) as T };
}
const infer = (model: string, inputs: unknown[], rest: object = {}) => post(`/v2/models/${model}/infer`, { inputs, ...rest });
const get = async <T>(route: string) => (await (await fetch(`${server.url}${route}`)).json()) as T;
const matrix = (data: unknown, shape = [2, 2], datatype = "FP32") => ({ name: "X", shape, datatype, data });

test("a model's own tensors are what an endpoint without features takes and gives", async () => {
  expect(await get("/v2/models/matrix")).toEqual({
    ...{ name: "matrix", versions: ["1"], platform: "onnxruntime_onnx" },
    inputs: [{ name: "X", datatype: "FP32", shape: [-1, 2] }],
    outputs: [
      { name: "label", datatype: "INT64", shape: [-1] },
      { name: "probabilities", datatype: "FP32", shape: [-1, 2] },
    ],
  });
  const { body } = await infer("matrix", [matrix([1, 2, -3, 1])], { id: "own" });
  expect(body).toMatchObject({ id: "own", model_version: "1", outputs: [{ name: "label", datatype: "INT64", shape: [2], data: [1, 0] }, { shape: [2, 2] }] });
  const positive = body.outputs[1]?.data.filter((_, at) => at % 2 === 1).map(Number);
  const softmax = (z: number) => Math.exp(z) / (Math.exp(z) + Math.exp(-z));
  expect(positive?.[0]).toBeCloseTo(softmax(3), 6);
  expect(positive?.[1]).toBeCloseTo(softmax(-2), 6);

  const logged = await get<Prediction>("/api/v1/predictions/own%3A1");
  expect(logged).toMatchObject({ endpoint: "matrix", route: "stable", request: {}, features: {}, inputs: { X: [-3, 1] }, outputs: { label: 0 } });
  expect(logged.prediction).toBeCloseTo(softmax(-2), 6);
});

test("outputs that are asked for come alone, and what is none is refused before anything runs", async () => {
  expect((await infer("matrix", [matrix([1, 2, 3, 4])], { outputs: [{ name: "label" }] })).body.outputs).toHaveLength(1);
  const before = (await get<{ predictions: number }>("/api/v1/endpoints/matrix")).predictions;
  const { status, body } = await infer("matrix", [matrix([1, 2, 3, 4])], { outputs: [{ name: "nothing" }] });
  expect([status, body.error]).toEqual([400, 'There is no output "nothing". The model gives label, probabilities.']);
  expect((await get<{ predictions: number }>("/api/v1/endpoints/matrix")).predictions).toBe(before);
});

const values: Record<string, unknown[]> = {
  BOOL: [true, false, false, true],
  INT8: [-128, 127, 0, 1],
  INT16: [-32_768, 32_767, 0, 1],
  INT32: [-2_147_483_648, 2_147_483_647, 0, 1],
  INT64: [-9_007_199_254_740_991, 9_007_199_254_740_991, 0, 1],
  UINT8: [0, 255, 1, 2],
  UINT16: [0, 65_535, 1, 2],
  UINT32: [0, 4_294_967_295, 1, 2],
  UINT64: [0, 9_007_199_254_740_991, 1, 2],
  FP16: [0.5, -65_504, 2 ** -24, 1.0009765625],
  FP32: [Math.fround(0.1), -1e-40, 3.4028234663852886e38, 0],
  FP64: [0.1, -5e-324, 1.7976931348623157e308, 0],
  BYTES: ["", "zwölf", "☃", "plain"],
};
const all = () => Object.entries(values).map(([datatype, data]) => ({ name: datatype.toLowerCase(), datatype, shape: [2, 2], data }));

test("values of every datatype come back as they went, and are in the log", async () => {
  const { body } = await infer("datatypes", all(), { id: "every" });
  for (const { name, datatype, data } of body.outputs) {
    const sent = values[datatype] ?? [];
    expect([name, data.map((value) => (datatype === "FP32" ? Math.fround(Number(value)) : value))]).toEqual([
      `same_${datatype.toLowerCase()}`,
      sent.map((value) => (datatype === "FP32" ? Math.fround(Number(value)) : value)),
    ]);
  }
  const logged = await get<Prediction>("/api/v1/predictions/every%3A0");
  expect(logged.inputs).toMatchObject({ bool: [true, false], int8: [-128, 127], uint32: [0, 4_294_967_295], fp64: [0.1, -5e-324], bytes: ["", "zwölf"] });
});

test("whole numbers beyond 2^53 are exact as bytes", async () => {
  const large = BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n);
  const unsigned = BigUint64Array.of(2n ** 64n - 1n, 0n);
  const rest = all().map((one) => ({ ...one, shape: [1, 2], data: one.data.slice(0, 2) }));
  const inputs = rest.map(({ data, ...one }) =>
    one.datatype === "INT64" || one.datatype === "UINT64" ? { ...one, parameters: { binary_data_size: 16 } } : { ...one, data },
  );
  const head = Buffer.from(JSON.stringify({ inputs, outputs: ["same_int64", "same_uint64"].map((name) => ({ name, parameters: { binary_data: true } })) }));
  const answer = await fetch(`${server.url}/v2/models/datatypes/infer`, {
    method: "POST",
    body: Buffer.concat([head, Buffer.from(large.buffer), Buffer.from(unsigned.buffer)]),
    headers: { "inference-header-content-length": String(head.length), "content-type": "application/octet-stream" },
  });
  expect(answer.status).toBe(200);
  const bytes = Buffer.from(await answer.arrayBuffer()).subarray(Number(answer.headers.get("inference-header-content-length")));
  expect([bytes.readBigInt64LE(0), bytes.readBigInt64LE(8), bytes.readBigUInt64LE(16)]).toEqual([-(2n ** 63n), 2n ** 63n - 1n, 2n ** 64n - 1n]);
});

test("whole numbers beyond 2^53 are exact as JSON too", async () => {
  const text = JSON.stringify({ inputs: all(), outputs: [{ name: "same_int64" }, { name: "same_uint64" }] })
    .replace("-9007199254740991", "-9223372036854775808")
    .replace('"UINT64","shape":[2,2],"data":[0,9007199254740991', '"UINT64","shape":[2,2],"data":[0,18446744073709551615');
  const answer = await fetch(`${server.url}/v2/models/datatypes/infer`, { method: "POST", body: text });
  const said = await answer.text();
  expect([answer.status, said]).toEqual([200, expect.stringContaining('"data":[-9223372036854775808,9007199254740991,0,1]')]);
  expect(said).toContain('"data":[0,18446744073709551615,1,2]');
});

/** What comes back for bytes that a client sends as they are. */
async function raw(text: string): Promise<string> {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  socket.setEncoding("utf8").write(text);
  let said = "";
  for await (const part of socket) {
    said += part;
    if (/\r\n\r\n.*(\}|0\r\n\r\n)$/s.test(said)) break;
  }
  return said;
}

test("a request in parts, compressed or with escapes in it is answered as one that comes whole, and what is too large is refused before it comes", async () => {
  const body = JSON.stringify({ id: "parts", inputs: [matrix([1, 2, -3, 1])] });
  const head = (more: string, route = "matrix") => `POST /v2/models/${route}/infer HTTP/1.1\r\nhost: localhost\r\n${more}\r\n\r\n`;
  const whole = await raw(`${head(`content-length: ${body.length}`)}${body}`);
  expect(whole).toMatch(/^HTTP\/1.1 200 OK\r\n/);
  const answerOf = (said: string): unknown => JSON.parse(said.slice(said.indexOf("{"), said.lastIndexOf("}") + 1));
  const chunked = await raw(`${head("transfer-encoding: chunked")}${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`);
  expect(answerOf(chunked)).toEqual(answerOf(whole));
  const escaped = body.replace("X", "\\u0058");
  expect(answerOf(await raw(`${head(`content-length: ${escaped.length}`)}${escaped}`))).toEqual(answerOf(whole));
  const packed = await fetch(`${server.url}/v2/models/matrix/infer`, { method: "POST", body: gzipSync(body), headers: { "content-encoding": "gzip" } });
  expect(await packed.json()).toEqual(answerOf(whole));

  expect(await raw(head("content-length: 17000000"))).toMatch(/^HTTP\/1.1 413 .*at most 16777216 are taken/s);
  expect(await raw(head("content-length: 17000000\r\nexpect: 100-continue"))).toMatch(/^HTTP\/1.1 (100 Continue\r\n\r\nHTTP\/1.1 )?413 /);
  expect(await raw(`${head("content-length: 2", "nobody")}{}`)).toMatch(/^HTTP\/1.1 400 /);
  expect(await infer("datatypes", all(), { parameters: { timeout: 0.001 } })).toMatchObject({ status: 504 });
  expect((await get<string>("/openapi.json").catch(() => undefined)) as unknown).toMatchObject({ paths: { "/v2/models/{name}/infer": expect.anything() } });
});

test("NaN and infinities are taken as texts and as bytes, and are in the log", async () => {
  const { status, body } = await infer("matrix", [matrix(["NaN", 1, "Infinity", "-Infinity"])], { id: "odd" });
  expect([status, body.outputs[1]?.data.slice(0, 2)]).toEqual([200, [null, null]]);
  expect((await get<Prediction>("/api/v1/predictions/odd%3A0")).inputs).toEqual({ X: [null, 1] });
});

test("what does not fit the model is told with what would, and changes nothing", async () => {
  const wrong: [inputs: unknown[], message: string][] = [
    [[matrix([1, 2, 3, 4], [4])], 'The input "X" has the shape [4]; it takes [-1, 2], where -1 is any number.'],
    [[matrix([1, 2, 3], [1, 3])], 'The input "X" has the shape [1, 3]'],
    [[matrix([1, 2, 3], [2, 2])], 'The input "X" has 3 values for a shape of 4.'],
    [[matrix([1, 2], [1, 2], "FP64")], 'The input "X" has the datatype FP64; it takes FP32, FP16, INT16, UINT16, INT8, UINT8.'],
    [[matrix([1, 2], [1, 2], "FLOAT")], 'The input "X" has the datatype FLOAT, which is none.'],
    [[matrix(["1", 2], [1, 2])], 'The input "X" of FP32 holds "1", which is no number.'],
    [[matrix([1, 2], [1, 2]), matrix([1, 2], [1, 2])], 'The input "X" comes twice.'],
    [[{ ...matrix([1, 2], [1, 2]), name: "Y" }], 'There is no input "Y". The model takes X.'],
    [[matrix([], [0, 2])], "The request has no rows."],
    [[matrix([], [2 ** 40, 2])], "more than"],
    [[matrix([[[[1]]], 2], [1, 2])], 'The data of the input "X" are nested deeper than its shape.'],
  ];
  const before = (await get<{ predictions: number; errors: number }>("/api/v1/endpoints/matrix")).predictions;
  for (const [inputs, message] of wrong) {
    const { status, body } = await infer("matrix", inputs);
    expect([status, body.error], message).toEqual([400, expect.stringContaining(message)]);
  }
  const narrow = all().map((one) => (one.datatype === "INT8" ? { ...one, data: [1, 2, 3, 200] } : one));
  expect((await infer("datatypes", narrow)).body.error).toBe('The input "int8" of INT8 holds 200, which is out of its range.');
  expect((await infer("datatypes", all().slice(1))).body.error).toBe('The input "bool" is missing.');
  expect(await get("/api/v1/endpoints/matrix")).toMatchObject({ predictions: before, errors: 0 });
});

test("an endpoint whose model has no version says so", async () => {
  expect((await infer("columns", [])).status).toBe(400);
  const { status, body } = await infer("columns", [matrix([1, 2], [1, 2])]);
  expect([status, body.error]).toEqual([503, expect.stringContaining('no version to answer with yet: register one of "columns"')]);
});

test("MLflow's forms of a request fit a matrix and columns", async () => {
  interface Invoked {
    predictions: Record<string, unknown[]>;
    model_version: string;
    message?: string;
  }
  const labels = { predictions: { label: [1, 0] }, model_version: "1" };
  for (const body of [
    {
      dataframe_split: {
        columns: ["a", "b"],
        data: [
          [1, 2],
          [-3, 1],
        ],
      },
    },
    {
      instances: [
        [1, 2],
        [-3, 1],
      ],
    },
    {
      inputs: {
        X: [
          [1, 2],
          [-3, 1],
        ],
      },
    },
    {
      dataframe_records: [
        { a: 1, b: 2 },
        { a: -3, b: 1 },
      ],
    },
  ])
    expect((await post<Invoked>("/endpoints/matrix/invocations", body)).body).toMatchObject(labels);
  const params = await post<Invoked>("/endpoints/matrix/invocations", { instances: [[1, 2]], params: { threshold: 0.4 } });
  expect([params.status, JSON.stringify(params.body)]).toEqual([400, expect.stringContaining("are not taken")]);
  await champion("columns", "columns");
  const { body } = await post<Invoked>("/endpoints/columns/invocations", { dataframe_records: [{ color: "red", x: 0.5 }] });
  expect(body.predictions).toEqual([[expect.closeTo(1 / (1 + Math.exp(-1.5)), 6)]]);
});

test("a version that takes other requests is not rolled out", async () => {
  const version = await server.register("datatypes", { model: "matrix", service: null });
  await server.registry.setAlias("matrix", "challenger", version);
  await server.settled();
  const { items } = await get<{ items: Rollout[] }>("/api/v1/endpoints/matrix/rollouts");
  expect(items.find(({ candidate }) => candidate === version)).toMatchObject({
    state: "rolled_back",
    reason: 'It can\'t answer: requests for v1 are none for it: it has no input "X"',
  });
  expect((await infer("matrix", [matrix([1, 2], [1, 2])])).body.model_version).toBe("1");
});
