// Point-in-time joins: entity rows against twelve weather and carrier features of the flights, written to Parquet. One line of JSON for each size:
// node --conditions=millrace-source --import tsx bench/data/join.mjs [--folder folder] [--as-of event_time] [rows ...]
// With --make what is asked is made and no more, so that another process shows the memory of the join alone.
// With a folder, what was asked (`asked-<rows>.parquet`), what it was joined with, and the results (`out-<rows>.parquet`) stay in it.
import { existsSync } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { historicalRows } from "../../packages/server/src/features/historical.ts";
import { resolveView } from "../../packages/server/src/features/views.ts";
import { openDuckDb } from "../../packages/server/src/platform/duckdb.ts";

const data = (name) => fileURLToPath(new URL(`../../examples/flights/data/${name}`, import.meta.url));
const months = Array.from({ length: 12 }, (_, m) => String(m + 1).padStart(2, "0"));
const { values: options, positionals } = parseArgs({
  options: { folder: { type: "string" }, "as-of": { type: "string", default: "known" }, make: { type: "boolean" } },
  allowPositionals: true,
});
const sizes = positionals.length > 0 ? positionals.map(Number) : [100_000, 1_000_000];
const folder = options.folder ?? (await mkdtemp(path.join(tmpdir(), "millrace-join-")));

const weather = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"];
const carrier = ["n", "late", "dep_delay", "arr_delay"];
const f64 = (name) => ({ name, type: "float64" });
const views = [
  resolveView(
    { kind: "latest", name: "weather", entity: "origin", source: { dataset: "weather_hourly" }, timestamp: "time_hour", ttl: "2h", features: weather.map(f64) },
    { name: "origin", keys: [{ name: "origin", type: "string" }] },
  ),
  resolveView(
    { kind: "latest", name: "carrier", entity: "carrier", source: { dataset: "carrier_hourly" }, timestamp: "hour", ttl: "7d", features: carrier.map(f64) },
    { name: "carrier", keys: [{ name: "carrier", type: "string" }] },
  ),
];
const spec = {
  name: "delay",
  request: [
    { name: "at", type: "timestamp" },
    { name: "origin", type: "string" },
    { name: "carrier", type: "string" },
  ],
  timestamp: "at",
  views: ["weather", "carrier"],
  compute: [],
  features: [...weather, ...carrier].map(f64),
};
const types = Object.fromEntries([...spec.request, ...spec.features].map(({ name, type }) => [name, type]));

const duckdb = openDuckDb({ memoryMb: 2_000, threads: 2, spillFolder: path.join(folder, "spill") });
try {
  const flights = months.map((m) => `'${data(`flights-2013-${m}.parquet`)}'`).join(", ");
  // One file each, so that all systems read the same.
  const hourly = path.join(folder, "carrier.parquet");
  const observed = path.join(folder, "weather.parquet");
  if (!existsSync(hourly)) {
    await duckdb.rows(`copy (select carrier, time_hour as hour, count(*)::double as n, avg((arr_delay > 15)::int) as late, avg(dep_delay) as dep_delay,
      avg(arr_delay) as arr_delay from read_parquet([${flights}]) group by all order by carrier, hour) to '${hourly}' (format parquet)`);
    const hours = months.map((m) => `'${data(`weather-2013-${m}.parquet`)}'`).join(", ");
    await duckdb.rows(`copy (select origin, time_hour, ${weather.map((name) => `${name}::double as ${name}`).join(", ")}
      from read_parquet([${hours}]) order by origin, time_hour) to '${observed}' (format parquet)`);
  }
  const files = async (view) => [view.name === "weather" ? observed : hourly];
  for (const rows of sizes) {
    const asked = path.join(folder, `asked-${rows}.parquet`);
    // Each flight as often as it takes, a second apart.
    const repeats = Math.ceil(rows / 336_776);
    if (!existsSync(asked)) {
      await duckdb.rows(`copy (select row_number() over () as id, * from (select time_hour + to_minutes(minute) + to_seconds(n) as at, origin, carrier
        from read_parquet([${flights}]), range(${repeats}) r (n) order by hash(flight, time_hour, n), flight, time_hour, n limit ${rows})) to '${asked}' (format parquet)`);
    }
    if (options.make) continue;
    const out = path.join(folder, `out-${rows}.parquet`);
    const began = performance.now();
    await duckdb.sandbox({ reads: [asked, hourly, observed], writes: [out] }, async (connection) => {
      const joined = await historicalRows({
        ...{ duckdb, connection, service: { spec, views, types }, rows: `select * from '${asked}'` },
        ...{ asOf: options["as-of"], files },
      });
      await connection.run(`copy (${joined.sql}) to '${out}' (format parquet)`);
    });
    const seconds = (performance.now() - began) / 1_000;
    const peak = process.resourceUsage().maxRSS * 1_024;
    const facts = { bench: "point_in_time_join", system: "millrace", rows, features: 12, seconds, peak_rss_bytes: peak };
    console.log(JSON.stringify({ ...facts, out_bytes: (await stat(out)).size, out }));
  }
} finally {
  await duckdb.close();
  if (options.folder === undefined) await rm(folder, { recursive: true, force: true });
}
