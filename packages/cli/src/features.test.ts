import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { createClient } from "@millrace/sdk/client";
import { startServer } from "@millrace/server";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCommand } from "./testing.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
let folder: string;
let server: Awaited<ReturnType<typeof startServer>>;
beforeAll(async () => {
  folder = await mkdtemp(path.join(root, "node_modules/.features-"));
  const clock = { kind: "replay" as const, from: new Date("2013-02-01T00:30:00Z") };
  server = await startServer({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock, logLevel: "error" });
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});
const millrace = (...args: string[]) => runCommand(args, { url: server.url });

const definitions = `import { dataset, entity, featureService, featureView, float64, project, schema, string, timestamp } from "@millrace/sdk";
const sky = schema({
  name: "weather", unexpectedColumns: "allow",
  columns: { origin: string(), time_hour: timestamp(), temp: float64("F"), visib: float64("miles") },
});
const hourly = dataset({ name: "weather_hourly", schema: sky });
const origin = entity({ name: "origin", keys: { origin: string() } });
const weather = featureView({
  name: "weather", entity: origin, source: hourly, timestamp: "time_hour", ttl: "2h", materialize: "1h", owner: "anna", tags: ["sky"],
  features: { temp: float64("F"), visib: float64("miles") },
});
const seen = featureService({
  name: "seen", request: { at: timestamp(), origin: string() }, timestamp: "at", views: [weather],
  features: ["temp", "visib"],
});
export default project({ name: "sky", definitions: [seen] });
`;

test("features are listed, searched, materialized and read from the command line", { timeout: 120_000 }, async () => {
  await writeFile(path.join(folder, "millrace.ts"), definitions);
  const applied = await millrace("apply", folder);
  expect([applied.code, applied.stderr]).toEqual([0, ""]);
  const january = await readFile(path.join(root, "examples/flights/data/weather-2013-01.parquet"));
  await createClient({ url: server.url }).datasets.push("weather_hourly", "january.parquet", january);

  const brought = await millrace("features", "materialize", "weather");
  expect(brought.stdout).toMatch(/^weather: 2,\d{3} rows of its dataset are online\n$/);
  const listed = await millrace("features", "list", "--search", "ANNA");
  expect(listed.stdout).toMatch(/weather +latest +origin +anna +sky +2,\d{3} /);
  expect(listed.stdout).not.toContain("seen  ");
  expect((await millrace("features", "list", "--search", "nothing of it")).stdout).toBe("");
  expect(JSON.parse((await millrace("features", "list", "--json")).stdout)).toMatchObject({
    views: [{ name: "weather", materialize: "1h" }],
    services: [{ name: "seen", usedBy: { models: [], endpoints: [], pipelines: [] } }],
  });

  const at = "2013-02-01T00:30:00Z";
  const rows = JSON.stringify([
    { at, origin: "JFK" },
    { at, origin: "XYZ" },
  ]);
  const lines = (await millrace("features", "online", "seen", "--json", rows)).stdout.trim().split("\n");
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { temp: expect.any(Number), visib: expect.any(Number), status: { weather: "PRESENT" } },
    { temp: null, visib: null, status: { weather: "NOT_FOUND" } },
  ]);
});

test("what is asked for wrongly is told in words", { timeout: 60_000 }, async () => {
  expect(await millrace("features", "online", "seen", "--json", "{origin")).toMatchObject({ code: 2, stderr: expect.stringContaining("is no JSON") });
  expect(await millrace("features", "online", "seen", "--json", '{"origin":"JFK"}')).toMatchObject({ code: 1, stderr: expect.stringContaining('lacks "at"') });
  expect(await millrace("features", "materialize", "clouds")).toMatchObject({ code: 1, stderr: expect.stringContaining("clouds") });
  expect(await millrace("features", "check", "seen", "--endpoint", "nowhere")).toMatchObject({ code: 1, stderr: expect.stringContaining("nowhere") });
});
