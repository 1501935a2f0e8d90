/** Features online in a real Redis, by two processes, with what is lost in between. */
import { execFileSync, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { FeatureViewSpec } from "@millrace/sdk/spec";
import { createClient } from "@redis/client";
import { expect, test, vi } from "vitest";
import { createCompute } from "../compute/index.js";
import { createDatasets } from "../datasets/index.js";
import type { ServerConfig } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { createProjects } from "../projects/index.js";
import { applyProject } from "../projects/testing.js";
import { createValidation } from "../validation/index.js";
import { createFeatures, openOnlineStore } from "./index.js";
import * as store from "./store.js";

function hasRedis(): boolean {
  try {
    execFileSync("redis-server", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return address !== null && typeof address === "object" ? address.port : 0;
}

const source = { dataset: "payments" };
const views: FeatureViewSpec[] = [
  {
    ...{ kind: "window", name: "card", entity: "card", source, timestamp: "at" },
    features: [
      { name: "n_1h", type: "int64", aggregate: "count", over: "1h" },
      { name: "sum_1h", type: "float64", aggregate: "sum", column: "amount", over: "1h" },
      { name: "shops_1d", type: "int64", aggregate: "distinct", column: "shop", over: "1d" },
    ],
  },
  {
    ...{ kind: "latest", name: "state", entity: "card", source, timestamp: "at", created: "created", ttl: "2h" },
    features: [{ name: "limit", type: "float64" }],
  },
];

test.runIf(hasRedis())("what is pushed is read from Redis at once, by every process, and what Redis loses comes back", { timeout: 60_000 }, async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const port = await freePort();
  const redis = spawn("redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder], {
    stdio: "ignore",
  });
  const url = `redis://127.0.0.1:${port}`;
  const admin = createClient({ url });
  admin.on("error", () => {});
  await admin.connect();
  const config: ServerConfig = {
    host: "127.0.0.1",
    port: 0,
    dataDir: path.join(folder, "data"),
    clock: { kind: "system" },
    logLevel: "silent",
    online: { url },
  };
  const { platform, close } = await openPlatform(config);
  const stores = [await openOnlineStore(platform), await openOnlineStore(platform)];
  try {
    const projects = createProjects(platform);
    const datasets = createDatasets(platform, { projects, validation: createValidation(platform, { compute: createCompute(platform), projects }) });
    const quiet = { ...platform, events: { ...platform.events, subscribe: () => {} }, clock: { ...platform.clock, onTick: () => {} } };
    const [one, two] = stores.map((online) => createFeatures(quiet, { projects, datasets, online }));
    if (one === undefined || two === undefined) throw new Error("two processes");
    await applyProject(projects, {
      datasets: [{ name: "payments", mode: "append" }],
      entities: [{ name: "card", keys: [{ name: "card", type: "string" }] }],
      featureViews: views,
      featureServices: [
        {
          ...{ name: "fraud", timestamp: "t", views: ["card", "state"], compute: [] },
          request: [
            { name: "t", type: "timestamp" },
            { name: "card", type: "string" },
          ],
          features: [
            { name: "n_1h", type: "int64" },
            { name: "sum_1h", type: "float64" },
            { name: "shops_1d", type: "int64" },
            { name: "limit", type: "float64" },
          ],
        },
      ],
    });
    const start = Date.now() - 60_000;
    const at = (i: number) => new Date(start + i).toISOString();
    const pay = (features: typeof one, i: number, card: string) =>
      features.push("card", { card: [card], at: [at(i)], amount: [i + 0.5], shop: [`shop ${i % 3}`] });
    const read = async (features: typeof one, card: string) => {
      const now = new Date();
      const found = await features.readOnline("fraud", { t: [now.toISOString()], card: [card] }, [now]);
      return Object.values(found.features).map((values) => values[0]);
    };
    let sum = 0;
    for (let i = 0; i < 30; i++) {
      await pay(i % 2 === 0 ? one : two, i, "a");
      sum += i + 0.5;
      const expected = [i + 1, sum, Math.min(3, i + 1), null];
      expect([await read(one, "a"), await read(two, "a")]).toEqual([expected, expected]);
    }
    await one.push("state", { card: ["a"], at: [at(1)], created: [at(5)], limit: [100] });
    await two.push("state", { card: ["a"], at: [at(1)], created: [at(9)], limit: [200] });
    expect((await read(one, "a"))[3]).toBe(200);
    expect((await admin.dbSize()) > 2).toBe(true);

    // Many at once, from both.
    await Promise.all(Array.from({ length: 60 }, (_, i) => pay(i % 2 === 0 ? one : two, 100 + i, i % 3 === 0 ? "b" : "a")));
    expect((await read(one, "b"))[0]).toBe(20);
    expect((await read(two, "a"))[0]).toBe(70);

    // Redis forgets everything, or some of it.
    await admin.flushAll();
    expect((await read(two, "a"))[0]).toBe(70);
    await pay(one, 200, "a");
    expect((await read(two, "a"))[0]).toBe(71);

    // A writer that is killed after its commit, before Redis was told.
    const id = Math.min(...(await store.changeNumbers(platform.db)).keys());
    const row = { entity: ['["a"]'], at: [(start + 300) * 1_000], key: ["killed"], values: ['[1,"shop 9"]'], n: [1], known: [null] };
    await store.pushRows(platform, id, "window", row, "killed");
    await vi.waitFor(async () => expect((await read(two, "a"))[0]).toBe(72), 10_000);
    expect(await read(one, "a")).toEqual(await read(two, "a"));

    // Without Redis nothing is acknowledged or answered, and nothing that was is lost.
    redis.kill("SIGKILL");
    await vi.waitFor(() => expect(read(one, "a")).rejects.toThrow("The online store is away"), 10_000);
    await expect(pay(two, 400, "a")).rejects.toThrow("The online store is away");
  } finally {
    for (const online of stores) await online.close().catch(() => {});
    if (admin.isOpen) admin.destroy();
    await close();
    redis.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  }
});
