/** A server that is killed in the middle of a materialization, and one that materializes by schedule. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createClient } from "@millrace/sdk/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createCompute } from "../compute/index.js";
import { createDatasets } from "../datasets/index.js";
import { type ServerProcess, startServerProcess } from "../pipelines/testing.js";
import type { Platform } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { createProjects } from "../projects/index.js";
import { applyProject, projectSpec } from "../projects/testing.js";
import { createValidation } from "../validation/index.js";
import { createFeatures, type Features } from "./index.js";

const rows = 200_000;
const at = "2013-01-01T00:00:00.000Z";
const definitions = {
  datasets: [{ name: "readings", mode: "append" as const }],
  entities: [{ name: "sensor", keys: [{ name: "sensor", type: "string" as const }] }],
  featureViews: [
    {
      ...{ kind: "latest" as const, name: "level", entity: "sensor", source: { dataset: "readings" }, timestamp: "at", materialize: "1h" },
      features: [{ name: "level", type: "float64" as const }],
    },
  ],
  featureServices: [
    {
      name: "levels",
      request: [
        { name: "t", type: "timestamp" as const },
        { name: "sensor", type: "string" as const },
      ],
      ...{ timestamp: "t", views: ["level"], compute: [], features: [{ name: "level", type: "float64" as const }] },
    },
  ],
};

let folder: string;
let platform: Platform;
let features: Features;
let datasets: ReturnType<typeof createDatasets>;
let projects: ReturnType<typeof createProjects>;
let close: () => Promise<void>;
let server: ServerProcess | undefined;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  ({ platform, close } = await openPlatform({
    ...{ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "replayed"), clock: { kind: "replay" as const, from: new Date(at) }, logLevel: "warn" },
  }));
  projects = createProjects(platform);
  datasets = createDatasets(platform, { projects, validation: createValidation(platform, { compute: createCompute(platform), projects }) });
  features = createFeatures(platform, { projects, datasets });
  platform.clock.start();
});
afterAll(async () => {
  await server?.stop();
  await close();
  await rm(folder, { recursive: true, force: true });
});

async function readings(of: number, level: string): Promise<string> {
  const file = path.join(folder, `readings-${of}.parquet`);
  await platform.duckdb.rows(
    `copy (select 'sensor-' || i as sensor, timestamptz '${at}' as at, ${level} as level from range(${of}) r (i)) to '${file}' (format parquet)`,
  );
  return file;
}

test("a view with a schedule takes what was accepted at the next whole hour, and not before", { timeout: 60_000 }, async () => {
  await applyProject(projects, definitions);
  await platform.clock.advance(new Date("2013-01-01T00:10:00Z"));
  await datasets.put("readings", "one.parquet", await readFile(await readings(3, "i::double")));
  const online = async () => (await features.views())[0]?.onlineRows;
  await platform.clock.advance(new Date("2013-01-01T00:59:59Z"));
  expect(await online()).toBe(0);
  await platform.clock.advance(new Date("2013-01-01T01:00:00Z"));
  expect(await online()).toBe(3);
  const read = await features.readOnline("levels", { t: [at], sensor: ["sensor-2"] }, [platform.clock.now()]);
  expect(read).toEqual({ features: { level: [2] }, status: { level: ["PRESENT"] } });
});

test("a materialization that is killed in its middle shows nothing, and is made whole by the next; what was pushed meanwhile is there", {
  timeout: 120_000,
}, async () => {
  const file = await readFile(await readings(rows, "i::double"));
  const dataDir = path.join(folder, "killed");
  server = await startServerProcess(dataDir);
  const put = async (route: string, type: string, body: string | Uint8Array) => {
    const answer = await fetch(`${server?.url}${route}`, { method: "PUT", headers: { "content-type": type }, body });
    expect(answer.status, await answer.clone().text()).toBeLessThan(300);
  };
  await put("/api/v1/projects/sensors", "application/json", JSON.stringify(projectSpec({ ...definitions, name: "sensors" })));
  let client = createClient({ url: server.url });
  // The first hour's turn finds nothing to take, so that only what is asked for below materializes.
  await expect.poll(async () => (await client.features.materialize("level")).rows).toBe(0);
  await put("/api/v1/datasets/readings/files/one.parquet", "application/octet-stream", file);

  const begun = client.features.materialize("level").then(
    () => "done",
    () => "killed",
  );
  const pushed = await client.features.push("level", { sensor: ["pushed"], at: [at], level: [7] });
  expect(pushed.rows).toBe(1);
  await server.kill();
  expect(await begun).toBe("killed");

  server = await startServerProcess(dataDir);
  client = createClient({ url: server.url });
  const asked = { t: [at, at, at], sensor: ["sensor-0", `sensor-${rows - 1}`, "pushed"] };
  const before = await client.features.online("levels", asked);
  expect(before.status.level).toEqual(["NOT_FOUND", "NOT_FOUND", "PRESENT"]);
  expect(await client.features.materialize("level")).toEqual({ rows });
  const after = await client.features.online("levels", asked);
  expect(after).toEqual({ features: { level: [0, rows - 1, 7] }, status: { level: ["PRESENT", "PRESENT", "PRESENT"] } });
  expect((await client.features.views()).items[0]?.onlineRows).toBe(rows + 1);
});
