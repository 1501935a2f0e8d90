// One condition on the 336,776 flights, in SQL and as a function: rows a second, and that both count the same. A JSON line for each.
// node --conditions=millrace-source bench/data/expectations.mjs [--times 1,9]
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { register } from "tsx/esm/api";

const root = fileURLToPath(new URL("../..", import.meta.url));
const { values: options } = parseArgs({ options: { times: { type: "string", default: "1" } } });
register();
const source = (file) => import(pathToFileURL(path.join(root, "packages/server/src", file)).href);
const { openPlatform } = await source("platform/open.ts");
const { createCompute } = await source("compute/index.ts");
const { createValidation } = await source("validation/service.ts");

const folder = await mkdtemp(path.join(tmpdir(), "millrace-bench-"));
const { platform, close } = await openPlatform({
  ...{ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "replay", from: new Date("2014-01-02T00:00:00Z") }, logLevel: "warn" },
  duckdb: { memoryMb: 1_000, threads: 2 },
});
const { duckdb, objects } = platform;
const compute = createCompute(platform);
const validation = createValidation(platform, { compute, projects: { require: () => Promise.reject(new Error("none")) } });

const bundleOf = async (check) => ({ bundle: "check.mjs", digest: (await objects.put(Buffer.from(`export const check = ${check};`))).digest });
const slow = "row.air_time === null || row.distance / row.air_time < 8.5";
const [two, whole, trivial] = await Promise.all([`(row) => ${slow}`, `(row) => ${slow}`, "() => true"].map(bundleOf));
const columns = ["air_time", "distance"];
const ways = {
  sql: [{ name: "a", sql: "air_time is null or distance / air_time < 8.5" }],
  "function of two columns": [{ name: "a", ...two, columns }],
  "function of whole rows": [{ name: "a", ...whole }],
  "function of nothing": [{ name: "a", ...trivial, columns: [] }],
  "ten functions of two columns": Array.from({ length: 10 }, (_, i) => ({ name: `a${i}`, ...two, columns })),
};
try {
  const flights = path.join(root, "examples/flights/data/flights-2013-*.parquet");
  for (const times of options.times.split(",").map(Number)) {
    const file = path.join(folder, "flights.parquet");
    await duckdb.rows(`copy (select f.* from read_parquet('${flights}') f, range(${times})) to '${file}' (format parquet)`);
    for (const [way, expectations] of Object.entries(ways)) {
      const all = [];
      let report;
      for (let i = 0; i < 4; i++) {
        const began = performance.now();
        report = await validation.check({ name: "bench", columns: {}, unexpectedColumns: "allow", expectations }, [file]);
        all.push(Math.round(performance.now() - began));
      }
      const [first = 0, ...warm] = all;
      const ms = Math.min(...warm);
      const failing = report.anomalies[0]?.count ?? 0;
      console.log(
        JSON.stringify({ bench: "expectation", way, rows: report.rows, failing, first_ms: first, ms, rows_per_s: Math.round((report.rows / ms) * 1_000) }),
      );
    }
  }
} finally {
  await compute.stop();
  await close();
  await rm(folder, { recursive: true, force: true });
}
