import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { startServer } from "@millrace/server";
import { afterAll, beforeAll, expect, test } from "vitest";
import { junit } from "./junit.js";
import { runCommand } from "./testing.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const data = (name: string) => path.join(root, "examples/flights/data", name);
let folder: string;
let server: Awaited<ReturnType<typeof startServer>>;
beforeAll(async () => {
  folder = await mkdtemp(path.join(root, "node_modules/.validation-"));
  server = await startServer({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "system" }, logLevel: "error" });
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});
const millrace = (...args: string[]) => runCommand(args, { url: server.url });

test("an inferred schema is written as code that applies, and files are checked against it, for people and for CI", { timeout: 120_000 }, async () => {
  const schemas = path.join(folder, "schemas/flights.ts");
  const january = data("flights-2013-01.parquet");
  expect(await millrace("schema", "infer", january, "--name", "flights", "--write", schemas)).toMatchObject({ code: 0, stdout: "" });
  expect(await millrace("schema", "infer", january, "--name", "flights", "--write", schemas)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("is there already"),
  });
  await mkdir(path.join(folder, "arrivals"));
  const definitions = 'import { dataset, project } from "@millrace/sdk";\nimport { flightsSchema } from "./schemas/flights.js";\n';
  const flights = 'const flights = dataset({ name: "flights", schema: flightsSchema });\n';
  await writeFile(path.join(folder, "millrace.ts"), `${definitions}${flights}export default project({ name: "checks", definitions: [flights] });\n`);
  const applied = await millrace("apply", folder);
  expect([applied.code, applied.stderr]).toEqual([0, ""]);
  expect(await millrace("validate", "flights", january)).toMatchObject({ code: 0, stdout: expect.stringContaining("27,004 rows") });

  const report = path.join(folder, "report.xml");
  const july = await millrace("validate", "flights", data("flights-2013-07.parquet"), "--junit", report);
  expect(july.code).toBe(3);
  expect(july.stdout).toMatch(/blocks {2}range: "month" is above the maximum 1 in 29,425 of 29,425 rows .*\n\s+at schemas\/flights.ts:\d+\n/);
  const xml = await readFile(report, "utf8");
  expect(xml).toMatch(/<testcase classname="flights.month" name="&quot;month&quot; is at most 1" file="schemas\/flights.ts" line="\d+"><failure type="range"/);
  expect(await millrace("validate", "flights", "nothing@3")).toMatchObject({ code: 1 });
  expect(await millrace("quarantine", "list")).toMatchObject({ code: 0, stdout: "Nothing is in quarantine.\n" });
  expect(await millrace("quarantine", "accept", "flights", "7", "--reason", "because")).toMatchObject({ code: 1 });
  expect(await millrace("quarantine", "accept", "flights", "7")).toMatchObject({ code: 2 });
});

test("CSV is checked against a schema as the project's files say it, applied or not, and gives a schema with what may be expected of the next file", async () => {
  const project = path.join(folder, "orders");
  await mkdir(project);
  const definitions = `import { dataset, float64, int64, project, schema, timestamp } from "@millrace/sdk";
const ordersSchema = schema({
  name: "orders",
  columns: { id: int64(), at: timestamp(), amount: float64({ min: 0 }) },
  expectations: [{ name: "lately", sql: "at < now()" }, { name: "dearly", sql: '"at" < now()' }],
});
export default project({ name: "orders", definitions: [dataset({ name: "orders", schema: ordersSchema })] });
`;
  await writeFile(path.join(project, "package.json"), '{ "type": "module" }');
  await writeFile(path.join(project, "millrace.ts"), definitions);
  const file = async (name: string, text: string) => {
    await writeFile(path.join(project, name), text);
    return path.join(project, name);
  };
  const good = await file("good.csv", "id,at,amount\n1,2024-01-03 09:00:00,12.5\n2,2024-01-04 09:00:00,3\n");
  const checked = await millrace("validate", "orders", good, "--project", project);
  expect(checked.stdout).toContain('The expectation "lately" can\'t be evaluated: The expectation "lately" is no SELECT: syntax error');
  expect(checked.stdout).toContain('"at" is a word of SQL: where it is a column, write it in double quotes');
  expect(checked.stdout).toContain("2 rows, 9 checks: 1 block.");
  await writeFile(path.join(project, "millrace.ts"), definitions.replace('sql: "at < now()"', 'sql: "id > 0"'));
  expect(await millrace("validate", "orders", good, "--project", project)).toMatchObject({ code: 0, stdout: "2 rows, 9 checks: passed.\n" });
  expect(await millrace("validate", "orders", good, "--applied")).toMatchObject({ code: 1, stderr: expect.stringContaining('"orders"') });
  const dear = await millrace("validate", "orders", await file("dear.csv", "id,at,amount\n1,2024-01-03 09:00:00,-1\n"), "--project", project);
  expect([dear.code, dear.stdout]).toEqual([3, expect.stringMatching(/"amount" is below the minimum 0[\s\S]*at millrace\.ts:\d/)]);
  const torn = await millrace("validate", "orders", await file("torn.csv", 'id,at,amount\n1,"2024-01-03,3\n'), "--project", project);
  expect([torn.code, torn.stderr]).toEqual([1, expect.stringContaining("torn.csv, line 2")]);
  expect(await millrace("validate", "nothing", good, "--project", project)).toMatchObject({ code: 1, stderr: expect.stringContaining("has no schema") });

  // Code runs when it was applied, and only then.
  const withFunction = definitions.replace('{ name: "lately", sql: "at < now()" }', '{ name: "whole", check: (row) => row.id > 1 }');
  await writeFile(path.join(project, "millrace.ts"), withFunction);
  const without = await millrace("validate", "orders", good, "--project", project);
  expect([without.code, without.stderr]).toEqual([0, expect.stringContaining("Left out, as functions run when they are applied: whole.")]);
  expect(await millrace("apply", project)).toMatchObject({ code: 0 });
  expect(await millrace("validate", "orders", good, "--project", project)).toMatchObject({ code: 3, stdout: expect.stringContaining('"whole"') });
  const given = { name: "x", columns: {}, expectations: [{ name: "theirs", bundle: "x.mjs", digest: `sha256:${"0".repeat(64)}` }] };
  const text = JSON.stringify(given);
  const refused = await fetch(`${server.url}/api/v1/schemas/validate?schemaBytes=${text.length}&file=a.csv`, { method: "POST", body: `${text}id\n1\n` });
  expect([refused.status, await refused.text()]).toEqual([400, expect.stringContaining("it runs in a schema that is applied")]);

  const lately = (i: number) => new Date(Date.now() - i * 3_600_000).toISOString();
  const fresh = await file("fresh.csv", `id,at\n${Array.from({ length: 120 }, (_, i) => `${i},${lately(i + 1)}`).join("\n")}\n`);
  const inferred = await millrace("schema", "infer", fresh);
  expect(inferred.stdout).toContain('freshness: { column: "at", maxAge: "3h", severity: "warn" }');
  expect(inferred.stdout).toContain("id: int64({ maxNullShare: 0, min: 0, max: 149, unique: true })");
});

test("JUnit XML is well-formed whatever the values are", () => {
  const examples = ["<a>", "\u0000\u001b[31m", "]]>", "\ud800"];
  const anomaly = { kind: "domain", severity: "block" as const, column: 'a"<b>', message: "is & was \u0007", count: 1, share: 1, examples, rule: "x.ts:1" };
  const check = { kind: "domain", column: 'a"<b>', name: "known", severity: "block" as const, passed: false, rule: "x.ts:1" };
  const xml = junit({ schema: "s", passed: false, rows: 1, anomalies: [anomaly], checks: [check], statistics: [] }, "a&b");
  expect(xml).toContain('<testcase classname="s.a&quot;&lt;b&gt;" name="known" file="x.ts" line="1"><failure type="domain" message="is &amp; was ">');
  expect(xml).toContain('failures="1"');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not be there
  expect(xml).not.toMatch(/[\u0000-\u0008\u000e-\u001f\ud800-\udfff]/);
});
