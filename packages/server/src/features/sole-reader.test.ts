/** A server that reads views from its memory without asking, and a second process that changes them: while the first one goes on, stands still, or is killed. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Client, createClient } from "@millrace/sdk/client";
import type { FeatureServiceSpec, FeatureViewSpec } from "@millrace/sdk/spec";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createCompute } from "../compute/index.js";
import { createDatasets } from "../datasets/index.js";
import { type ServerProcess, startServerProcess } from "../pipelines/testing.js";
import type { Platform } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { createProjects } from "../projects/index.js";
import { applyProject } from "../projects/testing.js";
import { createValidation } from "../validation/index.js";
import { createFeatures, type Features } from "./index.js";

const kinds = ["alive", "paused", "killed"] as const;
type Kind = (typeof kinds)[number];
const views = kinds.map((name): FeatureViewSpec => {
  const feature = { name: `n_${name}`, type: "int64" as const, aggregate: "count" as const, over: "1d" };
  return { kind: "window", name, entity: "card", source: { dataset: "payments" }, timestamp: "at", features: [feature] };
});
const services = kinds.map(
  (name): FeatureServiceSpec => ({
    ...{ name, timestamp: "t", views: [name], compute: [], features: [{ name: `n_${name}`, type: "int64" }] },
    request: [
      { name: "t", type: "timestamp" },
      { name: "card", type: "string" },
    ],
  }),
);

let folder: string;
let platform: Platform;
let features: Features;
let server: ServerProcess;
let client: Client;
let close: () => Promise<void>;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  ({ platform, close } = await openPlatform({
    ...{ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "own"), clock: { kind: "system" }, logLevel: "warn" },
  }));
  const projects = createProjects(platform);
  const datasets = createDatasets(platform, { projects, validation: createValidation(platform, { compute: createCompute(platform), projects }) });
  features = createFeatures(platform, { projects, datasets });
  await applyProject(projects, {
    datasets: [{ name: "payments", mode: "append" }],
    entities: [{ name: "card", keys: [{ name: "card", type: "string" }] }],
    featureViews: views,
    featureServices: services,
  });
  server = await startServerProcess(path.join(folder, "other"), { DATABASE_URL: platform.databaseUrl });
  client = createClient({ url: server.url });
});
afterAll(async () => {
  await server.kill();
  await close();
  await rm(folder, { recursive: true, force: true });
});

let pushed = 0;
const row = () => ({ card: ["c"], at: [new Date(Date.now() - ++pushed).toISOString()] });
const request = () => ({ t: [new Date().toISOString()], card: ["c"] });
const readThere = async (kind: Kind) => (await client.features.online(kind, request())).features[`n_${kind}`]?.[0];
const readHere = async (kind: Kind) => (await features.readOnline(kind, request(), [new Date()])).features[`n_${kind}`]?.[0];
const holder = async (kind: Kind) =>
  (await sql<{ holder: string | null }>`select sole_reader as holder from feature_online where view = ${kind}`.execute(platform.db)).rows[0]?.holder ?? null;
/** The server reads until the view is its own. */
async function held(kind: Kind): Promise<void> {
  await expect
    .poll(async () => {
      await readThere(kind);
      return holder(kind);
    })
    .not.toBeNull();
}

test("a server that reads alone sees its own pushes, and those of another process from the first one on", async () => {
  await held("alive");
  for (let n = 1; n <= 20; n++) {
    await client.features.push("alive", row());
    expect(await readThere("alive")).toBe(n);
  }
  expect(await holder("alive")).not.toBeNull();
  let stop = false;
  const seen: number[] = [];
  const reading = (async () => {
    while (!stop) seen.push(Number(await readThere("alive")));
  })();
  for (let n = 21; n <= 60; n++) {
    await (n % 3 === 0 ? client.features.push("alive", row()) : features.push("alive", row()));
    expect([await readThere("alive"), await readHere("alive")]).toEqual([n, n]);
  }
  stop = true;
  await reading;
  expect(seen).toEqual([...seen].sort((a, b) => a - b));
});

test("what is pushed while the server that reads alone stands still is in its first answer afterwards", async () => {
  await client.features.push("paused", row());
  await held("paused");
  process.kill(server.pid, "SIGSTOP");
  try {
    await features.push("paused", row());
    expect(await readHere("paused")).toBe(2);
    const asked = readThere("paused");
    process.kill(server.pid, "SIGCONT");
    expect(await asked).toBe(2);
  } finally {
    process.kill(server.pid, "SIGCONT");
  }
});

test("a server that is killed while it reads alone holds nobody up for long", async () => {
  await client.features.push("killed", row());
  await held("killed");
  await server.kill();
  await features.push("killed", row());
  expect(await readHere("killed")).toBe(2);
  expect(await holder("killed")).toBeNull();
});
