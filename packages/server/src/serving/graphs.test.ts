/** Inference graphs: endpoints and functions that answer as one. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { InferenceGraph, Prediction } from "@millrace/sdk/api";
import type { GraphNode, InferenceGraphSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openServingServer, type ServingServer, shadeProject } from "./testing.js";

let folder: string;
let server: ServingServer;

const of = (endpoint: string, inputs?: Record<string, string>): GraphNode => ({ kind: "endpoint", endpoint, ...(inputs === undefined ? {} : { inputs }) });
const members = (...names: string[]) => names.map((name, at) => ({ name: `m${at + 1}`, node: of(name), weight: at === 0 ? 3 : 1 }));
/** As a project's bundle exports it. */
const bundles = {
  widen: "export const transform = { run: ({ total }) => ({ X: total.map((one) => [one, 0]) }) };",
  reason: 'export const transform = { run: async ({ probabilities }) => ({ reason: probabilities.map(([, p]) => (p > 0.5 ? "höher" : "lower")) }) };',
  slow: "export const transform = { run: ({ x }) => { if (x[0] > 1) for (;;); if (x[0] < 0) process.exit(3); if (x[0] === 0.5) return { y: ['no number'] }; return { y: x }; } };",
};
const digests: Partial<Record<keyof typeof bundles, string>> = {};
const transform = (name: keyof typeof bundles, given: Record<string, "FP32" | "FP64">, out: Record<string, "FP32" | "FP64" | "BYTES">): GraphNode => ({
  ...{ kind: "transform", name, bundle: `.millrace/transforms/${name}.mjs`, in: given, out },
  ...(digests[name] === undefined ? {} : { digest: digests[name] }),
});

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  server = await openServingServer(path.join(folder, "data"), { kind: "replay", from: new Date("2024-01-01T00:00:00Z") });
  for (const name of ["widen", "reason", "slow"] as const) digests[name] = (await server.platform.objects.put(Buffer.from(bundles[name]))).digest;
  const [endpoint] = shadeProject().endpoints ?? [];
  if (endpoint === undefined) throw new Error("the project has an endpoint");
  const { service: _, ...tensors } = endpoint;
  const graph = (name: string, node: GraphNode): InferenceGraphSpec => ({ name, node });
  const files = Object.entries(digests).map(([name, digest]) => ({ path: `.millrace/transforms/${name}.mjs`, digest: digest ?? "", size: 1 }));
  await server.applySpec({
    ...shadeProject(),
    files,
    endpoints: [
      ...(shadeProject().endpoints ?? []),
      ...["first", "second", "never"].map((name) => ({
        ...tensors,
        name,
        model: name === "never" ? "never" : "matrix",
        rollout: { ...tensors.rollout, judge: [] },
      })),
    ],
    inferenceGraphs: [
      graph("mean", { kind: "ensemble", members: members("first", "second"), combine: "mean" }),
      graph("vote", { kind: "ensemble", members: members("first", "second"), combine: "vote" }),
      graph("each", { kind: "ensemble", members: members("first", "second"), combine: "each" }),
      graph("chain", {
        kind: "sequence",
        nodes: [
          of("shade"),
          { ...transform("widen", { total: "FP64" }, { X: "FP32" }), inputs: { total: "probability" } } as GraphNode,
          of("first"),
          transform("reason", { probabilities: "FP32" }, { reason: "BYTES" }),
        ],
      }),
      graph("slow", transform("slow", { x: "FP64" }, { y: "FP64" })),
      graph("broken", { kind: "sequence", nodes: [of("never"), of("first")] }),
    ],
  });
  for (const [model, fixture] of [
    ["matrix", "matrix"],
    ["shade", "columns"],
  ] as const) {
    const version = await server.register(fixture, { model, service: model === "shade" ? "shade_features" : null });
    await server.registry.setAlias(model, "champion", version);
  }
  await server.settled();
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

interface Answer {
  error?: string;
  id: string;
  outputs: { name: string; datatype: string; shape: number[]; data: unknown[] }[];
}
async function infer(model: string, inputs: unknown[], rest: object = {}): Promise<{ status: number; body: Answer }> {
  const answer = await fetch(`${server.url}/v2/models/${model}/infer`, { method: "POST", body: JSON.stringify({ inputs, ...rest }) });
  return { status: answer.status, body: (await answer.json()) as Answer };
}
const get = async <T>(route: string) => (await (await fetch(`${server.url}${route}`)).json()) as T;
const matrix = (...data: number[]) => [{ name: "X", shape: [data.length / 2, 2], datatype: "FP32", data }];
const softmax = (z: number) => Math.exp(z) / (Math.exp(z) + Math.exp(-z));

test("an ensemble gives the mean of its members' numbers, their vote, or each answer by itself", async () => {
  const mean = await infer("mean", matrix(1, 0));
  expect(mean.body.outputs.map(({ name, datatype, shape }) => [name, datatype, shape])).toEqual([
    ["label", "FP64", [1]],
    ["probabilities", "FP64", [1, 2]],
  ]);
  expect(mean.body.outputs[1]?.data[1]).toBeCloseTo(softmax(1), 6);
  expect((await infer("vote", matrix(1, 0))).body.outputs[0]).toEqual({ name: "label", datatype: "INT64", shape: [1], data: [1] });
  const each = await infer("each", matrix(1, 0), { outputs: [{ name: "m2.label" }] });
  expect(each.body.outputs).toEqual([{ name: "m2.label", datatype: "INT64", shape: [1], data: [1] }]);
  expect(await get("/v2/models/each")).toMatchObject({
    platform: "millrace_graph",
    inputs: [{ name: "X", datatype: "FP32", shape: [-1, 2] }],
    outputs: [{ name: "m1.label" }, { name: "m1.probabilities" }, { name: "m2.label" }, { name: "m2.probabilities" }],
  });
});

test("a graph is asked as MLflow's scoring servers are", async () => {
  const ask = async (name: string, body: object) =>
    (await fetch(`${server.url}/endpoints/${name}/invocations`, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
    }).then((answer) => answer.json())) as { predictions?: unknown };
  expect((await ask("vote", { instances: [[1, 0]] })).predictions).toMatchObject({ label: [1] });
  expect((await ask("chain", { dataframe_records: [{ color: "red", x: 0 }] })).predictions).toEqual(["höher"]);
});

test("a sequence goes through features, functions and models; each endpoint logs its part", async () => {
  expect((await get<{ inputs: { name: string }[] }>("/v2/models/chain")).inputs.map(({ name }) => name)).toEqual(["asked", "color", "x"]);
  const inputs = [
    { name: "color", datatype: "BYTES", shape: [2], data: ["red", "blue"] },
    { name: "x", datatype: "FP64", shape: [2], data: [0, -5] },
  ];
  const { status, body } = await infer("chain", inputs, { id: "through" });
  expect([status, body.id, body.outputs]).toEqual([200, "through", [{ name: "reason", datatype: "BYTES", shape: [2], data: ["höher", "höher"] }]]);
  const first = await get<Prediction>("/api/v1/predictions/through%2Ffirst%3A1");
  expect(first).toMatchObject({ endpoint: "first", route: "stable" });
  expect(first.inputs).toEqual({ X: [expect.closeTo(1 / (1 + Math.exp(6)), 6), 0] });
  expect(await get("/api/v1/predictions/through%2Fshade%3A0")).toMatchObject({ endpoint: "shade", request: { color: "red", x: 0 } });
});

test("a function that fails, ends its process or does not end costs its own request", async () => {
  const x = (value: number) => [{ name: "x", datatype: "FP64", shape: [1], data: [value] }];
  expect((await infer("slow", x(1))).body.outputs[0]?.data).toEqual([1]);
  const wrong = await infer("slow", x(0.5));
  expect([wrong.status, wrong.body.error]).toEqual([
    503,
    expect.stringContaining('The transform "slow" could not answer: the model failed: its output "y" of FP64 holds "no number"'),
  ]);
  expect((await infer("slow", x(-1))).status).toBe(503);
  await expect.poll(async () => (await infer("slow", x(1))).status).toBe(200);
  expect((await infer("slow", x(2))).body.error).toContain("did not answer within 10 s");
  await expect.poll(async () => (await infer("slow", x(1))).status).toBe(200);
}, 60_000);

test("what does not fit, or is not there, is told", async () => {
  expect((await infer("mean", [{ name: "Y", shape: [1], datatype: "FP32", data: [1] }])).body.error).toBe('There is no input "Y". The graph takes X.');
  expect((await infer("mean", matrix(1, 2), { outputs: [{ name: "score" }] })).body.error).toBe(
    'There is no output "score". The model gives label, probabilities.',
  );
  expect((await infer("mean", matrix(1, 2, 3))).status).toBe(400);
  expect(await infer("broken", matrix(1, 2))).toMatchObject({ status: 503, body: { error: expect.stringContaining('"never" has no version') } });
  expect((await fetch(`${server.url}/v2/models/broken/ready`)).status).toBe(503);
  expect((await fetch(`${server.url}/v2/models/chain/ready`)).status).toBe(200);
  const { items } = await get<{ items: InferenceGraph[] }>("/api/v1/inference-graphs");
  expect(items.find(({ name }) => name === "broken")).toMatchObject({
    ready: false,
    reason: 'The endpoint "never" of the graph has no version to answer with yet.',
  });
  expect(items.find(({ name }) => name === "chain")).toMatchObject({ ready: true, reason: null, version: 1, node: { kind: "sequence" } });
  const index = (await (await fetch(`${server.url}/v2/repository/index`, { method: "POST" })).json()) as { name: string; state: string }[];
  expect(index.filter(({ name }) => ["broken", "chain"].includes(name)).map(({ name, state }) => [name, state])).toEqual(
    [
      ["chain", "READY"],
      ["broken", "UNAVAILABLE"],
    ].sort(),
  );
});
