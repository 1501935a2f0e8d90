import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createCompute } from "../compute/index.js";
import { type DuckDb, type Platform, parquet } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { assertSelect, createValidation, isRowWise, type Validation } from "./index.js";

const january = fileURLToPath(new URL("../../../../examples/flights/data/flights-2013-01.parquet", import.meta.url));
const july = january.replace("-01.", "-07.");
let folder: string;
let platform: Platform;
let duckdb: DuckDb;
let validation: Validation;
let close: () => Promise<void>;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const clock = { kind: "replay" as const, from: new Date("2013-02-01T12:00:00Z") };
  const opened = await openPlatform({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock, logLevel: "warn" });
  ({ platform, close } = opened);
  duckdb = platform.duckdb;
  validation = createValidation(platform, { compute: createCompute(platform), projects: { require: () => Promise.reject(new Error("no projects here")) } });
});
afterAll(async () => {
  await close();
  await rm(folder, { recursive: true, force: true });
});
test("a schema inferred from a month passes it, knows its domains, and leaves slack", async () => {
  const schema = await validation.infer("flights", [january]);
  const { columns } = schema;
  expect(columns.origin).toEqual({ type: "string", maxNullShare: 0, domain: ["EWR", "JFK", "LGA"], drift: { lInfinity: 0.1 } });
  expect(columns.carrier?.domain).toHaveLength(16);
  expect(columns.tailnum?.domain).toBeUndefined();
  expect(columns.dep_time?.maxNullShare).toBeCloseTo(0.05, 1);
  expect(columns.time_hour?.type).toBe("timestamp");
  expect(columns.distance?.max).toBeLessThan(8_000);
  const report = await validation.validate(schema, [january]);
  expect([report.passed, report.rows, report.anomalies]).toEqual([true, 27_004, []]);
  const distance = report.statistics.find((column) => column.name === "distance");
  expect([distance?.min, distance?.max, distance?.histogram?.counts.reduce((a, b) => a + b)]).toEqual([80, 4983, 27_004]);
  expect(distance?.quantiles).toHaveLength(7);
  const carrier = report.statistics.find((column) => column.name === "carrier");
  expect(carrier?.top?.slice(0, 2)).toEqual([
    { value: "UA", count: 4637 },
    { value: "B6", count: 4427 },
  ]);
});

test("a damaged month is told anomaly by anomaly, with counts, examples and the place of the rule", async () => {
  const damaged = path.join(folder, "damaged.parquet");
  await duckdb.rows(`copy (select * exclude (tailnum, carrier, distance, month), tailnum as tail_num, (distance * 1.609344)::bigint as distance,
    case when flight % 97 = 0 then 'ZZ' else carrier end as carrier, month::varchar as month from ${parquet([july])}) to '${damaged}' (format parquet)`);
  const schema = {
    name: "flights",
    definedAt: "schemas.ts:12",
    minRows: 100_000,
    columns: {
      tailnum: { type: "string" as const },
      month: { type: "int64" as const },
      carrier: { type: "string" as const, domain: ["9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"] },
      distance: { type: "int64" as const, min: 10, max: 5_000 },
      dep_time: { type: "int64" as const, maxNullShare: 0.01, severity: "warn" as const },
      flight: { type: "int64" as const, unique: true },
    },
    unexpectedColumns: "block" as const,
    expectations: [
      { name: "plausible_speed", sql: "air_time is null or distance / air_time < 10.5", maxFailing: 0.001 },
      { name: "no_escape", sql: "air_time in (select 1 from read_text('/etc/hostname'))" },
    ],
  };
  const report = await validation.validate(schema, [damaged]);
  expect(report.passed).toBe(false);
  const of = (kind: string) => report.anomalies.filter((anomaly) => anomaly.kind === kind);
  expect(report.anomalies.every((anomaly) => anomaly.rule === "schemas.ts:12")).toBe(true);
  expect(of("missing_column")[0]?.message).toBe('The column "tailnum" is missing. "tail_num" has its type and looks like its new name.');
  expect(of("unexpected_column").find((anomaly) => anomaly.column === "tail_num")?.message).toContain('Is it "tailnum"?');
  expect(of("wrong_type")[0]?.message).toBe('The column "month" is string; int64 is expected.');
  expect(of("domain")[0]).toMatchObject({ column: "carrier", count: 319, examples: [{ value: "ZZ", count: 319 }] });
  expect(of("range")[0]?.message).toMatch(/^"distance" is above the maximum 5,000 in \d+ of 29,425 rows \(0\.\d+%\): 8,019 \(\d+\)/);
  expect(of("null_share")[0]).toMatchObject({ severity: "warn", column: "dep_time" });
  expect(of("rows")[0]?.count).toBe(29_425);
  expect(of("unique")[0]?.column).toBe("flight");
  expect(of("expectation").map((anomaly) => anomaly.message)).toEqual([
    expect.stringMatching(/"plausible_speed".*fails in/),
    expect.stringMatching(/"no_escape" can't be evaluated: .*read_text/),
  ]);
  expect(report.anomalies.at(-1)?.severity).toBe("warn");
});

test("a query of a definition can read its tables and nothing else", async () => {
  await duckdb.use(async (connection) => {
    const check = (sql: string) => assertSelect(duckdb, connection, sql, ["flights"], "The source");
    await check("with late as (select * from flights where arr_delay > 15) select origin, count(*) from late group by 1");
    for (const sql of [
      "select * from read_csv('/etc/passwd')",
      "select * from '/etc/passwd.csv'",
      "copy flights to '/tmp/x'",
      "select 1; select 2",
      "select getenv('HOME') from flights",
      `select * from (with "/etc/x.csv" as (select 1) select 1), "/etc/x.csv"`,
    ]) {
      await expect(check(sql), sql).rejects.toThrow(/^The source /);
    }
    expect(await isRowWise(duckdb, connection, "select origin, arr_delay > 15 as late from flights where arr_delay is not null", "flights")).toBe(true);
    expect(await isRowWise(duckdb, connection, "select origin, max(arr_delay) from flights group by 1", "flights")).toBe(false);
    expect(await isRowWise(duckdb, connection, "select origin, lag(late) over () from flights", "flights")).toBe(false);
  });
});
