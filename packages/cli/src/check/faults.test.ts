/** Each fault of a project is found, and named for what it is. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { CheckReport } from "./result.js";
import { casesOf, check, project, sound, training } from "./testing.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-checked-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

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
  definitions: [measured, unwritten, ...["missing", "nan", "flat"].map((fault) => check({ run: fit, artifacts: asked.artifacts, name: fault, params: { fault } })), check({ ...asked, name: "weak", params: { fault: "weak" } })],
});
`;

test("each fault is found and named: types, tests, a missing artifact, NaN, a loss that stays, ten rows not learnt, a table without its column", {
  timeout: 300_000,
}, async () => {
  const place = await project(path.join(folder, "faulty"), {
    "millrace.ts": faulty,
    "copy.mjs":
      'import { cpSync, statSync, readdirSync } from "node:fs";\nconst [, , from, to] = process.argv;\ncpSync(statSync(from).isDirectory() ? from + "/" + readdirSync(from)[0] : from, to);\n',
    "sum.test.ts": 'import { test } from "node:test";\ntest("adds", () => { throw new Error("two and two are five"); });\n',
  });
  const { code, stdout, stderr } = await check(place, ["--json"]);
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
    "flat: loss falls: train_loss": "it does not fall: from 0.69 to 0.69 over 12 values",
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
  const place = await project(path.join(folder, "broken"), { "millrace.ts": sound.replace('"points", columns: { x', '"1points", columns: { x') });
  const { code, stdout } = await check(place, ["--only", "fit"]);
  expect(code).toBe(1);
  expect(stdout).toMatch(/FAILED {3}definitions · .*millrace\.ts:\d+: "1points" can't name a schema/);
  await writeFile(
    path.join(place, "millrace.ts"),
    sound.replace('step: "train", rows', 'step: "trains", rows').replace('files: ["weights.json"]', "minRows: 3"),
  );
  const named = await check(place, ["--only", "fit"]);
  expect(named.stdout).toContain('the check "fit": there is no step "trains"; is "train" meant?');
  expect(named.stdout).toContain('the check "fit": "minRows" is nothing that a model has, as "train" gives it by "model"');
});
