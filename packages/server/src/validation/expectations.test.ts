import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { ValidationReport } from "@millrace/sdk/api";
import type { ColumnRule, SchemaSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { createRowChecks } from "../compute/row-checks.js";
import { openRunners, type Runners } from "../compute/typescript-runners.js";
import { type Platform, parquet } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { createValidation, type Validation } from "./index.js";

const january = fileURLToPath(new URL("../../../../examples/flights/data/flights-2013-01.parquet", import.meta.url));
let folder: string;
let platform: Platform;
let runners: Runners;
let validation: Validation;
let close: () => Promise<void>;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const clock = { kind: "replay" as const, from: new Date("2013-02-01T12:00:00Z") };
  ({ platform, close } = await openPlatform({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock, logLevel: "warn" }));
  runners = openRunners(platform);
  validation = within({ rowMs: 2_000, totalMs: 90_000 });
});
afterAll(async () => {
  await runners.stop();
  await close();
  await rm(folder, { recursive: true, force: true });
});
function within(limits: { rowMs: number; totalMs: number }): Validation {
  const checkRows = createRowChecks(runners, { heapMb: 64, processMb: 700, ...limits });
  return createValidation(platform, { compute: { checkRows }, projects: { require: () => Promise.reject(new Error("no projects here")) } });
}

type Expectation = NonNullable<SchemaSpec["expectations"]>[number];
/** An expectation whose function is this text, as a bundle of it would be. */
async function fn(name: string, check: string, of: Partial<Expectation> & { columns?: string[] } = {}, before = ""): Promise<Expectation> {
  const { digest } = await platform.objects.put(Buffer.from(`${before}\nexport const check = ${check};`));
  return { name, bundle: `.millrace/expectations/t.${name}.mjs`, digest, definedAt: `schemas.ts:${name.length}`, ...of };
}
const columns: Record<string, ColumnRule> = {
  air_time: { type: "int64" },
  distance: { type: "int64", maxNullShare: 0 },
  carrier: { type: "string", maxNullShare: 0 },
  time_hour: { type: "timestamp", maxNullShare: 0 },
};
function validate(expectations: Expectation[], more: Partial<SchemaSpec> = {}, files = [january], by = validation): Promise<ValidationReport> {
  return by.validate({ name: "t", columns, unexpectedColumns: "allow", ...more, expectations }, files, { environment: "training" });
}
const told = (report: ValidationReport) => report.anomalies.map(({ message }) => message);

test("a function that is false for rows counts them, shows some, and allows as many as it says", async () => {
  const fast = "(row) => row.air_time === null || row.distance / row.air_time < 8.5";
  const report = await validate([
    await fn("fast", fast, { columns: ["air_time", "distance"] }),
    await fn("allowed", fast, { maxFailing: 0.5 }),
    await fn("warned", "(row) => row.carrier !== 'UA'", { severity: "warn", columns: ["carrier"] }),
    { name: "in_sql", sql: "air_time is null or distance / air_time < 8.5" },
    await fn("elsewhere", "() => false", { environments: ["serving"] }),
    await fn("times", "({ time_hour }) => time_hour instanceof Date && time_hour.getUTCFullYear() === 2013"),
  ]);
  const [byFunction, bySql, warned] = report.anomalies;
  const count = bySql?.count ?? 0;
  expect(count).toBeGreaterThan(100);
  expect(byFunction).toMatchObject({ kind: "expectation", severity: "block", count, share: count / 27_004, rule: "schemas.ts:4" });
  expect(byFunction?.message).toMatch(/^The expectation "fast" \(schemas.ts:4\) fails in [\d,]+ of 27,004 rows \([\d.]+%\); at most 0% is expected\.$/);
  expect(byFunction?.examples).toHaveLength(5);
  for (const one of byFunction?.examples ?? []) expect(one).toEqual({ air_time: expect.any(Number), distance: expect.any(Number) });
  expect(warned).toMatchObject({ severity: "warn", count: 4_637 });
  expect(report.anomalies.map(({ severity }) => severity)).toEqual(["block", "block", "warn"]);
  expect(report.checks?.filter(({ kind, passed }) => kind === "expectation" && passed).map(({ name }) => name)).toEqual(
    ['expectation "allowed"', 'expectation "elsewhere"', 'expectation "times"'].filter((name) => !name.includes("elsewhere")),
  );
});

test("a function that does not answer true or false is told with the row where it did so, and the others go on", async () => {
  const at = "(row) => row.distance > 100 || ";
  const report = await validate([
    await fn("throws", "(row) => row.air_time.toFixed() !== ''", { columns: ["air_time"] }),
    await fn("number", `${at} 1`),
    await fn("nothing", "() => {}"),
    await fn("later", "async () => true"),
    await fn("changes", "(row) => { row.distance = 1; return true; }"),
    await fn("module", "() => true", {}, "throw new Error('no settings');"),
    await fn("none", "17"),
    { ...(await fn("gone", "() => true")), digest: `sha256:${"0".repeat(64)}` },
    await fn("odd", "() => { throw Object.create(null); }"),
    await fn("right", "() => true"),
  ]);
  const cant = (name: string) => expect.stringMatching(new RegExp(`^The expectation "${name}" \\(schemas\\.ts:\\d+\\) can't be evaluated: it `));
  expect(told(report)).toEqual(["throws", "number", "nothing", "later", "changes", "module", "none", "gone", "odd"].map(cant));
  const [thrown, one, nothing, later, changes, module, none, gone] = told(report);
  expect(thrown).toMatch(/it threw TypeError: Cannot read properties of null \(reading 'toFixed'\), at row \d+\.$/);
  expect(report.anomalies[0]?.examples).toEqual([{ air_time: null }]);
  expect(one).toMatch(/it answered 1; true or false is expected, at row [\d,]+\.$/);
  expect(report.anomalies[1]?.examples).toMatchObject([{ year: "2013", month: "1" }]);
  expect(nothing).toContain("it answered nothing; true or false is expected, at row 1.");
  expect(later).toContain("it answered a promise, as async functions do; true or false is expected, at row 1.");
  expect(changes).toMatch(/it threw TypeError: Cannot assign to read only property 'distance' .*at row 1\.$/);
  expect(module).toContain("it has a module that can't be loaded: Error: no settings.");
  expect(none).toContain("it is not in its bundle: write it, or its schema, at the top of a module");
  expect(gone).toContain("it has a bundle that is not on the server: apply the project again.");
  expect(report.checks?.find(({ name }) => name.includes("right"))?.passed).toBe(true);
});

test("a function that never ends, ends its process, or eats the memory is told, and the others have their say", async () => {
  const when = (what: string) => `(row) => { if (row.time_hour.getUTCDate() === 3) { ${what} } return true; }`;
  const report = await validate([
    await fn("endless", when("for (;;);")),
    await fn("exits", when("process.exit(0);")),
    await fn("kills", when("process.kill(process.pid, 'SIGKILL');")),
    await fn("heap", when("const all = []; for (;;) all.push(new Array(10_000).fill(row.distance));")),
    await fn("buffers", when("const all = []; for (;;) all.push(Buffer.alloc(1e6, 1));")),
    await fn(
      "late_throw",
      "() => { if (!globalThis.once) { globalThis.once = true; setImmediate(() => { throw new Error('from a timer'); }); } return true; }",
    ),
    await fn("right", "(row) => row.distance > 100", { maxFailing: 0.1 }),
    await fn("wrong", "(row) => row.distance > 100"),
  ]);
  const [{ first } = { first: 0 }] = await platform.duckdb.rows<{ first: number }>(
    `select min(n)::double as first from (select row_number() over () as n, time_hour from ${parquet([january])}) where day(time_hour) = 3`,
  );
  const row = first.toLocaleString("en");
  const [endless, exits, kills, heap, buffers, late, wrong] = told(report);
  expect(endless).toBe(`The expectation "endless" (schemas.ts:7) can't be evaluated: it took longer than 2 seconds for one row, at row ${row}.`);
  expect(exits).toContain(`it ended its process: an expectation answers, it does not call process.exit, at row ${row}.`);
  expect(kills).toMatch(/"kills".* it ended its process/);
  expect(heap).toContain(`it used more memory than 64 MiB, at row ${row}.`);
  expect(buffers).toContain(`"buffers"`);
  expect(late).toContain("it began something that threw Error: from a timer.");
  expect(wrong).toMatch(/"wrong".* fails in/);
  expect(report.anomalies[0]?.examples).toHaveLength(1);
  expect(report.checks?.find(({ name }) => name.includes("right"))?.passed).toBe(true);

  const hurried = within({ rowMs: 5_000, totalMs: 1_000 });
  const slow = await validate(
    [await fn("slow", "() => { const end = performance.now() + 50; while (performance.now() < end); return true; }")],
    {},
    [january],
    hurried,
  );
  expect(told(slow)).toEqual([expect.stringMatching(/it was not done when all checks of the rows had taken 1 second/)]);
}, 120_000);

test("what ends with the server says nothing of a function", async () => {
  const own = openRunners(platform);
  const checkRows = createRowChecks(own, { heapMb: 64, processMb: 700, rowMs: 60_000, totalMs: 60_000 });
  const stopped = createValidation(platform, { compute: { checkRows }, projects: { require: () => Promise.reject(new Error("no projects here")) } });
  const sign = path.join(folder, "began");
  const endless = await fn("endless", `() => { writeFileSync(${JSON.stringify(sign)}, ""); for (;;); }`, {}, 'import { writeFileSync } from "node:fs";');
  const report = validate([endless], {}, [january], stopped);
  const refused = expect(report).rejects.toThrow("The server stops");
  await vi.waitFor(() => expect(existsSync(sign)).toBe(true), { timeout: 30_000 });
  await own.stop();
  await refused;
}, 60_000);

test("rows fit the types that the schema gives them: what does not is told by the columns' own rules", async () => {
  const odd = path.join(folder, "odd.parquet");
  await platform.duckdb.rows(`copy (select * from (values (1::utinyint, null::varchar, 1.5::decimal(6,2), timestamptz '2013-01-01 05:00:00+00', date '2013-01-02', 'nan'::double),
    (null, 'b', 2.25, null, null, 'infinity'::double), (3, 'c', null, 'infinity'::timestamptz, '1969-12-31', 0)) t(n, "__proto__", price, "at", day, x)) to '${odd}' (format parquet)`);
  const rules: Record<string, ColumnRule> = {
    n: { type: "int64", maxNullShare: 0 },
    price: { type: "float64" },
    at: { type: "timestamp" },
    day: { type: "date" },
    x: { type: "float64" },
    later: { type: "string", required: false, maxNullShare: 0 },
  };
  const seen = await fn("seen", "(row) => JSON.stringify([row, Object.getPrototypeOf(row) === Object.prototype, Number.isNaN(row.x)]) === ''");
  const report = await validate([seen], { columns: rules }, [odd]);
  // The second row has a null in n, which the schema does not know there.
  const [nulls, expectation] = report.anomalies;
  expect(nulls?.kind).toBe("null_share");
  expect(expectation).toMatchObject({ kind: "expectation", count: 2 });
  expect(expectation?.examples).toEqual([
    JSON.parse('{ "n": 1, "__proto__": null, "price": 1.5, "at": "2013-01-01T05:00:00.000Z", "day": "2013-01-02T00:00:00.000Z", "x": "NaN", "later": null }'),
    JSON.parse('{ "n": 3, "__proto__": "c", "price": null, "at": "Invalid Date", "day": "1969-12-31T00:00:00.000Z", "x": 0, "later": null }'),
  ]);

  const retyped = await validate([seen], { columns: { ...rules, day: { type: "string" } } }, [odd]);
  expect(retyped.anomalies.map(({ kind }) => kind)).toEqual(["wrong_type", "null_share"]);
  const skipped = retyped.checks?.find(({ kind }) => kind === "expectation")?.skipped;
  expect(skipped).toBe('The column "day" is date; its functions are for string. Functions are given rows that fit the schema\'s types.');

  const types = path.join(folder, "types.parquet");
  await platform.duckdb.rows(`copy (select '2013-01-01 05:00:01'::timestamp_s as s, '2013-01-01 05:00:01.25'::timestamp_ns as ns, '2013-01-01 05:00:01'::timestamp as naive,
    [1.5::decimal(6,2)] as decimals, [timestamp '2013-01-01 05:00:00'] as times, 170141183460469231731687303715884105727::hugeint as huge, 12.50::decimal(20,2) as price)
    to '${types}' (format parquet)`);
  const [told] = (await validate([await fn("types", "(row) => row.s === row")], { columns: {} }, [types])).anomalies;
  expect(told?.examples).toEqual([
    {
      ...{ s: "2013-01-01T05:00:01.000Z", ns: "2013-01-01T05:00:01.250Z", naive: "2013-01-01T05:00:01.000Z" },
      ...{ decimals: "[1.50]", times: "[2013-01-01 05:00:00]", huge: 2 ** 127, price: 12.5 },
    },
  ]);

  const empty = path.join(folder, "empty.parquet");
  await platform.duckdb.rows(`copy (select * from ${parquet([january])} limit 0) to '${empty}' (format parquet)`);
  expect((await validate([await fn("never", "() => false")], {}, [empty])).anomalies).toEqual([]);
});
