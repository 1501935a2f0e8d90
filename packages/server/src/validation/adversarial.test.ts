import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { ColumnStatistics, ValidationReport } from "@millrace/sdk/api";
import type { ColumnRule, SchemaSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createCompute } from "../compute/index.js";
import { type DuckDb, identifier, type Platform } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { createValidation, type Validation } from "./index.js";

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

/** A Parquet file of a SELECT. */
async function table(name: string, select: string): Promise<string> {
  const file = path.join(folder, `${name}.parquet`);
  await duckdb.rows(`copy (${select}) to '${file}' (format parquet)`);
  return file;
}
const schema = (columns: Record<string, ColumnRule>, more: Partial<SchemaSpec> = {}): SchemaSpec => ({ name: "t", columns, ...more });
const kinds = ({ anomalies }: Pick<ValidationReport, "anomalies">) => anomalies.map(({ kind, column, count }) => [kind, column, count]);
const of = (statistics: ColumnStatistics[], name: string) => statistics.find((one) => one.name === name);

test("NaN stands beside null, infinities beside numbers, and none of them bends the others", async () => {
  const file = await table(
    "floats",
    "select * from (values (1.0::double), ('nan'::double), (null), ('inf'::double), ('-inf'::double), (0), (2.5), (1e300)) t(x)",
  );
  const report = await validation.validate(schema({ x: { type: "float64", maxNullShare: 0.1, finite: true, min: 0, max: 10 } }), [file]);
  expect(of(report.statistics, "x")).toMatchObject({ count: 7, nulls: 1, nan: 1, infinite: 2, zeros: 1, min: 0, max: 1e300, distinct: 7, stddev: null });
  expect(kinds(report)).toEqual([
    ["null_share", "x", 1],
    ["range", "x", 1],
    ["range", "x", 3],
    ["finite", "x", 3],
  ]);
  expect(report.anomalies.find(({ kind }) => kind === "finite")?.examples).toContainEqual({ value: "nan", count: 1 });
  // Without statistics the same is found from the rows.
  expect(kinds(await validation.check(schema({ x: { type: "float64", maxNullShare: 0.1, finite: true, min: 0, max: 10 } }), [file]))).toEqual(kinds(report));
});

test("an empty table and columns of nothing but nulls have statistics, and fail only what they break", async () => {
  const empty = await table("empty", "select 1 as a, 'x' as b, timestamp '2013-01-01' as t where false");
  const rules = schema(
    { a: { type: "int64", maxNullShare: 0, unique: true, min: 1 }, b: { type: "string", domain: ["y"], pattern: "z" }, t: { type: "timestamp" } },
    { minRows: 1, freshness: { column: "t", maxAge: "1d" } },
  );
  const report = await validation.validate(rules, [empty]);
  expect(kinds(report)).toEqual([
    ["rows", null, 0],
    ["freshness", "t", null],
  ]);
  expect(of(report.statistics, "a")).toMatchObject({ count: 0, nulls: 0, distinct: 0 });
  const nulls = await table("nulls", "select null::int as a, null::varchar as b, null::timestamp as t, null::double as x from range(10)");
  expect(kinds(await validation.validate(schema({ ...rules.columns, x: { type: "float64", min: 0 } }), [nulls]))).toEqual([["null_share", "a", 10]]);
  expect((await validation.infer("nulls", [nulls])).columns.a).toEqual({ type: "int64", maxNullShare: 1 });
});

test("two thousand columns are read in a bearable time", { timeout: 120_000 }, async () => {
  const names = Array.from({ length: 2_000 }, (_, i) => `i + ${i} as c${i}`);
  const file = await table("wide", `select ${names.join(", ")} from range(20) t(i)`);
  const report = await validation.validate(schema({ c7: { type: "int64", max: 20 } }, { unexpectedColumns: "allow" }), [file]);
  expect(report.statistics).toHaveLength(2_000);
  expect(of(report.statistics, "c1999")).toMatchObject({ count: 20, min: 1_999, max: 2_018 });
  expect(kinds(report)).toEqual([["range", "c7", 6]]);
});

test("huge texts are measured and shown in part; NUL characters are kept out of the database", async () => {
  const file = await table("texts", "select repeat('x', 2000000) || i::varchar as big, chr(0) || 'a' as nul from range(8) t(i)");
  const rules = schema({ big: { type: "string", maxLength: 100, domain: ["a"] }, nul: { type: "string", domain: ["b"] } });
  const report = await validation.validate(rules, [file], { digest: "sha256:texts" });
  expect(of(report.statistics, "big")?.lengths).toEqual({ min: 2_000_001, max: 2_000_001, mean: 2_000_001 });
  expect(JSON.stringify(report).length).toBeLessThan(20_000);
  expect(kinds(report)).toEqual([
    ["domain", "big", 8],
    ["length", "big", 8],
    ["domain", "nul", 8],
  ]);
  expect(JSON.stringify(report)).not.toContain("\\u0000");
  expect((await validation.statistics("sha256:texts", ["gone.parquet"]).catch(() => undefined))?.columns ?? report.statistics).toEqual(report.statistics);
});

test("numbers wider than a double, decimals and times with zones keep their bounds", async () => {
  const file = await table(
    "types",
    `select 18446744073709551615::ubigint as u, 170141183460469231731687303715884105727::hugeint as h, 12.34::decimal(18, 2) as d,
       timestamptz '2013-01-01 00:00:00+05' as tz, timestamp '2013-06-01 00:00:00' as naive, date '2013-06-01' as day, time '01:02:03' as clock,
       [1, 2, 3] as list, {a: 1} as struct, 'x'::blob as bytes, 9007199254740993 as odd, 'infinity'::timestamp as never from range(3)`,
  );
  const rules = schema({
    ...{ u: { type: "int64", min: 0, max: 10 }, h: { type: "float64", min: 0 }, d: { type: "float64", min: 12, max: 12.34 } },
    ...{
      tz: { type: "timestamp", max: "2012-12-31T19:00:00Z" },
      naive: { type: "timestamp", min: "2013-06-01T00:00:01Z" },
      day: { type: "date", max: "2013-05-31" },
    },
    ...{ odd: { type: "int64", max: 9_007_199_254_740_992 }, never: { type: "timestamp", max: "2013-01-01T00:00:00Z" } },
  });
  const report = await validation.validate({ ...rules, unexpectedColumns: "allow" }, [file]);
  expect(report.anomalies.map(({ column }) => column)).toEqual(["u", "naive", "day", "odd", "never"]);
  expect(of(report.statistics, "tz")).toMatchObject({ min: "2012-12-31T19:00:00.000Z" });
  expect(of(report.statistics, "day")).toMatchObject({ min: "2013-06-01" });
  expect(of(report.statistics, "list")).toMatchObject({ count: 3, lengths: { min: 3, max: 3, mean: 3 } });
  expect(of(report.statistics, "never")).toMatchObject({ count: 3, distinct: 1 });
  expect(() => JSON.stringify(report)).not.toThrow();
});

test("names with quotes, and the same name in another case, are columns like any other", async () => {
  const names = [`it's "quoted"`, "a b", "select", "x;drop table t", "ünï"];
  const file = await table("names", `select ${names.map((name, i) => `i + ${i} as ${identifier(name)}`).join(", ")} from range(5) t(i)`);
  const rules = schema(Object.fromEntries(names.map((name): [string, ColumnRule] => [name, { type: "int64", unique: true, max: 2 }])), {
    relations: [{ kind: "compare", left: names[0] ?? "", op: "<", right: "a b" }],
  });
  const report = await validation.validate(rules, [file]);
  expect(report.anomalies.map(({ kind }) => kind)).toEqual(names.map(() => "range"));
  const cased = await table("cased", `select 1 as "Carrier", 2 as "carrier_1"`);
  const missing = await validation.validate(schema({ carrier: { type: "int64" } }), [cased]);
  expect(missing.anomalies[0]?.message).toBe('The column "carrier" is missing. "Carrier" has its type and looks like its new name.');
});

test("a pattern that makes other engines backtrack for hours is answered at once", async () => {
  const file = await table("backtrack", "select repeat('a', 50000) || '!' as s from range(100)");
  const started = performance.now();
  const report = await validation.validate(schema({ s: { type: "string", pattern: "(a+)+" } }), [file]);
  expect(kinds(report)).toEqual([["pattern", "s", 100]]);
  expect(performance.now() - started).toBeLessThan(20_000);
  const unusable = await validation.validate(schema({ s: { type: "string", pattern: "(a" } }), [file]);
  expect(unusable.anomalies[0]?.message).toContain('"s" has a pattern that can\'t be used');
});

test("relations, environments, freshness and sets of columns are told with the rows that break them", async () => {
  const file = await table(
    "relations",
    `select i as a, i + 1 as b, case when i = 3 then 0 else 2 * i + 1 end as total, case when i < 5 then i end as x, case when i < 4 then 1 end as y,
       i % 5 as k, 'v' as l, timestamp '2013-01-30 12:00:00' as at from range(10) t(i)`,
  );
  const number: ColumnRule = { type: "int64" };
  const rules: SchemaSpec = {
    name: "relations",
    definedAt: "schemas.ts:1",
    columns: {
      a: number,
      b: number,
      total: number,
      x: number,
      y: number,
      k: number,
      l: { type: "string" },
      at: { type: "timestamp" },
      label: { type: "boolean", environments: ["training"] },
    },
    relations: [
      { kind: "compare", left: "b", op: "<=", right: "a", definedAt: "schemas.ts:9" },
      { kind: "sum", of: ["a", "b"], equals: "total", maxFailing: 0.05 },
      { kind: "not_all_null", columns: ["x", "y"], severity: "warn" },
      { kind: "null_together", columns: ["x", "y"] },
      { kind: "unique", columns: ["k", "l"], name: "key" },
    ],
    freshness: { column: "at", maxAge: "1d" },
  };
  const training = await validation.validate(rules, [file], { environment: "training" });
  expect(training.anomalies.map(({ kind, count, rule }) => [kind, count, rule])).toEqual([
    ["freshness", null, "schemas.ts:1"],
    ["missing_column", null, "schemas.ts:1"],
    ["relation", 10, "schemas.ts:9"],
    ["relation", 1, "schemas.ts:1"],
    ["relation", 1, "schemas.ts:1"],
    ["unique", 5, "schemas.ts:1"],
    ["relation", 5, "schemas.ts:1"],
  ]);
  expect(training.anomalies[3]?.examples).toEqual([{ a: "3", b: "4", total: "0" }]);
  const serving = await validation.validate(rules, [file], { environment: "serving" });
  expect(serving.anomalies.map(({ kind }) => kind)).not.toContain("missing_column");
  expect(serving.environment).toBe("serving");
});

test("distributions, volume and keys are compared with what is around the table", async () => {
  const before = await table("before", "select i::double as x, case when i % 2 = 0 then 'a' else 'b' end as c, i as id from range(1000) t(i)");
  const now = await table("now", "select i::double + 500 as x, case when i % 10 = 0 then 'a' else 'z' end as c, i + 10 as id from range(400) t(i)");
  const arrival = { name: "t version 1", files: [before], rows: 1_000 };
  const around = { dataset: "t", arrivals: async () => [arrival], version: async (dataset: string) => (dataset === "t" ? arrival : undefined) };
  const rules = schema(
    {
      x: { type: "float64", drift: { psi: 0.25, jensenShannon: 0.9 } },
      c: { type: "string", drift: { lInfinity: 0.1, severity: "block" } },
      id: { type: "int64", foundIn: { dataset: "t", column: "id" } },
    },
    { volume: { within: 0.2 } },
  );
  const report = await validation.validate(rules, [now], { around });
  expect(report.anomalies.map(({ kind, column, severity }) => [kind, column, severity])).toEqual([
    ["drift", "c", "block"],
    ["volume", null, "warn"],
    ["drift", "x", "warn"],
  ]);
  expect(report.anomalies[1]?.message).toBe("The table has 400 rows, 60% fewer than the arrival before (1,000); within 20% is expected.");
  const c = report.reference?.columns.find(({ name }) => name === "c");
  expect(c).toMatchObject({ values: ["a", "b"], reference: [500, 500, 0], now: [40, 0, 360], lInfinity: 0.9 });
  const x = report.reference?.columns.find(({ name }) => name === "x");
  expect(x?.now.reduce((sum, n) => sum + n, 0)).toBe(400);
  expect(x?.edges?.[0]).toBe(0);
  const strange = await table("strange", "select 5000 + i as id, 0.5 as x, 'a' as c from range(4) t(i)");
  const lost = await validation.validate(rules, [strange], { around });
  expect(lost.anomalies.find(({ kind }) => kind === "foreign_key")).toMatchObject({ count: 4, share: 1 });
  // With nothing around, what compares is skipped and says so.
  const alone = await validation.validate(rules, [now]);
  expect(alone.checks?.filter(({ skipped }) => skipped !== undefined).map(({ kind }) => kind)).toEqual(["volume", "drift", "drift", "drift", "foreign_key"]);
});
