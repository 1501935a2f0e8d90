import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { startServer } from "@millrace/server";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCommand } from "./testing.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const january = path.join(root, "examples/flights/data/flights-2013-01.parquet");
let folder: string;
let server: Awaited<ReturnType<typeof startServer>>;
beforeAll(async () => {
  folder = await mkdtemp(path.join(root, "node_modules/.expectations-"));
  server = await startServer({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "system" }, logLevel: "error" });
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});
const millrace = (...args: string[]) => runCommand(args, { url: server.url, timeoutMs: 120_000 });

const project = `import { dataset, int64, pipeline, project, schema, string, timestamp, validate } from "@millrace/sdk";
import { slowest } from "./speeds.js";

const flightsSchema = schema({
  name: "flights",
  columns: { air_time: int64(), distance: int64({ maxNullShare: 0 }), carrier: string({ maxNullShare: 0 }), time_hour: timestamp({ maxNullShare: 0 }) },
  unexpectedColumns: "allow",
  expectations: [
    { name: "fast", check: (row) => row.air_time === null || row.distance / row.air_time > slowest },
    { name: "named", severity: "warn", check: ({ carrier }) => carrier.trim().toUpperCase() === carrier },
  ],
});
const flights = dataset({ name: "flights", schema: flightsSchema });
const raw = dataset({ name: "raw" });
const checking = pipeline({ name: "checking", params: {} }, () => {
  validate(raw.upTo("latest"), flightsSchema);
});
export default project({ name: "checks", definitions: [flights, raw, checking] });
`;

test("functions are applied with a project, and block files, arrivals and runs until their code is another", { timeout: 240_000 }, async () => {
  await mkdir(path.join(folder, "project"));
  const write = (file: string, text: string) => writeFile(path.join(folder, "project", file), text);
  await write("package.json", '{ "type": "module" }');
  await write("millrace.ts", project);
  await write("speeds.ts", "/** Miles a minute. */\nexport const slowest: number = 2;\n");
  const apply = () => millrace("apply", path.join(folder, "project"));
  expect(await apply()).toMatchObject({ code: 0, stderr: "" });

  const junit = path.join(folder, "report.xml");
  const file = await millrace("validate", "flights", january, "--junit", junit);
  expect(file).toMatchObject({ code: 3 });
  expect(file.stdout).toMatch(
    /blocks {2}expectation: The expectation "fast" \(millrace\.ts:9\) fails in \d+ of 27,004 rows \([\d.]+%\); at most 0% is expected\./,
  );
  expect(file.stdout).toMatch(/"air_time":\s?\d+,"distance":\s?\d+[\s\S]*at millrace\.ts:9\n/);
  expect(await readFile(junit, "utf8")).toContain(
    '<testcase classname="flights.table" name="expectation &quot;fast&quot;" file="millrace.ts" line="9"><failure type="expectation"',
  );
  const report = JSON.parse((await millrace("validate", "flights", january, "--json")).stdout);
  expect(report.anomalies).toMatchObject([{ kind: "expectation", rule: "millrace.ts:9", count: expect.any(Number), examples: { length: 5 } }]);
  expect(report.checks.at(-1)).toMatchObject({ name: 'expectation "named"', passed: true });

  // An arrival is refused and waits; a run ends before what comes after the check.
  expect(await millrace("dataset", "add", "flights", january)).toMatchObject({ code: 3 });
  expect((await millrace("quarantine", "list")).stdout).toContain("flights");
  expect(await millrace("dataset", "add", "raw", january)).toMatchObject({ code: 0 });
  const refused = await millrace("run", "checking", "--wait");
  expect([refused.code, refused.stdout + refused.stderr]).toEqual([expect.not.stringMatching("0"), expect.stringContaining('expectation "fast"')]);

  // Only what the function imports has changed: the schema is another one, and the run looks again.
  await write("speeds.ts", "export const slowest: number = 0.1;\n");
  const changed = await apply();
  expect([changed.code, changed.stdout]).toEqual([0, expect.stringMatching(/expectations\[0\]\.digest/)]);
  expect(changed.stdout).not.toContain("expectations[1]");
  expect(await millrace("validate", "flights", january)).toMatchObject({ code: 0 });
  const first = await millrace("run", "checking", "--wait");
  expect([first.code, first.stderr]).toEqual([0, ""]);
  expect((await millrace("run", "checking", "--explain")).stdout).toMatch(/validate_flights +is reused/);
  await write("speeds.ts", "export const slowest: number = 0.2;\n");
  expect(await apply()).toMatchObject({ code: 0 });
  expect((await millrace("run", "checking", "--explain")).stdout).toMatch(/validate_flights +(?!is reused)/);
});
