/** A project's own unit tests, by whatever they are written for. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { collector } from "./result.js";
import { unitTests } from "./unit.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-unit-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function tested(name: string, files: Record<string, string>) {
  const place = path.join(folder, name);
  for (const [file, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(place, file)), { recursive: true });
    await writeFile(path.join(place, file), text);
  }
  const found = collector(() => {});
  await unitTests(place, found, new AbortController().signal);
  return found.cases.map(({ name: of, state, message, details }) => ({ of, state, message, details: details?.join("\n") }));
}
const python = (body: string) => `import unittest\n\n\nclass Steps(unittest.TestCase):\n    def test_sum(self):\n        ${body}\n`;

test("the script of package.json is the tests, whatever files there are", async () => {
  const manifest = (test: string) => JSON.stringify({ type: "module", scripts: { test } });
  expect(await tested("script", { "package.json": manifest("node -e 'console.log(3 + \" passed\")'"), "a.test.js": "throw 1;" })).toMatchObject([
    { of: "npm test", state: "passed", message: "3 passed" },
  ]);
  expect(await tested("broken", { "package.json": manifest("node -e 'console.log(\"the sum is wrong\"); process.exit(3)'") })).toMatchObject([
    { of: "npm test", state: "failed", message: expect.stringContaining("ended with 3"), details: expect.stringContaining("the sum is wrong") },
  ]);
});

test("tests in Python are run with the project's modules at hand", async () => {
  const files = {
    "steps.py": "def add(a, b):\n    return a + b\n",
    "package.json": JSON.stringify({ scripts: { test: 'echo "Error: no test specified" && exit 1' } }),
  };
  const passes = await tested("python", { ...files, "test_steps.py": python("import steps; self.assertEqual(steps.add(2, 2), 4)") });
  expect(passes).toMatchObject([{ of: "tests in Python", state: "passed" }]);
  const fails = await tested("wrong", { ...files, "test_steps.py": python("import steps; self.assertEqual(steps.add(2, 2), 5)") });
  expect(fails).toMatchObject([{ of: "tests in Python", state: "failed", details: expect.stringContaining("4 != 5") }]);
});

test("a runner that is not there is told, and so is that there are no tests", async () => {
  expect(await tested("vitest", { "a.test.ts": 'import { test } from "vitest";\n' })).toMatchObject([
    { of: "tests of vitest", state: "failed", message: expect.stringContaining("npm install --save-dev vitest") },
  ]);
  expect(await tested("none", { "steps.py": "" })).toMatchObject([{ of: "tests", state: "skipped" }]);
});
