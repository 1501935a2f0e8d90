// Statistics and checks of the 336,776 flights, times 1, 9 and 90. A JSON line for each measurement.
// node --conditions=millrace-source bench/data/validation.mjs [--times 1,9] [--folder folder]: tables are made in the folder and stay there; without one they are removed.
// With --make they are made and no more, so that another process shows the memory of the work alone.
import { existsSync } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { DuckDBInstance } from "@duckdb/node-api";
import { register } from "tsx/esm/api";
import { schema, verdicts } from "./checks.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const { values: options } = parseArgs({ options: { times: { type: "string", default: "1,9" }, folder: { type: "string" }, make: { type: "boolean" } } });
register();
const source = (file) => import(pathToFileURL(path.join(root, "packages/server/src", file)).href);
const { openPlatform } = await source("platform/open.ts");
const { statisticsOf } = await source("validation/statistics/index.ts");
const { createCompute } = await source("compute/index.ts");
const { createValidation } = await source("validation/service.ts");

const folder = options.folder ?? (await mkdtemp(path.join(tmpdir(), "millrace-bench-")));
const memoryMb = 1_000;
const { platform, close } = await openPlatform({
  ...{ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "replay", from: new Date("2014-01-02T00:00:00Z") }, logLevel: "warn" },
  duckdb: { memoryMb, threads: 2 },
});
const { duckdb } = platform;
const validation = createValidation(platform, { compute: createCompute(platform), projects: { require: () => Promise.reject(new Error("none")) } });

async function best(times, work) {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < times; i++) {
    const started = performance.now();
    await work();
    least = Math.min(least, performance.now() - started);
  }
  return Math.round(least);
}
const print = (bench, system, facts) => console.log(JSON.stringify({ bench, system, ...facts }));

try {
  const flights = path.join(root, "examples/flights/data/flights-2013-*.parquet");
  for (const times of options.times.split(",").map(Number)) {
    const file = path.join(folder, `flights-${times}.parquet`);
    if (!existsSync(file)) await duckdb.rows(`copy (select f.* from read_parquet('${flights}') f, range(${times})) to '${file}' (format parquet)`);
    if (options.make) continue;
    const [{ n: rows }] = await duckdb.rows(`select count(*)::double as n from read_parquet('${file}')`);
    const repeat = times > 20 ? 1 : 3;
    const facts = { rows, bytes: (await stat(file)).size, threads: 2, memory_limit_mb: memoryMb, file };
    const peak = () => process.resourceUsage().maxRSS * 1_024;
    const statistics = await best(repeat, () => duckdb.use((own) => statisticsOf({ duckdb, connection: own }, [file])));
    print("statistics", "millrace", { ...facts, ms: statistics, peak_rss_bytes: peak() });
    const both = [];
    const checked = async (digest) => {
      const found = [];
      for (const strict of [false, true]) {
        const report = digest === undefined ? await validation.check(schema(strict), [file]) : await validation.validate(schema(strict), [file], { digest });
        found.push(verdicts(report, strict));
      }
      both.push(JSON.stringify(found));
      return found;
    };
    let told;
    const ms = await best(repeat, () => validation.check(schema(), [file]));
    told = await checked();
    print("checks", "millrace", { ...facts, checks: told[0].length, ms, peak_rss_bytes: peak(), verdicts: told });
    // As they are made of a version of a dataset: its statistics were kept when it came.
    const digest = `bench-${times}`;
    await validation.statistics(digest, [file]);
    const kept = await best(repeat, () => validation.validate(schema(), [file], { digest }));
    told = await checked(digest);
    print("checks_kept", "millrace", { ...facts, checks: told[0].length, ms: kept, peak_rss_bytes: peak(), verdicts: told });
    // The peer is not waited for where it takes minutes. It comes last, so that its memory is not taken for ours.
    if (times <= 20) {
      const peer = await DuckDBInstance.create(":memory:", { threads: "2", memory_limit: `${memoryMb}MB`, temp_directory: path.join(folder, "peer") });
      const connection = await peer.connect();
      const summarize = await best(repeat, () => connection.runAndReadAll(`summarize select * from read_parquet('${file}')`));
      print("statistics", "duckdb summarize", { ...facts, ms: summarize });
      connection.closeSync();
      peer.closeSync();
    }
    if (options.folder === undefined) await rm(file);
  }
} finally {
  await close();
  if (options.folder === undefined) await rm(folder, { recursive: true, force: true });
}
