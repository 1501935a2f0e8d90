import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Endpoint, Rollout } from "@millrace/sdk/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openServingServer, type ServingServer, shadeRequest } from "./testing.js";

let folder: string;
let server: ServingServer;
let now = new Date("2024-01-01T00:00:00Z").getTime();
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  server = await openServingServer(path.join(folder, "data"), { kind: "replay", from: new Date(now) });
  await server.apply();
  await challenge("columns");
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

async function challenge(fixture: Parameters<ServingServer["register"]>[0]): Promise<number> {
  const version = await server.register(fixture);
  await server.registry.setAlias("shade", "challenger", version);
  await server.settled();
  return version;
}
async function pass(minutes: number): Promise<void> {
  now += minutes * 60_000;
  await server.advance(new Date(now).toISOString());
}
async function send(route: string, body: unknown): Promise<Response> {
  const headers = { "content-type": "application/json", "millrace-time": new Date(now).toISOString() };
  return fetch(`${server.url}${route}`, { method: "POST", body: JSON.stringify(body), headers });
}
/** Asks for `count` predictions of numbers from −2 to 2, all of which must be answered; tells by which version each was. */
async function traffic(name: string, count: number, shift = 0): Promise<number[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const answer = await send("/v2/models/shade/infer", shadeRequest([{ color: null, x: xOf(i, count) + shift }], `${name}-${i}`));
      expect(answer.status).toBe(200);
      return ((await answer.json()) as { parameters: { version: number } }).parameters.version;
    }),
  );
}
const xOf = (i: number, count: number) => (4 * i) / count - 2;
/** A large number mostly means true. */
async function label(name: string, count: number): Promise<void> {
  const labels = Array.from({ length: count }, (_, i) => ({ id: `${name}-${i}`, label: i % 7 === 0 ? xOf(i, count) < 0 : xOf(i, count) > 0 }));
  expect((await send("/api/v1/endpoints/shade/labels", { labels })).status).toBe(200);
}
const aliases = async () => (await server.registry.model("shade")).aliases;
const endpoint = async () => (await (await fetch(`${server.url}/api/v1/endpoints/shade`)).json()) as Endpoint;
async function told(candidate: number): Promise<string[]> {
  const events = await server.platform.events.list({ limit: 1000, types: ["rollout.*"] });
  return events.filter(({ data }) => data.candidate === candidate).map(({ type, data }) => `${type} at ${String(data.weight)}: ${String(data.reason)}`);
}

test("the first version answers at once and becomes the champion", async () => {
  expect(await endpoint()).toMatchObject({ stable: 1, candidate: null, rollout: { state: "promoted", reason: "Nothing answered before it." } });
  expect(await aliases()).toEqual({ champion: 1 });
});

test("a challenger takes its share, waits for time and labels, and takes over", async () => {
  const version = await challenge("columns");
  expect(await endpoint()).toMatchObject({ stable: 1, candidate: version, weight: 0.5, rollout: { state: "running", step: 0 } });
  const answered = await traffic("good", 60);
  const theirs = answered.filter((v) => v === version).length;
  expect(theirs).toBeGreaterThan(15);
  expect(theirs).toBeLessThan(45);
  expect(await traffic("good", 60)).toEqual(answered);

  await label("good", 20);
  await pass(59);
  await pass(2);
  // Time enough, labels too few.
  expect(await endpoint()).toMatchObject({ weight: 0.5 });
  await label("good", 60);
  await pass(1);
  expect(await endpoint()).toMatchObject({ stable: 1, candidate: version, weight: 1, rollout: { step: 1 } });
  expect(new Set(await traffic("all", 20))).toEqual(new Set([version]));
  await pass(30);
  expect(await endpoint()).toMatchObject({ stable: 1, weight: 1 });
  await pass(31);
  expect(await endpoint()).toMatchObject({ stable: version, candidate: null, weight: 0, rollout: { state: "promoted" } });
  expect(await aliases()).toEqual({ champion: version });
  expect(await told(version)).toEqual([
    "rollout.started at 0.5: 50% of the traffic for at least 1h.",
    expect.stringMatching(
      /^rollout\.advanced at 1: It failed 0 of \d+ requests \(0%\), below the bound of 5%\. On 60 labelled predictions its auc is 0\.\d+, that of v1 0\.\d+\.$/,
    ),
    expect.stringMatching(/^rollout\.promoted at 1: /),
  ]);
});

test("a challenger that orders worse is rolled back, and what answered before goes on", async () => {
  const { stable } = await endpoint();
  const version = await challenge("reversed");
  await traffic("worse", 60);
  await label("worse", 60);
  await pass(61);
  expect(await endpoint()).toMatchObject({ stable, candidate: null, rollout: { state: "rolled_back", reason: expect.stringContaining("its auc is 0.1") } });
  expect(await aliases()).toEqual({ champion: stable });
  expect(new Set(await traffic("after", 10))).toEqual(new Set([stable]));
  expect((await told(version)).at(-1)).toMatch(/^rollout\.rolled_back at 0\.5: /);
});

test("a challenger that fails is rolled back at the next tick, and nobody who asked noticed", async () => {
  const { stable, errors } = await endpoint();
  const version = await challenge("faulty");
  // Half of them are numbers that the model has no row for.
  const answered = await traffic("failing", 60, 2);
  expect(new Set(answered)).toEqual(new Set([stable, version]));
  await pass(1);
  const after = await endpoint();
  expect(after).toMatchObject({
    stable,
    candidate: null,
    errors,
    rollout: { state: "rolled_back", reason: expect.stringMatching(/^It failed \d+ of \d+ requests/) },
  });
  const { items } = (await (await fetch(`${server.url}/api/v1/endpoints/shade/predictions?limit=70`)).json()) as {
    items: { id: string; route: string; version: number }[];
  };
  expect(items.filter(({ route }) => route === "fallback").length).toBe(after.rollout?.errors);
  expect(items.filter(({ route, version: by }) => route === "fallback" && by !== stable)).toEqual([]);
});

test("a newer challenger supersedes the one that is tried, and a person may end or shorten a rollout", async () => {
  const { stable } = await endpoint();
  const first = await challenge("columns");
  const second = await challenge("columns");
  const { items } = (await (await fetch(`${server.url}/api/v1/endpoints/shade/rollouts`)).json()) as { items: Rollout[] };
  expect(items.slice(0, 2).map(({ candidate, state }) => [candidate, state])).toEqual([
    [second, "running"],
    [first, "superseded"],
  ]);
  expect(await (await send("/api/v1/endpoints/shade/rollback", { reason: "not today" })).json()).toMatchObject({ state: "rolled_back", reason: "not today" });
  await server.settled();
  expect(await endpoint()).toMatchObject({ stable, candidate: null });
  expect(await aliases()).toEqual({ champion: stable });
  // Nothing is tried: the version before answers again, and nothing has answered before that.
  const back = await send("/api/v1/endpoints/shade/rollback", { reason: "the one before was better" });
  expect(await back.json()).toMatchObject({
    kind: "switch",
    state: "promoted",
    candidate: 1,
    stable,
    by: "anna",
    reason: `Back from v${stable}: the one before was better`,
  });
  expect(await endpoint()).toMatchObject({ stable: 1, earlier: [] });
  expect(new Set(await traffic("before", 5))).toEqual(new Set([1]));
  await server.settled();
  expect(await aliases()).toEqual({ champion: 1 });
  expect((await send("/api/v1/endpoints/shade/rollback", {})).status).toBe(409);

  const third = await challenge("columns");
  await server.registry.setAlias("shade", "champion", third);
  await server.settled();
  expect(await endpoint()).toMatchObject({ stable: third, candidate: null, rollout: { state: "promoted", reason: "It was made the champion." } });
  await server.registry.setAlias("shade", "champion", first);
  await server.settled();
  expect(new Set(await traffic("back", 5))).toEqual(new Set([first]));
  expect(await aliases()).toEqual({ champion: first });
});
