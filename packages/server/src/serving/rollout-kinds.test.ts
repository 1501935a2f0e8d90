/** Rollouts that are no plain canary, and what people do with them. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Endpoint, Prediction, Rollout, RolloutDetail, RolloutEvent } from "@millrace/sdk/api";
import type { EndpointSpec, RolloutSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openServingServer, type ServingServer, shadeProject, shadeRequest } from "./testing.js";

let folder: string;
let server: ServingServer;
let now = new Date("2024-01-01T00:00:00Z").getTime();
const plans: Record<string, RolloutSpec> = {
  sticky: {
    kind: "canary",
    steps: [0.2, { weight: 0.5, each: "10m", hold: true }, 1],
    each: "1h",
    judge: [
      { kind: "latency_below", quantile: 0.99, ms: 30_000, minRequests: 5 },
      { kind: "drift_below", psi: 0.25, minRows: 20 },
    ],
    stickyBy: ["color"],
  },
  green: { kind: "blue_green", watch: "1h", judge: [{ kind: "error_rate_below", share: 0.05, minRequests: 5 }] },
  tested: { kind: "canary", steps: [0.5, 1], each: "1h", judge: [{ kind: "loss_not_worse", loss: { kind: "brier" }, by: 0.1, alpha: 0.05 }] },
  shadowed: {
    kind: "shadow",
    share: 1,
    each: "1h",
    judge: [
      { kind: "error_rate_below", share: 0.5, minRequests: 5 },
      { kind: "agreement_above", share: 0.9, within: 0.01, minRows: 20 },
    ],
    passed: "wait",
  },
  divided: { kind: "split", weight: 0.3 },
  abn: {
    kind: "experiment",
    arms: [
      { alias: "challenger", weight: 0.4 },
      { alias: "other", weight: 0.3 },
    ],
    metric: { kind: "loss", loss: { kind: "brier" } },
    effect: 0.2,
    alpha: 0.05,
    power: 0.8,
    variance: 0.05,
    test: "fixed",
    promote: false,
    stickyBy: ["color"],
  },
  tensors: {
    kind: "shadow",
    share: 1,
    each: "1h",
    judge: [{ kind: "agreement_above", share: 0.9, within: 0.01, minRows: 10 }],
    passed: "promote",
  },
  matrix: {
    kind: "canary",
    steps: [0.5, 1],
    each: "1h",
    judge: [{ kind: "loss_not_worse", loss: { kind: "squared_error", bound: 2 }, by: 0.5, alpha: 0.05 }],
  },
  looked: {
    kind: "experiment",
    arms: [{ alias: "challenger", weight: 0.5 }],
    metric: { kind: "label", goal: "increase", from: 0, to: 1 },
    effect: 0.1,
    alpha: 0.05,
    power: 0.8,
    test: "sequential",
    promote: true,
  },
};
/** They take what their models take. */
const withoutFeatures = new Set(["tensors", "matrix"]);
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  server = await openServingServer(path.join(folder, "data"), { kind: "replay", from: new Date(now) });
  const project = shadeProject();
  const [endpoint] = project.endpoints ?? [];
  if (endpoint === undefined) throw new Error("the project has an endpoint");
  const endpoints = Object.entries(plans).map(([name, rollout]): EndpointSpec => {
    const fallback = name === "divided" ? {} : { fallback: { probability: 0.5 } };
    const { service, ...plain } = endpoint;
    return { ...plain, ...(withoutFeatures.has(name) ? {} : { service }), ...fallback, name, model: name, rollout };
  });
  await server.applySpec({ ...project, endpoints });
  for (const name of Object.keys(plans)) await alias(name, "champion", name === "matrix" ? "matrix" : "columns");
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

async function alias(model: string, name: string, fixture: Parameters<ServingServer["register"]>[0]): Promise<number> {
  const version = await server.register(fixture, { model, service: withoutFeatures.has(model) ? null : "shade_features" });
  await server.registry.setAlias(model, name, version);
  await server.settled();
  return version;
}
async function pass(minutes: number): Promise<void> {
  now += minutes * 60_000;
  await server.advance(new Date(now).toISOString());
}
async function send<T>(route: string, body: unknown = {}, { method = "POST", ...headers }: Record<string, string> = {}): Promise<{ status: number; body: T }> {
  const init = {
    method,
    body: JSON.stringify(body),
    headers: { "content-type": "application/json", "millrace-time": new Date(now).toISOString(), ...headers },
  };
  const answer = await fetch(`${server.url}${route}`, init);
  return { status: answer.status, body: (await answer.json()) as T };
}
const get = async <T>(route: string) => (await (await fetch(`${server.url}${route}`)).json()) as T;
const endpointOf = (name: string) => get<Endpoint>(`/api/v1/endpoints/${name}`);
const history = async (name: string) => (await get<{ items: RolloutEvent[] }>(`/api/v1/endpoints/${name}/history`)).items;
const logged = async (name: string) => (await get<{ items: Prediction[] }>(`/api/v1/endpoints/${name}/predictions?limit=1000`)).items;

interface Answer {
  error?: string;
  model_version: string;
  outputs: { name: string; data: (number | string)[] }[];
}
/** The versions that answered requests of these colors. */
async function ask(
  name: string,
  colors: readonly string[],
  { prefix, x = 0.1, key }: { prefix?: string; x?: number | ((i: number) => number); key?: string } = {},
) {
  return Promise.all(
    colors.map(async (color, i) => {
      const request = shadeRequest([{ color, x: typeof x === "number" ? x : x(i) }], prefix === undefined ? undefined : `${prefix}-${i}`);
      const { status, body } = await send<Answer>(`/v2/models/${name}/infer`, request, key === undefined ? {} : { "millrace-key": key });
      expect(status).toBe(200);
      return Number(body.model_version);
    }),
  );
}
const colors = (count: number) => Array.from({ length: count }, (_, i) => `color-${i}`);
const act = <T = Rollout>(name: string, route: string, body: unknown = {}) => send<T>(`/api/v1/endpoints/${name}/${route}`, body);

test("keys stay with their version while its weight grows; a step that holds waits for a person; all of it is kept", async () => {
  const version = await alias("sticky", "challenger", "columns");
  const keys = colors(100);
  const first = await ask("sticky", keys);
  expect(await ask("sticky", keys)).toEqual(first);
  const theirs = first.filter((one) => one === version).length;
  expect(theirs).toBeGreaterThan(8);
  expect(theirs).toBeLessThan(35);
  await pass(61);
  const { rollout, weight } = await endpointOf("sticky");
  expect({ weight, step: rollout?.step, steps: rollout?.steps }).toEqual({ weight: 0.5, step: 1, steps: 3 });
  const second = await ask("sticky", keys);
  expect(first.every((one, i) => one !== version || second[i] === version)).toBe(true);
  expect(second.filter((one) => one === version).length).toBeGreaterThan(theirs);

  await pass(120);
  expect(await endpointOf("sticky")).toMatchObject({ weight: 0.5 });
  expect((await act("sticky", "rollouts/pause", { reason: "lunch" })).body).toMatchObject({ pausedAt: expect.any(String) });
  expect((await act("sticky", "rollouts/pause")).status).toBe(409);
  await act("sticky", "rollouts/resume");
  expect((await act("sticky", "rollouts/advance", { reason: "looks good" })).body).toMatchObject({ step: 2, weight: 1 });
  expect(new Set(await ask("sticky", keys))).toEqual(new Set([version]));
  await pass(61);
  expect(await endpointOf("sticky")).toMatchObject({ stable: version, earlier: [1], rollout: { state: "promoted" } });
  const told = await history("sticky");
  expect(told.map(({ kind, by }) => `${kind} by ${by}`).reverse()).toEqual([
    ...["promoted by millrace", "started by millrace", "advanced by millrace", "paused by anna", "resumed by anna", "advanced by anna", "promoted by millrace"],
  ]);
  const advanced = told.find((one) => one.kind === "advanced" && one.by === "millrace");
  expect(advanced).toMatchObject({
    ...{ version, weight: 0.5, reason: expect.stringMatching(/^Its p99 is [\d.]+ ms, below the bound of 30000 ms\. The PSI of its \d+ answers against/) },
    numbers: { [`v${version}`]: { requests: expect.any(Number), errors: 0, p99_ms: expect.any(Number) }, v1: { requests: expect.any(Number) } },
  });
});

test("a request names its key itself, or brings one value of the column that is it", async () => {
  await alias("sticky", "challenger", "columns");
  expect(new Set(await ask("sticky", colors(30), { key: "customer 7" })).size).toBe(1);
  const several = shadeRequest([
    { color: "red", x: 0 },
    { color: "blue", x: 0 },
  ]);
  expect(await send<Answer>("/v2/models/sticky/infer", several)).toMatchObject({
    status: 400,
    body: { error: expect.stringContaining('"color" has several values') },
  });
  expect((await send<Answer>("/v2/models/sticky/infer", several, { "millrace-key": "both" })).status).toBe(200);
  expect((await send<Answer>("/v2/models/sticky/infer", several, { "millrace-key": "x".repeat(201) })).status).toBe(400);
  await act("sticky", "rollback");
});

test("answers that drift are a reason to go back", async () => {
  const { stable } = await endpointOf("sticky");
  const version = await alias("sticky", "challenger", "reversed");
  await ask("sticky", colors(200), { x: (i) => 1 + (i % 10) / 10 });
  await pass(1);
  expect(await endpointOf("sticky")).toMatchObject({
    stable,
    rollout: { candidate: version, state: "rolled_back", reason: expect.stringMatching(/^The PSI of its \d+ answers .*, not below the bound of 0\.25\.$/) },
  });
});

test("blue-green: everywhere in memory first, then all at once, and back at once", async () => {
  const beside = await server.beside();
  try {
    const version = await alias("green", "challenger", "columns");
    expect(await endpointOf("green")).toMatchObject({ stable: 1, candidate: version, weight: 1, rollout: { kind: "blue_green", state: "running" } });
    const asked = { id: undefined, inputs: [], moment: new Date(now) };
    await expect(beside.infer("green", asked)).rejects.toThrow(/missing/);
    expect(new Set(await ask("green", colors(20)))).toEqual(new Set([version]));
    await pass(61);
    expect(await endpointOf("green")).toMatchObject({ stable: version, earlier: [1], candidate: null });
    const back = await act("green", "rollback", { reason: "the phone rings" });
    expect(back.body).toMatchObject({ kind: "switch", candidate: 1, stable: version, state: "promoted" });
    expect(new Set(await ask("green", colors(20)))).toEqual(new Set([1]));
    // One that fails gives way while it is watched, and nobody who asked noticed.
    const faulty = await alias("green", "challenger", "faulty");
    expect(new Set(await ask("green", colors(20), { x: 3 }))).toEqual(new Set([1]));
    await pass(1);
    expect(await endpointOf("green")).toMatchObject({ stable: 1, candidate: null, rollout: { candidate: faulty, state: "rolled_back" } });
  } finally {
    await beside.stop();
  }
});

test("labels are looked at as they come, by a test that may be", async () => {
  const version = await alias("tested", "challenger", "reversed");
  let looks = 0;
  for (let round = 0; round < 20 && (await endpointOf("tested")).candidate !== null; round++) {
    const x = (i: number) => (i % 15) / 5 - 1.4;
    await ask("tested", colors(15), { prefix: `r${round}`, x });
    await act("tested", "labels", { labels: colors(15).map((_, i) => ({ id: `r${round}-${i}`, label: x(i) > 0 })) });
    await pass(1);
    looks++;
  }
  // Before its time was over, and not at the first look.
  expect(looks).toBeGreaterThan(1);
  expect((await endpointOf("tested")).rollout).toMatchObject({
    ...{ candidate: version, state: "rolled_back" },
    reason: expect.stringMatching(/^On \d+ labelled predictions its brier is \+0\.[0-9]+ against v1, with 90% confidence at all looks from \+0\.[0-9]+ to/),
  });
});

test("a shadow answers nobody, is compared with what was answered, and waits for a person", async () => {
  const version = await alias("shadowed", "challenger", "columns");
  expect(await endpointOf("shadowed")).toMatchObject({ stable: 1, candidate: version, weight: 0, rollout: { kind: "shadow", arms: [] } });
  expect(new Set(await ask("shadowed", colors(40), { prefix: "s", x: (i) => i / 10 }))).toEqual(new Set([1]));
  await expect.poll(async () => (await logged("shadowed")).filter(({ route }) => route === "shadow").length, { timeout: 10_000 }).toBe(40);
  const all = await logged("shadowed");
  const copy = all.find(({ id }) => id === `s-3~${version}`);
  expect(copy).toMatchObject({ version, route: "shadow", prediction: all.find(({ id }) => id === "s-3")?.prediction });
  const { id } = (await endpointOf("shadowed")).rollout ?? {};
  expect(await get<RolloutDetail>(`/api/v1/endpoints/shadowed/rollouts/${id}`)).toMatchObject({
    ...{
      kind: "shadow",
      plan: { kind: "shadow", share: 1 },
      planSteps: [{ weight: 0, copied: 1, each: "1h", hold: true }],
      dueAt: new Date(now + 3_600_000).toISOString(),
      needed: null,
    },
    versions: [{ version: 1 }, { version, compared: 40, agreed: 40, dropped: 0, errors: 0, p99Ms: expect.any(Number) }],
  });
  expect((await fetch(`${server.url}/api/v1/endpoints/sticky/rollouts/${id}`)).status).toBe(404);
  await pass(61);
  const { rollout, stable } = await endpointOf("shadowed");
  expect(stable).toBe(1);
  expect((await history("shadowed"))[0]).toMatchObject({
    kind: "decided",
    numbers: {
      [`v${version}`]: { requests: 40, errors: 0, compared: 40, agreed: 40, mean_difference: 0, dropped: 0, p99_ms: expect.any(Number) },
      v1: { requests: 40 },
    },
  });
  expect(rollout?.result).toMatchObject({
    winner: version,
    valid: true,
    why: expect.stringContaining("100% of 40 answers are within 0.01 of what was answered"),
  });
  expect((await act("shadowed", "promote", { reason: "as good" })).body).toMatchObject({ state: "promoted", candidate: version });
  expect(await endpointOf("shadowed")).toMatchObject({ stable: version });

  // One that fails or disagrees is told so.
  const other = await alias("shadowed", "challenger", "reversed");
  expect(new Set(await ask("shadowed", colors(40), { prefix: "t", x: 1 }))).toEqual(new Set([version]));
  await expect.poll(async () => (await logged("shadowed")).filter(({ id }) => id.endsWith(`~${other}`)).length, { timeout: 10_000 }).toBe(40);
  await pass(1);
  expect((await endpointOf("shadowed")).rollout).toMatchObject({ state: "rolled_back", reason: expect.stringContaining("0% of 40 answers are within 0.01") });
});

test("a split has the weights that people give it", async () => {
  const [second, third] = [await server.register("columns", { model: "divided", service: "shade_features" }), await alias("divided", "unused", "columns")];
  const arms = [
    { version: second, weight: 0.2 },
    { version: third, weight: 0.3 },
  ];
  expect(await act("divided", "rollouts", { arms: [...arms, { version: second, weight: 0.1 }] })).toMatchObject({ status: 400 });
  expect(await act("divided", "rollouts", { arms: [{ version: 1, weight: 0.1 }] })).toMatchObject({ status: 409 });
  expect(await act("divided", "rollouts", { version: 99 })).toMatchObject({ status: 404 });
  const strange = { kind: "canary", steps: [0.5], each: "1h", judge: [], stickyBy: ["colour"] };
  expect(await act("divided", "rollouts", { version: second, plan: strange })).toMatchObject({
    status: 400,
    body: { error: { message: expect.stringMatching(/is "color" meant\?.*the last step is "100%"/) } },
  });
  expect(await act("divided", "rollouts", { arms })).toMatchObject({ status: 201, body: { kind: "split", weight: 0.5, arms, by: "anna" } });
  const ids = { prefix: "d" };
  const before = await ask("divided", colors(150), ids);
  expect(new Set(before)).toEqual(new Set([1, second, third]));
  const weights = {
    arms: [
      { version: second, weight: 0.2 },
      { version: third, weight: 0.8 },
    ],
    reason: "more",
  };
  expect((await send<Rollout>("/api/v1/endpoints/divided/rollouts/weights", weights, { method: "PUT" })).body).toMatchObject({ weight: 1 });
  const after = await ask("divided", colors(150), ids);
  expect(before.every((one, i) => one === 1 || one === after[i])).toBe(true);
  expect(new Set(after)).toEqual(new Set([second, third]));
  expect((await act("divided", "rollouts/advance")).status).toBe(409);
  expect((await act("divided", "promote", { version: third })).body).toMatchObject({ state: "promoted", candidate: third });
  expect(await endpointOf("divided")).toMatchObject({ stable: third, earlier: [1] });
});

test("an experiment says nothing before its sample is whole, and then which version is better", async () => {
  const challenger = await alias("abn", "challenger", "reversed");
  expect((await endpointOf("abn")).rollout).toMatchObject({ state: "promoted" });
  const other = await alias("abn", "other", "columns");
  expect((await endpointOf("abn")).rollout).toMatchObject({
    ...{ kind: "experiment", state: "running", weight: 0.7 },
    arms: [
      { version: challenger, weight: 0.4 },
      { version: other, weight: 0.3 },
    ],
  });
  const x = (i: number) => (i % 20) / 10 - 1;
  const round = async (name: string, from: number, to: number) => {
    const keys = colors(to).slice(from);
    // Each key asks twice: it counts once.
    for (const part of ["a", "b"]) {
      await ask("abn", keys, { prefix: `${name}${part}`, x });
      await act("abn", "labels", { labels: keys.map((_, i) => ({ id: `${name}${part}-${i}`, label: x(i) > 0 })) });
    }
    await pass(1);
    return (await endpointOf("abn")).rollout?.result;
  };
  expect(await round("one", 0, 40)).toBeNull();
  const result = await round("two", 40, 240);
  expect(result).toMatchObject({
    ...{ winner: null, valid: true, needed: 24 },
    arms: [
      { version: 1, units: 24, difference: null },
      { version: challenger, units: 24, p: expect.any(Number) },
      { version: other, units: 24 },
    ],
    why: expect.stringContaining("No arm is better than the control"),
  });
  // The one that orders the other way round is worse beyond doubt.
  expect(result?.arms[1]?.lower).toBeGreaterThan(0.05);
  expect(await endpointOf("abn")).toMatchObject({ stable: 1, rollout: { state: "running" } });
  expect((await history("abn"))[0]).toMatchObject({ kind: "decided", by: "millrace" });
  expect(new Set((await logged("abn")).map(({ route }) => route))).toEqual(new Set(["control", "arm"]));
  expect((await logged("abn"))[0]?.key).toMatch(/^color-/);
});

test("a sequential experiment ends as soon as it knows, and the winner takes over where that was declared", async () => {
  const version = await alias("looked", "challenger", "columns");
  for (let round = 0; round < 10 && (await endpointOf("looked")).candidate !== null; round++) {
    const answered = await ask("looked", colors(100), { prefix: `l${round}` });
    // Nine of ten of its customers buy, and three of ten of the other's.
    const labels = answered.map((by, i) => ({ id: `l${round}-${i}`, label: by === version ? i % 10 < 9 : i % 10 < 3 }));
    await act("looked", "labels", { labels });
    await pass(1);
  }
  expect(await endpointOf("looked")).toMatchObject({
    stable: version,
    rollout: { state: "promoted", result: { winner: version, valid: true }, reason: expect.stringContaining(`v${version} is better than the control`) },
  });
  expect((await server.registry.model("looked")).aliases).toMatchObject({ champion: version });
});

test("the kill switch: a declared answer from nobody's version, or none; who and why is kept, and a revived endpoint answers as before", async () => {
  const killed = await act<Endpoint>("green", "kill", { reason: "prices are wrong" });
  expect(killed).toMatchObject({ status: 200, body: { killed: { by: "anna", reason: "prices are wrong" } } });
  expect((await act("green", "kill")).status).toBe(409);
  const request = shadeRequest(
    [
      { color: "red", x: 1 },
      { color: "blue", x: 2 },
    ],
    "dead",
  );
  const answer = await send<Answer>("/v2/models/green/infer", request);
  expect(answer).toMatchObject({
    status: 200,
    body: { model_version: "0", outputs: [{ name: "probability", data: [0.5, 0.5] }, { data: ["dead:0", "dead:1"] }] },
  });
  expect((await send<Answer>("/v2/models/green/versions/1/infer", shadeRequest([{ color: "red", x: 1 }]))).body.model_version).toBe("0");
  expect((await send<{ predictions: number[] }>("/endpoints/green/invocations", { dataframe_records: [{ color: "red", x: 1 }] })).body).toMatchObject({
    predictions: [0.5],
  });
  expect((await logged("green")).find(({ id }) => id === "dead:1")).toMatchObject({ version: 0, route: "killed", prediction: 0.5 });
  expect((await act<Endpoint>("green", "revive", { reason: "prices are right" })).body.killed).toBeNull();
  expect(new Set(await ask("green", colors(5)))).toEqual(new Set([1]));
  expect((await history("green")).slice(0, 2)).toMatchObject([
    { kind: "revived", by: "anna", reason: "prices are right" },
    { kind: "killed", by: "anna", reason: "prices are wrong" },
  ]);

  await act("divided", "kill");
  expect(await send<Answer>("/v2/models/divided/infer", shadeRequest([{ color: "red", x: 1 }]))).toMatchObject({
    status: 503,
    body: { error: expect.stringContaining("is switched off") },
  });
  await act("divided", "revive");
});

test("an endpoint of tensors has shadows, labels and a fallback too", async () => {
  const version = await alias("tensors", "challenger", "columns");
  const tensors = (color: string) => [
    { name: "color", datatype: "BYTES", shape: [1, 1], data: [color] },
    { name: "x", datatype: "FP32", shape: [1, 1], data: [0.5] },
  ];
  for (const [i, color] of colors(20).entries())
    expect((await send<Answer>("/v2/models/tensors/infer", { id: `t-${i}`, inputs: tensors(color) })).body.model_version).toBe("1");
  await expect.poll(async () => (await logged("tensors")).filter(({ route }) => route === "shadow").length, { timeout: 10_000 }).toBe(20);
  const copy = (await logged("tensors")).find(({ id }) => id === `t-3~${version}`);
  expect(copy).toMatchObject({ version, route: "shadow", inputs: { color: "color-3" }, outputs: { probability: expect.any(Number) } });
  await pass(61);
  expect(await endpointOf("tensors")).toMatchObject({ stable: version, rollout: { state: "promoted" } });
  await act("tensors", "kill");
  expect((await send<Answer>("/v2/models/tensors/infer", { inputs: tensors("red") })).body).toMatchObject({
    ...{ model_version: "0", outputs: [{ name: "probability", data: [0.5] }] },
  });
  await act("tensors", "revive");

  // Both can't be asked about the same rows: what each of them was asked is compared.
  const candidate = await alias("matrix", "challenger", "matrix");
  for (let round = 0; round < 12 && (await endpointOf("matrix")).weight === 0.5; round++) {
    const ids = Array.from({ length: 30 }, (_, i) => `m${round}-${i}`);
    for (const id of ids) {
      const inputs = [{ name: "X", datatype: "FP32", shape: [1, 2], data: [0.3, 0.1] }];
      expect((await send<Answer>("/v2/models/matrix/infer", { id, inputs })).status).toBe(200);
    }
    await act("matrix", "labels", { labels: ids.map((id, i) => ({ id, label: i % 2 })) });
    await pass(61);
  }
  expect(await endpointOf("matrix")).toMatchObject({ weight: 1, candidate });
  expect((await history("matrix"))[0]?.reason).toMatch(/^On \d+ labelled predictions its squared_error is [+−]0\.\d+ against v1/);
});
