/** A sound project, as CI checks it; and what is no project. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { CheckReport } from "./result.js";
import { casesOf, check, project, sound } from "./testing.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-checked-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("a sound project passes, and says in JUnit, Markdown and JSON what was looked at", { timeout: 300_000 }, async () => {
  const place = await project(path.join(folder, "sound"), {
    "millrace.ts": sound,
    "sum.test.ts": 'import { test } from "node:test";\ntest("adds", () => {});\n',
  });
  const [junit, markdown] = [path.join(folder, "reports/check.xml"), path.join(folder, "reports/check.md")];
  const before = path.join(folder, "before.json");
  await writeFile(before, JSON.stringify({ commit: null, dirty: false, cases: [], pipelines: [{ name: "fit", metrics: { train_loss: 0.9 } }] }));
  const { code, stdout, stderr } = await check(place, ["--json", "--junit", junit, "--markdown", markdown, "--against", before]);
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

test("what is no project, and a report to compare with that is none, is wrong usage", async () => {
  expect(await check(path.join(folder, "nowhere"))).toMatchObject({ code: 2, stderr: expect.stringContaining("There is no folder") });
  const place = await project(path.join(folder, "plain"), { "millrace.ts": sound });
  expect(await check(place, ["--against", path.join(place, "package.json")])).toMatchObject({ code: 2, stderr: expect.stringContaining("is no report") });
  expect(await check(place, ["--only", "fat"])).toMatchObject({ code: 2, stderr: expect.stringContaining('no check and no pipeline "fat"; there is fit') });
});
