/** What is in the prediction log, which labels find it, and whether it can be done again. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import type { Endpoint, LabelResult, Prediction, Replay } from "@millrace/sdk/api";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openServingServer, type ServingServer, shadeProject, shadeRequest } from "../testing.js";
import { openPredictionLog } from "./index.js";
import { packedParts } from "./packed.js";
import { tensorLog } from "./schema.js";
import { abandoned, openSpool } from "./spool.js";

let folder: string;
let server: ServingServer;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  server = await openServingServer(path.join(folder, "data"), { kind: "replay", from: new Date("2024-01-01T00:00:00Z") });
  await server.apply();
  await server.registry.setAlias("shade", "champion", await server.register("columns"));
  await server.settled();
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

async function call<T>(method: string, route: string, body?: unknown): Promise<{ status: number; body: T }> {
  const sent = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const answer = await fetch(`${server.url}${route}`, { method, ...sent });
  return { status: answer.status, body: (await answer.json()) as T };
}
const get = async <T>(route: string) => (await call<T>("GET", route)).body;
const infer = (rows: { color: string | null; x: number; asked?: string }[], id: string) => {
  const request = shadeRequest(rows, id);
  const asked = rows.flatMap((row) => row.asked ?? []);
  const times = { name: "asked", datatype: "BYTES", shape: [rows.length], data: asked };
  return call("POST", "/v2/models/shade/infer", asked.length === 0 ? request : { ...request, inputs: [...request.inputs, times] });
};
const logOf = async () => (await get<Endpoint>("/api/v1/endpoints/shade")).log;
const labelOf = async (id: string) => (await get<Prediction>(`/api/v1/predictions/${encodeURIComponent(id)}`)).label;

test("a prediction says how long it took, who asked, and by which rollout's rule", async () => {
  await infer([{ color: "red", x: 1 }], "plain");
  const plain = await get<Prediction>("/api/v1/predictions/plain");
  expect(plain).toMatchObject({ caller: "anna", rollout: null, route: "stable" });
  expect(plain.latencyMs).toBeGreaterThan(0);
  await server.registry.setAlias("shade", "challenger", await server.register("reversed"));
  await server.settled();
  const { rollout } = await get<Endpoint>("/api/v1/endpoints/shade");
  await infer([{ color: "red", x: 1 }], "tried");
  expect(await get<Prediction>("/api/v1/predictions/tried")).toMatchObject({ rollout: rollout?.id });
  await call("POST", "/api/v1/endpoints/shade/rollback", { reason: "enough" });
});

test("of a sample the same requests are left out whenever they are sent, and every row is counted", async () => {
  const before = await logOf();
  await server.apply({ log: { sample: 0.3 } });
  for (let at = 0; at < 100; at++) await infer([{ color: "red", x: at / 100 }], `sampled-${at}`);
  const once = await logOf();
  const logged = once.logged - before.logged;
  expect(logged + once.sampledOut).toBe(100);
  expect(logged).toBeGreaterThan(12);
  expect(logged).toBeLessThan(52);
  const { items } = await get<{ items: Prediction[] }>("/api/v1/endpoints/shade/predictions?limit=1000");
  const there = items.filter(({ id }) => id.startsWith("sampled-")).map(({ id }) => id);
  expect(there).toHaveLength(logged);
  for (let at = 0; at < 100; at++) await infer([{ color: "red", x: at / 100 }], `sampled-${at}`);
  expect(await logOf()).toEqual({ logged: once.logged + logged, sampledOut: 2 * once.sampledOut, dropped: 0 });
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  expect(metrics).toContain(`millrace_predictions_logged_total{endpoint="shade",outcome="sampled_out"} ${2 * once.sampledOut}`);
  await server.apply();
});

test("what can't be logged is refused, or answered and counted where it need not be logged", async () => {
  const spool = path.join(folder, "data", "spool");
  // A log whose columns are others begins a file of its own, in a folder that is gone.
  const [own = ""] = await readdir(spool);
  await get("/api/v1/endpoints/shade/predictions?limit=1");
  await rm(path.join(spool, own), { recursive: true });
  const before = await logOf();
  expect((await infer([{ color: "red", x: 1 }], "refused")).status).toBe(500);
  await server.apply({ log: { required: false } });
  expect(
    (
      await infer(
        [
          { color: "red", x: 1 },
          { color: "blue", x: 1 },
        ],
        "dropped",
      )
    ).status,
  ).toBe(200);
  expect(await logOf()).toEqual({ ...before, dropped: 2 });
  await mkdir(path.join(spool, own));
  await server.apply();
  expect((await infer([{ color: "red", x: 1 }], "logged again")).status).toBe(200);
  expect(await labelOf("logged again")).toBeNull();
});

test("labels find their predictions by what was asked about and when, also days later", async () => {
  const times = { morning: "2024-01-10T08:00:00Z", noon: "2024-01-10T12:00:00Z", next: "2024-01-11T07:00:00Z" };
  for (const [name, asked] of Object.entries(times))
    await infer(
      [
        { color: "green", x: 7, asked },
        { color: "violet", x: 7, asked },
      ],
      name,
    );
  await infer([{ color: "green", x: 8, asked: times.noon }], "other");
  const push = (labels: object[], within?: string) =>
    call<LabelResult>("POST", "/api/v1/endpoints/shade/labels", { labels, ...(within === undefined ? {} : { within }) });
  const told = await push([
    { entity: { color: "green", x: 7 }, at: times.noon, label: true },
    { entity: { color: "violet" }, at: "2024-01-10T11:59:59Z", label: false },
    { entity: { color: "green", x: 9 }, at: times.noon, label: true },
    { entity: { color: "green" }, at: "2024-01-13T00:00:00Z", label: true },
    { id: "next:1", label: true },
  ]);
  expect(told.body).toEqual({ accepted: 3, unmatched: [2, 3] });
  const all = await Promise.all(["morning:0", "noon:0", "next:0", "morning:1", "noon:1", "next:1", "other"].map(labelOf));
  expect(all).toEqual([null, 1, null, 0, null, 1, null]);
  // Of two as of the same moment both are meant; and a label may be corrected.
  expect((await push([{ entity: { color: "green" }, at: "2024-01-10T12:00:01Z", label: false }])).body).toEqual({ accepted: 1, unmatched: [] });
  expect(await Promise.all(["noon:0", "other"].map(labelOf))).toEqual([0, 0]);
  expect((await push([{ entity: { color: "green" }, at: "2024-01-13T00:00:00Z", label: true }], "3d")).body).toEqual({ accepted: 1, unmatched: [] });
  expect(await labelOf("next:0")).toBe(1);

  for (const [labels, message] of [
    [[{ entity: { size: 1 }, at: times.noon, label: true }], `Labels can't be joined by "size": the endpoint's requests have asked, color, x.`],
    [[{ entity: { color: "green" }, at: times.noon, label: 3 }], "The label of the entity at place 0 is 3."],
  ] as const)
    expect(await push([...labels])).toMatchObject({ status: 400, body: { error: { message: expect.stringContaining(message) } } });
  for (const wrong of [
    { entity: {}, at: times.noon, label: true },
    { entity: { color: "green" }, at: "noon", label: true },
    { entity: { color: null }, at: times.noon, label: true },
  ])
    expect((await push([wrong])).status).toBe(400);
});

test("a past decision can be done again, and says whether the answer is the same", async () => {
  await infer(
    [
      { color: "red", x: 0.3 },
      { color: null, x: -2 },
    ],
    "decided",
  );
  const replay = (id: string) => call<Replay>("POST", `/api/v1/predictions/${encodeURIComponent(id)}/replay`);
  for (const row of [0, 1]) {
    const { prediction } = await get<Prediction>(`/api/v1/predictions/decided%3A${row}`);
    expect((await replay(`decided:${row}`)).body).toEqual({
      ...{ id: `decided:${row}`, endpoint: "shade", model: "shade", version: 1, same: true, difference: 0 },
      ...{ logged: { probability: prediction }, replayed: { probability: prediction } },
    });
  }
  expect((await replay("nobody")).status).toBe(404);
});

test("a model's own tensors are replayed in every datatype", async () => {
  const [endpoint] = shadeProject().endpoints ?? [];
  if (endpoint === undefined) throw new Error("the project has an endpoint");
  const { service: _, ...tensors } = endpoint;
  const rollout = { kind: "canary" as const, steps: [1], each: "1h", judge: [] };
  await server.applySpec({ ...shadeProject(), endpoints: [endpoint, ...["matrix", "datatypes"].map((name) => ({ ...tensors, name, model: name, rollout }))] });
  for (const fixture of ["matrix", "datatypes"] as const)
    await server.registry.setAlias(fixture, "champion", await server.register(fixture, { model: fixture, service: null }));
  await server.settled();
  await call("POST", "/v2/models/matrix/infer", { id: "m", inputs: [{ name: "X", shape: [2, 2], datatype: "FP32", data: [0.1, 2, -3, 1] }] });
  expect((await call<Replay>("POST", "/api/v1/predictions/m%3A1/replay")).body).toMatchObject({ same: true, model: "matrix", replayed: { label: 0 } });

  const { inputs } = await get<{ inputs: { name: string; datatype: string }[] }>("/v2/models/datatypes");
  const values: Record<string, unknown[]> = {
    ...{ BOOL: [true, false], BYTES: ["text", ""], FP16: [0.5, -2], FP32: [0.1, 1e-30], FP64: [1 / 3, -5e-324] },
    ...{ INT64: ["-9007199254740993", "9223372036854775807"].map(BigInt), UINT64: ["18446744073709551615", "0"].map(BigInt) },
  };
  const given = inputs
    .map(({ name, datatype }) => {
      const data = (values[datatype] ?? [3, 4]).map((value) => (typeof value === "bigint" ? String(value) : JSON.stringify(value)));
      return `{"name": "${name}", "datatype": "${datatype}", "shape": [1, 2], "data": [${data.join(",")}]}`;
    })
    .join(",");
  const answer = await fetch(`${server.url}/v2/models/datatypes/infer`, { method: "POST", body: `{"id": "every", "inputs": [${given}]}` });
  expect(answer.status).toBe(200);
  const { body } = await call<Replay>("POST", "/api/v1/predictions/every/replay");
  expect(body.replayed).toEqual(body.logged);
  expect(body).toMatchObject({ same: true, difference: 0, logged: { same_int64: ["-9007199254740993", "9223372036854775807"] } });
});

test("rows of one request and rows one by one are in the log once each, as they were first, with values that JSON has no number for", async () => {
  const log = await openPredictionLog(server.platform);
  const schema = tensorLog({
    ...{ batches: true, inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }] },
    outputs: [
      { name: "y", datatype: "INT64", shape: [-1] },
      { name: "said", datatype: "BYTES", shape: [-1] },
    ],
  });
  const shared = { at: new Date("2024-02-01T00:00:00Z"), version: 1, route: "stable", key: null, latency_ms: 1.5, caller: "anna", rollout: null };
  const packed = (id: string, x: number[], y: bigint[], said: (string | null)[]) =>
    log.appendPacked("mixed", schema, {
      ...{ ...shared, id, suffix: "", rows: y.length, prediction: "o_y" },
      columns: [
        { column: "i_x", one: false, tensor: { name: "x", datatype: "FP32", shape: [y.length, 2], data: Float32Array.from(x) } },
        { column: "o_y", one: true, tensor: { name: "y", datatype: "INT64", shape: [y.length], data: BigInt64Array.from(y) } },
        { column: "o_said", one: true, tensor: { name: "said", datatype: "BYTES", shape: [y.length], data: said } },
      ],
    });
  const single = (id: string, x: unknown[]) =>
    log.append("mixed", schema, [{ ...shared, id, as_of: shared.at, prediction: 7, i_x: x, o_y: 7, o_said: "seven" }]);
  try {
    await packed("a", [1, Number.NaN, 3, Number.NEGATIVE_INFINITY], [2n ** 62n, 5n], ["one", null]);
    await single("a:0", [9, 9]);
    await single("b", ["NaN", 0.5]);
    await packed("b", [8, 8], [8n], ["eight"]);
    const found = await log.use("mixed", schema, {}, (connection, relation) =>
      server.platform.duckdb.rows(`select id, i_x::varchar as x, o_y::varchar as y, o_said as said, prediction from ${relation} order by id`, connection),
    );
    expect(found).toEqual([
      { id: "a:0", x: "[1.0, nan]", y: "4611686018427387904", said: "one", prediction: 2 ** 62 },
      { id: "a:1", x: "[3.0, -inf]", y: "5", said: null, prediction: 5 },
      { id: "b", x: "[nan, 0.5]", y: "7", said: "seven", prediction: 7 },
    ]);
  } finally {
    await log.close();
  }
});

test("rows of requests of any number and width are as they were given, in as many segments as they need, and once however often they come", async () => {
  const log = await openPredictionLog(server.platform);
  const schema = tensorLog({
    ...{ batches: true, inputs: [{ name: "x", datatype: "FP32", shape: [-1, -1] }] },
    outputs: [
      { name: "y", datatype: "FP64", shape: [-1, 1] },
      { name: "z", datatype: "UINT8", shape: [-1, 3] },
    ],
  });
  const shared = { version: 3, route: "stable", suffix: "~3", key: "k", latency_ms: null, caller: null, rollout: null, prediction: "o_y" };
  const at = new Date("2024-03-01T00:00:00Z");
  const ask = (id: string, rows: number, width: number, as: "FP32" | "FP64", withZ: boolean) => {
    const values = Array.from({ length: rows * width }, (_, value) => value % 251);
    const x = { name: "x", datatype: as, shape: [rows, width], data: as === "FP32" ? Float32Array.from(values) : Float64Array.from(values) };
    const z = { name: "z", datatype: "UINT8" as const, shape: [rows, 3], data: Uint8Array.from({ length: rows * 3 }, (_, value) => value % 256) };
    return log.appendPacked("wide", schema, {
      ...{ ...shared, id, rows, at },
      columns: [
        { column: "i_x", one: false, tensor: x },
        { column: "o_y", one: true, tensor: { name: "y", datatype: "FP64", shape: [rows, 1], data: Float64Array.from({ length: rows }, (_, row) => row / 2) } },
        ...(withZ ? [{ column: "o_z", one: false, tensor: z }] : []),
      ],
    });
  };
  const wanted: [id: string, rows: number, width: number, as: "FP32" | "FP64", withZ: boolean][] = [
    ["one", 1, 3, "FP32", true],
    ["none wide", 2, 0, "FP32", true],
    ["other numbers", 3, 2, "FP64", true],
    ["less", 5_000, 1, "FP32", false],
    ["many", 5_000, 5, "FP32", true],
    // More than one segment takes.
    ...Array.from({ length: 5 }, (_, each): [string, number, number, "FP32", boolean] => [`wide ${each}`, 4_096, 1_024, "FP32", false]),
  ];
  const found = () =>
    log.use("wide", schema, {}, (connection, relation) =>
      server.platform.duckdb.rows(
        `select regexp_replace(id, '(:[0-9]+)?~3$', '') as request, count(*)::int as rows, count(distinct id)::int as ids, min(len(i_x))::int as least, max(len(i_x))::int as most,
           sum(list_sum(i_x))::double as sum, sum(o_y) as y, sum(prediction) as prediction, count(o_z)::int as z, max(o_z[3])::int as last_z from ${relation} group by 1 order by 1`,
        connection,
      ),
    );
  const sum = (count: number, of: (at: number) => number) => Array.from({ length: count }, (_, value) => of(value)).reduce((all, value) => all + value, 0);
  const expected = wanted
    .map(([request, rows, width, , withZ]) => ({
      ...{ request, rows, ids: rows, least: width, most: width, sum: width === 0 ? null : sum(rows * width, (value) => value % 251) },
      ...{ y: sum(rows, (row) => row / 2), prediction: sum(rows, (row) => row / 2), z: withZ ? rows : 0 },
      last_z: withZ ? Math.max(...Array.from({ length: rows }, (_, row) => (row * 3 + 2) % 256)) : null,
    }))
    .sort((one, other) => (one.request < other.request ? -1 : 1));
  try {
    for (const one of wanted) await ask(...one);
    expect(await found()).toEqual(expected);
    const { rows: made } = await sql<{ rows: number }>`select rows from prediction_segment where endpoint = 'wide'`.execute(server.platform.db);
    expect(made.length).toBeGreaterThan(1);
    await ask("less", 5_000, 1, "FP32", false);
    await ask("new", 1, 3, "FP32", true);
    expect((await found()).map((one) => (one as { request: string; rows: number }).request)).toEqual([...expected.map(({ request }) => request), "new"].sort());
  } finally {
    await log.close();
  }
});

test("rows that come at any moment while a file is begun, written or finished are in it or in the next one", async () => {
  const own = await mkdtemp(path.join(folder, "spool-"));
  for (let turns = 0; turns < 12; turns++) {
    const spool = openSpool(own, "any", [], { sync: turns % 2 === 1, onSyncError: () => {} });
    const later = async (work: () => Promise<unknown>) => {
      for (let turn = 0; turn < turns; turn++) await undefined;
      return work();
    };
    await spool.append(["one\n"], 1);
    await later(() => spool.append(["two\n"], 1));
    const both = [spool.append(["three\n"], 1), later(() => spool.append(["four\n"], 1))];
    await later(() => spool.rotate());
    await spool.rotate();
    await Promise.all(both);
    await later(() => spool.append(["five\n"], 1));
    await spool.rotate();
    const texts = (await readdir(own)).filter((name) => name.endsWith(".rows")).map((name) => readFile(path.join(own, name), "utf8"));
    expect((await Promise.all(texts)).join("").split("\n").sort()).toEqual(["", "five", "four", "one", "three", "two"]);
    await spool.close();
    for (const name of await readdir(own)) await rm(path.join(own, name));
  }
});

test("of a file that was cut off anywhere, or broken by a machine's failure, the whole records before that are taken up", async () => {
  const spool = await mkdtemp(path.join(folder, "torn-"));
  const theirs = path.join(spool, `${hostname()}-999999999-1-00000000`);
  const row = '{"id":"a"}\n';
  const request = packedParts(
    {
      ...{ id: "b", suffix: "", rows: 2, at: new Date(), version: 1, route: "stable", key: null, latency_ms: 1, caller: null, rollout: null, prediction: null },
      // The bytes of its values are ends of lines too.
      columns: [{ column: "i_x", one: true, tensor: { name: "x", datatype: "INT32", shape: [2], data: Int32Array.of(0x0a0a0a0a, 0x0a0a0a0a) } }],
    },
    () => [],
  );
  const records = [row, ...request, row].map((part) => Buffer.from(part));
  const whole = Buffer.concat(records);
  const ends = [0, row.length, whole.length - row.length, whole.length];
  async function left(bytes: Buffer): Promise<number> {
    await mkdir(theirs);
    await writeFile(path.join(theirs, "any.open"), bytes);
    await writeFile(path.join(theirs, "any.schema"), JSON.stringify({ endpoint: "any", schema: [] }));
    const [found] = await abandoned(spool);
    const length = found === undefined ? 0 : (await readFile(found.path)).length;
    await rm(theirs, { recursive: true, force: true });
    return length;
  }
  for (let cut = 0; cut <= whole.length; cut++) expect(await left(whole.subarray(0, cut)), `cut at ${cut}`).toBe(Math.max(...ends.filter((end) => end <= cut)));
  for (const broken of [row.length + 12, whole.length - row.length - 1]) {
    const bytes = Buffer.from(whole);
    bytes[broken] = 0;
    expect(await left(bytes), `broken at ${broken}`).toBe(row.length);
  }
});
