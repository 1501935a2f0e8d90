import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { FunctionExpectationSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { compileProject } from "./compile.js";
import { findFunction } from "./expectation.js";

const sdk = fileURLToPath(new URL("../../../sdk/src/index.ts", import.meta.url));
const tsconfig = { compilerOptions: { target: "es2023", module: "nodenext", paths: { "@millrace/sdk": [sdk] } } };
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-expectations-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Compiled {
  of(schema: string, name: string): FunctionExpectationSpec;
  text(schema: string, name: string): string;
  check(schema: string, name: string): Promise<(row: object) => unknown>;
}
async function compiled(name: string, files: Record<string, string>): Promise<Compiled> {
  const project = path.join(folder, name);
  for (const [file, text] of Object.entries({ "package.json": '{ "type": "module" }', "tsconfig.json": JSON.stringify(tsconfig), ...files })) {
    await mkdir(path.dirname(path.join(project, file)), { recursive: true });
    await writeFile(path.join(project, file), text);
  }
  const { spec, upload } = await compileProject(project);
  const sent = new Map<string, string>();
  const client = {
    projects: {
      async upload(digest: string, bytes: unknown) {
        sent.set(digest, bytes instanceof Uint8Array ? Buffer.from(bytes).toString() : "");
        return { digest, size: 0 };
      },
    },
  };
  await upload(client, { missing: spec.files.map(({ digest }) => digest) });
  const of = (schema: string, expectation: string) => {
    const one = spec.schemas.find((each) => each.name === schema)?.expectations?.find((each) => each.name === expectation);
    if (one === undefined || !("bundle" in one)) throw new Error(`There is no function ${expectation}.`);
    expect(spec.files.find((file) => file.path === one.bundle)?.digest).toBe(one.digest);
    return one;
  };
  const text = (schema: string, expectation: string) => sent.get(of(schema, expectation).digest ?? "") ?? "";
  return {
    of,
    text,
    async check(schema, expectation) {
      const file = path.join(project, `${schema}.${expectation}.mjs`);
      await writeFile(file, text(schema, expectation));
      const module: { check: (row: object) => unknown } = await import(pathToFileURL(file).href);
      return module.check;
    },
  };
}

const schemas = (extra: string) => `import { dataset, expectation, float64, int64, schema, string } from "@millrace/sdk";
import { mph, slow } from "./lib.js";
interface Leg { air_time: number | null; distance: number }
const most: number = 630;
export const known = expectation({
  name: "known",
  check: ({ air_time, distance: far = 0 }: Leg) => air_time === null || mph(far, air_time) < most,
});
const plausible = (row: Leg): boolean => row.distance > 0 && row?.["air_time"] !== 0;
export const flights = schema({
  name: "flights",
  columns: { air_time: int64(), distance: int64({ maxNullShare: 0 }), carrier: string({ domain: ["AA"] }) },
  expectations: [
    known,
    { name: "in_sql", sql: "distance > 0" },
    { name: "inline", check: (row) => row.air_time === null || slow(row.air_time) },
    { name: "method", severity: "warn", check(row) { return Object.keys(row).length > 2; } },
    expectation({ name: "named", check: plausible }),
  ],
});
export const weather = schema({
  name: "weather",
  columns: { temp: float64() },
  expectations: [{ name: "inline", check: (row) => row.temp === null || row.temp < 50 }, ...["hot", "cold"].map((name) => ({ name, check: () => name === "hot" }))],
});
export const arrivals = dataset({ name: "arrivals", schema: flights });
${extra}`;
const project = {
  "millrace.ts": 'import { project } from "@millrace/sdk";\nimport * as all from "./schemas.js";\nexport default project({ name: "p", definitions: [all] });',
  "lib.ts":
    "export const mph = (miles: number, minutes: number): number => (miles / minutes) * 60;\nexport const slow = (n: number) => n < 900;\nexport const unused = 'never';",
};

test("a bundle holds a function with what it uses, wherever it is made, and changes with that alone", async () => {
  const first = await compiled("one", { ...project, "schemas.ts": schemas("") });
  expect(first.of("flights", "known")).toMatchObject({
    bundle: ".millrace/expectations/flights.known.mjs",
    columns: ["air_time", "distance"],
  });
  expect(first.of("flights", "inline")).toMatchObject({ columns: ["air_time"], definedAt: "schemas.ts:16" });
  expect(first.of("weather", "inline")).toMatchObject({ columns: ["temp"], definedAt: "schemas.ts:24" });
  expect(first.of("flights", "method").columns).toBe(undefined);
  expect(first.of("flights", "method")).toMatchObject({ severity: "warn", definedAt: "schemas.ts:17" });
  expect(first.of("flights", "named").columns).toEqual(["air_time", "distance"]);
  const text = first.text("flights", "known");
  expect(text).toContain("miles / minutes");
  for (const other of ["900", "never", "carrier", "domain", "dataset", folder]) expect(text).not.toContain(other);

  const leg = { air_time: 60, distance: 600, carrier: "AA" };
  expect(
    [await first.check("flights", "known"), await first.check("flights", "inline")].map((check) => [
      check(leg),
      check({ ...leg, air_time: 901, distance: 1e6 }),
    ]),
  ).toEqual([
    [true, false],
    [true, false],
  ]);
  expect([(await first.check("flights", "method"))(leg), (await first.check("flights", "named"))({ distance: 0 })]).toEqual([true, false]);
  // Made in a list: its schema knows it once the module has run.
  expect([(await first.check("weather", "hot"))({}), (await first.check("weather", "cold"))({})]).toEqual([true, false]);
  expect(first.of("weather", "hot").columns).toBe(undefined);

  const second = await compiled("two", {
    ...project,
    "lib.ts": project["lib.ts"].replace("900", "800"),
    "schemas.ts": schemas("export const more = dataset({ name: 'more' });").replace('domain: ["AA"]', 'domain: ["AA", "UA"]'),
  });
  for (const name of ["known", "method", "named"]) expect(second.of("flights", name).digest, name).toBe(first.of("flights", name).digest);
  expect(second.of("flights", "inline").digest).not.toBe(first.of("flights", "inline").digest);
});

test("what can't be bundled is told with its place", async () => {
  const broken = schemas("").replace('from "./lib.js"', 'from "./lib.js";\nimport missing from "left-out"').replace("slow(row.air_time)", "missing(row)");
  await expect(compiled("broken", { ...project, "schemas.ts": broken })).rejects.toThrow(/schemas\.ts:3: .*left-out/);
});

test("columns are told where nothing but their values is taken of a row", async () => {
  const columns = async (check: string, before = "") => {
    const source = `${before}\nconst e = expectation({ name: "e", check: ${check} });`;
    return (await findFunction(source, "ts", { name: "e", line: 2, schema: undefined }))?.columns;
  };
  expect(await columns("() => true")).toEqual([]);
  expect(await columns("(row: Row) => row.b > row['a b'] && { row: row.c }.row > 1")).toEqual(["a b", "b", "c"]);
  expect(await columns("(row) => { const { a, b: { length } } = row; return [1].every((n) => n < row.c[a]); }")).toEqual(["a", "b", "c"]);
  expect(await columns("function (row) { return row!.a as boolean; }")).toEqual(["a"]);
  expect(await columns("check", "export function check(row) { return row.a; }")).toEqual(["a"]);
  for (const whole of [
    "(row) => Object.keys(row).length > 1",
    "(row) => row[name]",
    "({ a, ...rest }) => rest",
    "({ [key]: a }) => a",
    "(row) => { const { a, ...rest } = row; return rest; }",
    "(row) => use({ row })",
    "(row) => String(row)",
    "(...rows) => rows[0].a",
    "(row = {}) => row.a",
    "(row, more) => row.a",
    "function () { return arguments[0].a; }",
    "(row) => eval('row.a')",
    "(row) => (() => row)().a",
    "elsewhere",
    "made((row) => row.a)",
  ])
    expect(await columns(whole), whole).toBe(undefined);
  const inList = `import { schema } from "@millrace/sdk";

const s = sdk.schema({
  name: "s",
  expectations: [
    { name: "e", check(row) { return row.a; } },
  ],
});`;
  expect(await findFunction(inList, "ts", { name: "e", schema: "s", line: 3 })).toMatchObject({ line: 6, columns: ["a"] });
  expect(await findFunction(inList, "ts", { name: "e", schema: "other", line: 3 })).toBe(undefined);
  // Two of a name are told apart by their lines, and one that is made by a function is not taken for another.
  const twice = "const a = expectation({ name: 'e', check: (row) => row.a });\nconst b = expectation({ name: 'e', check: (row) => row.b });";
  expect((await findFunction(twice, "ts", { name: "e", schema: undefined, line: 2 }))?.columns).toEqual(["b"]);
  expect(await findFunction(twice, "ts", { name: "e", schema: undefined, line: 9 })).toBe(undefined);
  const made = "const make = (name) =>\n  expectation({ name, check: (row) => row.a });\nconst b = expectation({ name: 'e', check: (row) => row.b });";
  expect(await findFunction(made, "ts", { name: "e", schema: undefined, line: 2 })).toBe(undefined);
  // In a function, where it may use what the module's top does not know.
  const inside = "const make = (least) =>\nexpectation({ name: 'e', check: (row) => row.a > least });";
  expect(await findFunction(inside, "ts", { name: "e", line: 2, schema: undefined })).toBe(undefined);
});
