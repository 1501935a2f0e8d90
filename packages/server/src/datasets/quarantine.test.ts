import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { DatasetVersion } from "@millrace/sdk/api";
import { createClient } from "@millrace/sdk/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createCompute } from "../compute/index.js";
import { openHttp, type Platform } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { createProjects } from "../projects/index.js";
import { applyProject } from "../projects/testing.js";
import { createValidation, validationRoutes } from "../validation/index.js";
import { createDatasets, createQuarantine, createTables, datasetQualityRoutes, datasetsRoutes } from "./index.js";

let folder: string;
let platform: Platform;
let client: ReturnType<typeof createClient>;
let close: () => Promise<void>;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const clock = { kind: "replay" as const, from: new Date("2013-03-01T00:00:00Z") };
  const opened = await openPlatform({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock, logLevel: "warn" });
  platform = opened.platform;
  const projects = createProjects(platform);
  const tables = () => createTables(platform);
  const validation = createValidation(platform, { compute: createCompute(platform), projects, tables });
  const datasets = createDatasets(platform, { projects, validation });
  const app = await openHttp(platform, async () => ({ name: "anna" }));
  datasetsRoutes(app, datasets);
  datasetQualityRoutes(app, platform, { datasets, validation, projects, quarantine: createQuarantine(platform, projects) });
  validationRoutes(app, validation, platform, { projects, tables });
  client = createClient({ url: await app.listen({ host: "127.0.0.1", port: 0 }) });
  close = async () => {
    await app.close();
    await opened.close();
  };
  const schemas = [
    {
      name: "prices",
      columns: { price: { type: "float64" as const, max: 10, drift: { psi: 0.2 } } },
      volume: { within: 0.5 },
      unexpectedColumns: "allow" as const,
    },
  ];
  await applyProject(projects, { folder, schemas, datasets: [{ name: "prices", mode: "append", schema: "prices" }] });
});
afterAll(async () => {
  await close();
  await rm(folder, { recursive: true, force: true });
});

async function file(name: string, select: string): Promise<Blob> {
  const place = path.join(folder, `${name}.parquet`);
  await platform.duckdb.rows(`copy (${select}) to '${place}' (format parquet)`);
  return new Blob([await readFile(place)]);
}
const prices = (name: string, factor: number, rows = 100) => file(name, `select (i % 10)::double * ${factor} as price, i as id from range(${rows}) t(i)`);

test("a refused version is accepted with a reason as a version of its own, and what was accepted meanwhile stays what it was", async () => {
  await client.datasets.push("prices", "1.parquet", await prices("1", 1));
  await expect(client.datasets.push("prices", "2.parquet", await prices("2", 3))).rejects.toMatchObject({ status: 422, code: "REFUSED" });
  const third = await client.datasets.push("prices", "3.parquet", await prices("3", 1, 90));
  expect([third.version, third.rows]).toEqual([3, 190]);
  expect((await client.quarantine.list()).items.map(({ version, anomalies }) => [version, anomalies])).toEqual([[2, 2]]);

  const accepted = await client.quarantine.accept("prices", 2, "Prices are in another currency since March.");
  const decision = {
    decision: "accepted",
    version: 2,
    acceptedAs: 4,
    by: "anna",
    reason: "Prices are in another currency since March.",
    at: "2013-03-01T00:00:00.000Z",
  };
  expect(accepted).toMatchObject({ version: 4, status: "accepted", rows: 290, quarantine: decision });
  // Again is the same; the other way round is not possible any more.
  expect((await client.quarantine.accept("prices", 2, "Again.")).version).toBe(4);
  await expect(client.quarantine.reject("prices", 2, "No, no.")).rejects.toMatchObject({ status: 409 });
  await expect(client.quarantine.accept("prices", 1, "It is good.")).rejects.toMatchObject({ status: 409 });

  const refused = await client.datasets.version("prices", 2);
  expect([refused.status, refused.quarantine]).toEqual(["quarantined", decision]);
  expect((await client.datasets.version("prices", 3)).parts).toHaveLength(2);
  expect((await client.datasets.version("prices", 4)).parts.map((part) => part.file)).toEqual(["1.parquet", "3.parquet", "2.parquet"]);
  const events = await platform.events.list({ limit: 100, types: ["dataset.quarantine_decided", "dataset.version_accepted"] });
  expect(events.slice(-2).map(({ type, data }) => [type, data])).toEqual([
    ["dataset.quarantine_decided", { version: 2, decision: "accepted", reason: decision.reason, by: "anna", acceptedAs: 4 }],
    ["dataset.version_accepted", { version: 4, file: "2.parquet", rows: 100, quarantined: 2, by: "anna", reason: decision.reason }],
  ]);
  // The file that comes again is known.
  expect((await client.datasets.push("prices", "2.parquet", await prices("2", 3))).status).toBe("accepted");
});

test("a rejected version no longer waits; two decisions at once are one; what is no table is never accepted", async () => {
  await expect(client.datasets.push("prices", "5.parquet", await prices("5", 7))).rejects.toMatchObject({ status: 422 });
  const [waiting] = (await client.quarantine.list({ dataset: "prices" })).items;
  const version = waiting?.version ?? 0;
  const decisions = await Promise.allSettled([
    client.quarantine.reject("prices", version, "A broken export."),
    client.quarantine.accept("prices", version, "Looks fine."),
  ]);
  expect(decisions.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  expect((await client.quarantine.list()).items).toEqual([]);
  expect((await client.quarantine.list({ decided: true })).items.map((one: DatasetVersion) => one.version)).toContain(version);
  await expect(client.datasets.push("prices", "cut.parquet", new Blob([Buffer.from("PAR1 and nothing")]))).rejects.toMatchObject({ status: 422 });
  const [cut] = (await client.quarantine.list()).items;
  await expect(client.quarantine.accept("prices", cut?.version ?? 0, "I like it.")).rejects.toMatchObject({ status: 409 });
  await expect(client.quarantine.reject("prices", 999, "There is none.")).rejects.toMatchObject({ status: 404 });
  await expect(client.quarantine.reject("prices", cut?.version ?? 0, "   ")).rejects.toMatchObject({ status: 400 });
});

test("a file and a version are checked without being taken, beside what came before", async () => {
  const report = await client.schemas.validate("prices", await prices("6", 1, 10), { dataset: "prices" });
  expect(report.anomalies.map(({ kind, severity }) => [kind, severity])).toContainEqual(["volume", "warn"]);
  expect(report.reference?.columns.map(({ name }) => name)).toEqual(["price", "id"]);
  const version = await client.datasets.validate("prices", 3, { schema: "prices" });
  expect([version.passed, version.rows, version.reference?.name]).toEqual([true, 90, "prices version 1, 1.parquet"]);
  const statistics = await client.datasets.statistics("prices", 3, "whole");
  expect([statistics.rows, statistics.columns[0]?.name]).toEqual([190, "price"]);
  expect((await client.datasets.inferSchema("prices", 3)).columns.price).toMatchObject({ type: "float64", min: 0 });
  await expect(client.schemas.validate("nothing", await prices("6", 1))).rejects.toMatchObject({ status: 404 });
  await expect(client.schemas.validate("prices", new Blob([Buffer.from("hello")]))).rejects.toMatchObject({ status: 422, code: "NOT_PARQUET" });
});
