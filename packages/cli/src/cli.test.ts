import { execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { startServer } from "@millrace/server";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCommand, source } from "./testing.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));

let folder: string;
let server: Awaited<ReturnType<typeof startServer>>;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-cli-"));
  server = await startServer({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "system" }, logLevel: "error" });
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const millrace = (...args: string[]) => runCommand(args, { url: server.url });
/** A port that nothing listens on any more. */
function freePort(): Promise<number> {
  const holder = createServer();
  return new Promise((resolve) =>
    holder.listen(0, "127.0.0.1", () => {
      const address = holder.address();
      holder.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    }),
  );
}
const projectIn = (name: string) => path.join(folder, name);
const write = (project: string, file: string, text: string) => writeFile(path.join(projectIn(project), file), text);

test("a new project type-checks, is applied once, and its data is taken in", async () => {
  expect(await millrace("init", projectIn("shop"))).toMatchObject({ code: 0 });
  const tsc = await new Promise<string>((resolve) =>
    execFile(path.join(root, "node_modules/.bin/tsc"), ["-p", projectIn("shop")], (_error, stdout) => resolve(stdout)),
  );
  expect(tsc).toBe("");
  expect(await millrace("init", projectIn("shop"))).toMatchObject({ code: 2, stderr: expect.stringContaining("is not empty") });

  const dry = await millrace("apply", projectIn("shop"), "--dry-run");
  expect(dry.stdout).toContain("  + pipeline late\n");
  expect(dry.stdout).toContain("6 would be created");
  const first = await millrace("apply", projectIn("shop"), "--json");
  expect(JSON.parse(first.stdout)).toMatchObject({ project: "shop", version: 1, missing: [] });
  expect(first.stderr).toContain("deliveries: 2 of 2 files taken in\n");
  expect((await millrace("dataset", "versions", "deliveries")).stdout).toMatch(/^2 +accepted .*\n1 +accepted /m);
  const again = await millrace("apply", projectIn("shop"));
  expect(again.stdout).toContain("no definition changes\nshop is at version 1");

  const entry = path.join(projectIn("shop"), "millrace.ts");
  await writeFile(entry, (await readFile(entry, "utf8")).replace("max: 100 }", "max: 90 }"));
  const changed = await millrace("apply", projectIn("shop"));
  expect(changed.stdout).toContain("  ~ schema deliveries (columns.km.max)\n");

  const schema = await millrace("schema", "infer", path.join(projectIn("shop"), "data/deliveries-2024-01.parquet"), "--name", "deliveries");
  expect(schema.stdout).toContain("export const deliveriesSchema = schema({\n");
  expect(schema.stdout).toMatch(/\n {4}ordered_at: timestamp\(/);
  expect(await millrace("status")).toMatchObject({ code: 0, stderr: "", stdout: expect.stringMatching(/^late\b/m) });
});

test("what is not there for a dataset that watches a folder is told when its project is applied, which ends well", async () => {
  await millrace("init", projectIn("empty"));
  await write(
    "empty",
    "millrace.ts",
    `import { dataset, int64, project, schema } from "@millrace/sdk";
const none = dataset({ name: "empty_none", watch: { folder: "data", pattern: "orders-*.csv" } });
const far = dataset({ name: "empty_far", watch: { folder: "data", pattern: "*-01.parquet" }, schema: schema({ name: "empty_far", columns: { km: int64({ max: 5 }) } }) });
export default project({ name: "empty", definitions: [none, far] });
`,
  );
  const { code, stderr } = await millrace("apply", projectIn("empty"));
  expect(code).toBe(0);
  expect(stderr).toContain('The dataset "empty_none" has no accepted version yet: no file in "data" is called as its pattern "orders-*.csv" says.\n');
  expect(stderr).toContain('The dataset "empty_far" has no accepted version yet: deliveries-2024-01.parquet was refused, and is in quarantine as version 1. ');
});

test("a run is followed to its end, and the exit code says which", async () => {
  await millrace("init", projectIn("checks"));
  await write(
    "checks",
    "millrace.ts",
    `import { dataset, int64, month, pipeline, project, schema, splitByTime, timestamp, validate } from "@millrace/sdk";
const good = schema({ name: "checks_good", columns: { ordered_at: timestamp() }, unexpectedColumns: "allow" });
const bad = schema({ name: "checks_bad", columns: { km: int64({ max: 5 }) }, unexpectedColumns: "allow" });
const orders = dataset({ name: "checks_orders", watch: { folder: "data", pattern: "*.parquet" }, timestamp: "ordered_at", schema: good });
export const passes = pipeline({ name: "checks_passes", params: { until: month() } }, ({ until }) => splitByTime(orders.upTo(until), { test: "7d" }));
export const stops = pipeline({ name: "checks_stops" }, () => validate(orders.upTo("latest"), bad));
export default project({ name: "checks", definitions: [passes, stops] });
`,
  );
  expect(await millrace("apply", projectIn("checks"), "--no-wait")).toMatchObject({ code: 0, stderr: "", stdout: expect.not.stringContaining("taken in") });

  const passed = await millrace("run", "checks_passes", "--param", "until=2024-01", "--wait");
  expect(passed.stdout).toMatch(/^run \w+\n[\s\S]*split: succeeded[\s\S]*\nsucceeded after /);
  expect(passed.code).toBe(0);
  const stopped = await millrace("run", "checks_stops", "--wait", "--json");
  expect(JSON.parse(stopped.stdout)).toMatchObject({ state: "refused", message: expect.stringContaining("km") });
  expect(stopped.code).toBe(3);
  expect(await millrace("run", "checks_passes")).toMatchObject({ code: 1, stderr: expect.stringContaining('"until" is missing') });
  expect(await millrace("run", "checks_passes", "--param", "until")).toMatchObject({ code: 2 });
  expect((await millrace("runs", "checks_stops")).stdout).toContain("refused");
});

test("a broken definition is told with file and line, and nothing else of it", async () => {
  await millrace("init", projectIn("broken"));
  const tell = async (text: string, other = "") => {
    await write("broken", "other.ts", other);
    await write("broken", "millrace.ts", text);
    const { code, stdout, stderr } = await millrace("apply", projectIn("broken"));
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    return stderr.trim();
  };
  const head = 'import { dataset, project } from "@millrace/sdk";\nimport * as other from "./other.js";\n';
  const end = "export default project({ name: 'broken', definitions: [other] });\n";
  expect(await tell(head + end, "export const x = {\n  a: 1,,\n};\n")).toMatch(/^other\.ts:2: .+$/);
  expect(await tell(head + end, "\nconst x: string[] = [];\nx[0].length;\n")).toMatch(/^other\.ts:3: .*undefined.*$/);
  expect(await tell(`import { nothing } from "./nowhere.js";\n${head}export const x = nothing;\n${end}`)).toBe(
    'millrace.ts:1: there is no module "nowhere.js"',
  );
  expect(await tell(`${head}export const x = 1;\n`)).toMatch(/^millrace\.ts:1: it exports no project/);
  expect(await tell(head + end, "import { dataset } from '@millrace/sdk';\n\nexport const d = dataset({ name: '1st' });\n")).toMatch(
    /^other\.ts:3: "1st" can't name a dataset/,
  );
});

test("errors are one line that says what to do, with an exit code", async () => {
  const free = await freePort();
  expect(await millrace("status", "--url", `http://127.0.0.1:${free}`)).toMatchObject({
    code: 1,
    stdout: "",
    stderr: `No server answers at http://127.0.0.1:${free}. Start it with: millrace up\n`,
  });
  expect(await millrace("apply", projectIn("nowhere"))).toMatchObject({ code: 2 });
  expect(await millrace("frobnicate")).toMatchObject({ code: 2 });
  expect(await millrace("run", "no_such_pipeline")).toMatchObject({ code: 1, stderr: 'There is no pipeline "no_such_pipeline".\n' });
  const port = new URL(server.url).port;
  expect(await millrace("up", "--port", port, "--data-dir", path.join(folder, "other"))).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`The port ${port} of 127.0.0.1 is in use.`),
  });
});

test("the platform says where it is, and ends cleanly when it is told to", async () => {
  const child = spawn(process.execPath, [...source, "up", "--port", "0", "--data-dir", path.join(folder, "third")], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  const line = await new Promise<string>((resolve) => createInterface({ input: child.stdout }).once("line", resolve));
  const url = /^Millrace is ready at (http:\/\/127\.0\.0\.1:\d+)$/.exec(line)?.[1];
  expect((await fetch(`${url}/health`)).status).toBe(200);
  child.kill("SIGTERM");
  expect(await ended).toBe(0);
});
