// Statistics and checks of the 336,776 flights, times 1, 9 and 90. A JSON line for each measurement.
// node --conditions=millrace-source bench/data/validation.mjs [1,9,90]: the larger tables are made in a temporary folder and removed.
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { DuckDBInstance } from "@duckdb/node-api";
import { register } from "tsx/esm/api";

const root = fileURLToPath(new URL("../..", import.meta.url));
const sizes = (process.argv[2] ?? "1,9").split(",").map(Number);
register();
const source = (file) => import(pathToFileURL(path.join(root, "packages/server/src", file)).href);
const { openDuckDb } = await source("platform/duckdb.ts");
const { statisticsOf } = await source("validation/statistics/index.ts");
const { createValidation } = await source("validation/service.ts");

const folder = await mkdtemp(path.join(tmpdir(), "millrace-bench-"));
const memoryMb = 1_000;
const duckdb = openDuckDb({ memoryMb, threads: 2, spillFolder: path.join(folder, "spill") });
const clock = { now: () => new Date("2014-01-02T00:00:00Z") };
const validation = createValidation({ duckdb, clock, objects: undefined, db: undefined }, { projects: { require: () => Promise.reject(new Error("none")) } });

const carriers = ["9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"];
const whole = (min, max) => ({ type: "int64", maxNullShare: 0.2, min, max });
/** 40 checks beside those of presence and type. */
const schema = {
  name: "flights",
  unexpectedColumns: "allow",
  columns: {
    year: whole(2013, 2013),
    month: whole(1, 12),
    day: whole(1, 31),
    dep_time: whole(1, 2400),
    sched_dep_time: whole(0, 2359),
    dep_delay: whole(-60, 3000),
    arr_time: whole(1, 2400),
    sched_arr_time: whole(0, 2359),
    arr_delay: whole(-120, 3000),
    flight: whole(1, 9999),
    air_time: whole(10, 800),
    distance: whole(10, 5000),
    carrier: { type: "string", maxNullShare: 0, domain: carriers },
    origin: { type: "string", domain: ["EWR", "JFK", "LGA"] },
    dest: { type: "string", minLength: 3 },
  },
};

async function best(times, work) {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < times; i++) {
    const started = performance.now();
    await work();
    least = Math.min(least, performance.now() - started);
  }
  return Math.round(least);
}
const print = (line) => console.log(JSON.stringify(line));

try {
  const flights = path.join(root, "examples/flights/data/flights-2013-*.parquet");
  for (const times of sizes) {
    const file = path.join(folder, `flights-${times}.parquet`);
    await duckdb.rows(`copy (select f.* from read_parquet('${flights}') f, range(${times})) to '${file}' (format parquet)`);
    const [{ n: rows }] = await duckdb.rows(`select count(*)::double as n from read_parquet('${file}')`);
    const repeat = times > 20 ? 1 : 3;
    const facts = { rows, bytes: (await stat(file)).size, threads: 2, memory_limit_mb: memoryMb };
    // The peer is not waited for where it takes minutes.
    if (times <= 20) {
      const peer = await DuckDBInstance.create(":memory:", { threads: "2", memory_limit: `${memoryMb}MB`, temp_directory: path.join(folder, "peer") });
      const connection = await peer.connect();
      print({
        what: "summarize",
        tool: "duckdb",
        ...facts,
        ms: await best(repeat, () => connection.runAndReadAll(`summarize select * from read_parquet('${file}')`)),
      });
      connection.closeSync();
      peer.closeSync();
    }
    const statistics = await best(repeat, () => duckdb.use((own) => statisticsOf({ duckdb, connection: own }, [file])));
    print({ what: "statistics", tool: "millrace", ...facts, ms: statistics, rss_mb: Math.round(process.memoryUsage().rss / 1e6) });
    let checks = 0;
    const ms = await best(repeat, async () => {
      const report = await validation.check(schema, [file]);
      checks = report.checks.filter(({ kind }) => kind !== "missing_column" && kind !== "wrong_type").length;
      if (!report.passed) throw new Error("the flights pass their schema");
    });
    print({ what: "checks", tool: "millrace", checks, ...facts, ms, rss_mb: Math.round(process.memoryUsage().rss / 1e6) });
    await rm(file);
  }
} finally {
  await duckdb.close();
  await rm(folder, { recursive: true, force: true });
}
