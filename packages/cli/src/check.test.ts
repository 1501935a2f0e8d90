/** `millrace check` as CI runs it: a process, on projects whose faults it is to find. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { CheckReport } from "./check/result.js";
import { runCommand, source } from "./testing.js";
import { openDuck } from "./transfer/duck.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
let folder: string;
let data: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-check-test-"));
  data = path.join(folder, "points.parquet");
  const duck = await openDuck();
  // Two clouds that a line divides, and what a broken model says of them.
  const rows = "select (i % 2 * 2 - 1) * (1 + i % 7)::double as x, (i % 2)::bigint as y, case when i % 7 = 0 then 'nan'::double else 0.5 end as prediction";
  await duck.run(`copy (${rows} from range(3000) as r(i)) to '${data}' (format parquet)`);
  await duck.close();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const compilerOptions = {
  ...{ target: "es2023", module: "nodenext", strict: true, noEmit: true, skipLibCheck: true },
  ...{ typeRoots: [path.join(root, "node_modules/@types")], types: ["node"], paths: { "@millrace/sdk": [path.join(root, "packages/sdk/src/index.ts")] } },
};
const training = `import { check, command, dataset, float64, int64, Metrics, Model, pipeline, project, schema, step, Table, table, text } from "@millrace/sdk";
import { mkdir, writeFile, copyFile } from "node:fs/promises";

const points = dataset({
  name: "points",
  watch: { folder: "data", pattern: "*.parquet" },
  schema: schema({ name: "points", columns: { x: float64({ maxNullShare: 0 }), y: int64({ min: 0, max: 1 }), prediction: float64() }, minRows: 100 }),
});

/** As a training says its loss. */
async function log(step: number, loss: number): Promise<void> {
  const { MLFLOW_TRACKING_URI: url, MLFLOW_TRACKING_TOKEN: token, MLFLOW_RUN_ID: run } = process.env;
  const value = Number.isNaN(loss) ? "NaN" : loss;
  const body = JSON.stringify({ run_id: run, metrics: [{ key: "train_loss", value, timestamp: Date.now(), step }] });
  const headers = { authorization: \`Bearer \${token}\`, "content-type": "application/json" };
  const answer = await fetch(\`\${url}/api/2.0/mlflow/runs/log-batch\`, { method: "POST", headers, body });
  if (!answer.ok) throw new Error(await answer.text());
}

export const train = step({
  name: "train",
  in: { rows: Table, fault: text({ default: "none" }) },
  out: { model: Model, scores: Metrics },
  run: async ({ inputs, outputs, params: { fault } }) => {
    const rows = (await inputs.rows.rows()).map((row) => ({ x: Number(row.x), y: Number(row.y) }));
    let weight = 0;
    let loss = 0;
    for (let round = 0; round < 12; round++) {
      loss = 0;
      let slope = 0;
      for (const { x, y } of rows) {
        const p = 1 / (1 + Math.exp(-weight * x));
        loss -= Math.log(Math.max(1e-12, y === 1 ? p : 1 - p)) / rows.length;
        slope += ((p - y) * x) / rows.length;
      }
      await log(round, fault === "nan" && round === 3 ? Number.NaN : fault === "flat" ? 0.69 : loss);
      if (fault !== "flat" && !(fault === "weak" && rows.length <= 10)) weight -= slope;
    }
    await mkdir(outputs.model.path);
    if (fault !== "missing") await writeFile(\`\${outputs.model.path}/weights.json\`, JSON.stringify({ weight }));
    await writeFile(\`\${outputs.model.path}/about.txt\`, "a line");
    if (fault === "nan") await copyFile(inputs.rows.paths[0] ?? "", \`\${outputs.model.path}/parity.parquet\`);
    return { scores: { loss } };
  },
});

export const fit = pipeline({ name: "fit", params: { fault: text({ default: "none" }) } }, ({ fault }) => {
  train({ rows: points.upTo("latest"), fault });
});
const asked = {
  run: fit,
  sample: 500,
  artifacts: { train: { model: { files: ["weights.json"] }, scores: { metrics: { loss: { max: 0.8 } } } } },
  overfits: { step: "train", rows: 10, reaches: { train_loss: { max: 0.3 } } },
};
`;
const sound = `${training}
export default project({ name: "sound", definitions: [points, fit, check({ ...asked, metrics: { train_loss: { max: 0.3 } } })] });
`;
const faulty = `${training}
/** Says that it gives a distance, and hands on what it was given. */
const measure = command({
  name: "measure",
  command: ["node", "copy.mjs", "{inputs.rows}", "{outputs.rows}"],
  in: { rows: Table },
  out: { rows: table({ distance: float64() }) },
});
const near = step({
  name: "near",
  in: { rows: table({ distance: float64() }) },
  out: { scores: Metrics },
  run: async ({ inputs }) => ({ scores: { rows: (await inputs.rows.rows()).length } }),
});
export const measured = pipeline({ name: "measured" }, () => {
  near({ rows: measure({ rows: points.upTo("latest") }).rows });
});
const lost = step({ name: "lost", out: { note: Metrics }, run: () => {} });
export const unwritten = pipeline({ name: "unwritten" }, () => {
  lost({});
});
const oops: number = "no number";
export default project({
  name: "faulty",
  definitions: [measured, unwritten, ...["missing", "nan", "flat", "weak"].map((fault) => check({ ...asked, name: fault, params: { fault } }))],
});
`;

async function project(name: string, files: Record<string, string>): Promise<string> {
  const place = path.join(folder, name);
  await mkdir(path.join(place, "data"), { recursive: true });
  const usual = { "package.json": '{ "type": "module" }', "tsconfig.json": JSON.stringify({ compilerOptions, include: ["**/*.ts"] }) };
  for (const [file, text] of Object.entries({ ...usual, ...files })) await writeFile(path.join(place, file), text);
  await writeFile(path.join(place, "data/points-1.parquet"), await readFile(data));
  return place;
}
const check = (place: string, ...args: string[]) => runCommand(["check", place, ...args], { url: "http://127.0.0.1:9", timeoutMs: 120_000 });
const casesOf = (report: CheckReport) => (group: string, name: string) => report.cases.find((one) => one.group === group && one.name === name);

test("a sound project passes, and says in JUnit, Markdown and JSON what was looked at", async () => {
  const place = await project("sound", {
    "millrace.ts": sound,
    "sum.test.ts": 'import { test } from "node:test";\ntest("adds", () => {});\n',
  });
  const [junit, markdown] = [path.join(folder, "reports/check.xml"), path.join(folder, "reports/check.md")];
  const before = path.join(folder, "before.json");
  await writeFile(before, JSON.stringify({ commit: null, dirty: false, cases: [], pipelines: [{ name: "fit", metrics: { train_loss: 0.9 } }] }));
  const { code, stdout, stderr } = await check(place, "--json", "--junit", junit, "--markdown", markdown, "--against", before);
  const report: CheckReport = JSON.parse(stdout);
  const wrong = report.cases.filter(({ state }) => state !== "passed");
  expect({ code, wrong }, stderr).toEqual({ code: 0, wrong: [] });
  const of = casesOf(report);
  expect(of("project", "tests of node:test")).toMatchObject({ message: "pass 1, fail 0" });
  expect(of("data", "points")).toMatchObject({ message: "500 of 3,000 rows" });
  expect(of("fit", "artifact train.model")).toMatchObject({ message: "about.txt, weights.json" });
  expect(of("fit", "loss falls: train_loss")?.message).toMatch(/^from 0\.\d+ to 0\.\d+ over 12 values$/);
  expect(of("fit", "learns 10 rows by heart")?.message).toMatch(/^train_loss 0\.\d+$/);
  expect(report.pipelines).toMatchObject([{ name: "fit", series: [{ key: "train_loss" }], overfit: { rows: 10 } }]);

  expect(await readFile(junit, "utf8")).toMatch(
    /^<\?xml [^>]*>\n<testsuites name="millrace check" tests="\d+" failures="0" errors="0" skipped="0" time="[\d.]+">/,
  );
  const told = await readFile(markdown, "utf8");
  expect(told).toContain("✅ sound: millrace check passed");
  expect(told).toMatch(/\| train\\_loss \| 0\.\d+ \| 0\.9 \| -0\.\d+ \|/);
  expect(told).toMatch(/```mermaid\nxychart-beta\n {4}title "train_loss on the sample"\n {4}x-axis "step" 0 --> 11\n.*\n {4}line \[0\.69/);
});

test("each fault is found and named: types, tests, a missing artifact, NaN, a loss that stays, ten rows not learnt, a table without its column", async () => {
  const place = await project("faulty", {
    "millrace.ts": faulty,
    "copy.mjs":
      'import { cpSync, statSync, readdirSync } from "node:fs";\nconst [, , from, to] = process.argv;\ncpSync(statSync(from).isDirectory() ? from + "/" + readdirSync(from)[0] : from, to);\n',
    "sum.test.ts": 'import { test } from "node:test";\ntest("adds", () => { throw new Error("two and two are five"); });\n',
  });
  const { code, stdout, stderr } = await check(place, "--json");
  expect(code, stderr).toBe(1);
  const report: CheckReport = JSON.parse(stdout);
  const of = casesOf(report);
  expect(of("project", "types")).toMatchObject({ state: "failed", message: expect.stringMatching(/^millrace\.ts:\d+: TS2322: .*'string'.*'number'/) });
  expect(of("project", "definitions")).toMatchObject({ state: "passed" });
  const tests = of("project", "tests of node:test");
  expect(tests).toMatchObject({ state: "failed", message: "ended with 1: pass 0, fail 1" });
  expect(tests?.details?.join("\n")).toContain("two and two are five");

  const refused = Object.fromEntries(report.cases.filter(({ state }) => state === "refused").map(({ group, name, message }) => [`${group}: ${name}`, message]));
  expect(refused).toEqual({
    "missing: artifact train.model": "it has no file weights.json; it has about.txt",
    "nan: metrics are numbers": "train_loss is NaN at step 3",
    "nan: predictions are numbers": expect.stringMatching(/^train\.model: \d+ values? of "prediction"/),
    "nan: learns 10 rows by heart": "train_loss is NaN at step 3",
    "flat: loss falls: train_loss": "it does not fall: from 0.69 to 0.69 over 12 values",
    "flat: learns 10 rows by heart": "train_loss is 0.69, and at most 0.3 is asked",
    "weak: learns 10 rows by heart": "train_loss is 0.6931, and at most 0.3 is asked",
  });
  const failed = report.cases
    .filter(({ state, group }) => state === "failed" && group !== "project")
    .map(({ group, name, message }) => `${group}: ${name}: ${message}`);
  expect(failed).toEqual(
    expect.arrayContaining([
      'measured: inputs of near: measure.rows: it takes the column "distance", and there is x, y, prediction',
      expect.stringMatching(/^unwritten: step lost: The output "note" is missing/),
      expect.stringMatching(/^unwritten: runs on the sample: /),
    ]),
  );
});

test("a broken definition is told with its place, and so is a check that names what is not there", async () => {
  const place = await project("broken", { "millrace.ts": sound.replace('"points", columns: { x', '"1points", columns: { x') });
  const { code, stdout } = await check(place, "--only", "fit");
  expect(code).toBe(1);
  expect(stdout).toMatch(/FAILED {3}definitions · .*millrace\.ts:\d+: "1points" can't name a schema/);
  await writeFile(
    path.join(place, "millrace.ts"),
    sound.replace('step: "train", rows', 'step: "trains", rows').replace('files: ["weights.json"]', "minRows: 3"),
  );
  const named = await check(place, "--only", "fit");
  expect(named.stdout).toContain('the check "fit": there is no step "trains"; is "train" meant?');
  expect(named.stdout).toContain('the check "fit": "minRows" is nothing that a model has, as "train" gives it by "model"');
});

test("whoever ends a check early finds neither its server nor its folder, and the next one removes what a killed one left", async () => {
  const place = await project("ended", { "millrace.ts": sound });
  // What others check at the same time has other folders.
  const temporary = path.join(folder, "tmp");
  await mkdir(temporary);
  const running = async () => (await readdir(temporary)).filter((name) => name.startsWith("millrace-check-"));
  const begin = async () => {
    const child = spawn(process.execPath, [...source, "check", place, "--only", "fit"], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, TMPDIR: temporary },
    });
    child.stdout.resume();
    await expect.poll(async () => (await running()).length, { timeout: 60_000, interval: 20 }).toBe(1);
    return child;
  };
  const ended = (child: ChildProcess) => new Promise((resolve) => child.once("exit", (code, signal) => resolve(code ?? signal)));
  const asked = await begin();
  await expect
    .poll(async () => (await Promise.all((await running()).map((name) => readdir(path.join(temporary, name))))).flat(), { timeout: 60_000 })
    .toContain("data");
  asked.kill("SIGTERM");
  expect(await ended(asked)).toBe(4);
  expect(await running()).toEqual([]);

  const killed = await begin();
  killed.kill("SIGKILL");
  expect(await ended(killed)).toBe("SIGKILL");
  expect((await running()).length).toBe(1);
  const next = await runCommand(["check", place, "--only", "fit"], { url: "http://127.0.0.1:9", timeoutMs: 120_000, env: { TMPDIR: temporary } });
  expect(next).toMatchObject({ code: 0 });
  expect(await running()).toEqual([]);
});

test("what is no project, and a report to compare with that is none, is wrong usage", async () => {
  expect(await check(path.join(folder, "nowhere"))).toMatchObject({ code: 2, stderr: expect.stringContaining("There is no folder") });
  const place = await project("plain", { "millrace.ts": sound });
  expect(await check(place, "--against", path.join(place, "package.json"))).toMatchObject({ code: 2, stderr: expect.stringContaining("is no report") });
  expect(await check(place, "--only", "fat")).toMatchObject({ code: 2, stderr: expect.stringContaining('no check and no pipeline "fat"; there is fit') });
});
