// Sets up what the tests need and runs them; the last line counts them.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { s3Server } from "./s3-server.mjs";
import { root, setup } from "./setup.mjs";

setup();
if (process.argv.length === 2) s3Server({ mayBuild: true });
const folder = mkdtempSync(path.join(tmpdir(), "millrace-test-"));
const results = path.join(folder, "results.json");
const names = process.argv.slice(2);
let passed = 0;
let failed = 0;
let skipped = 0;
if (names.length === 0) {
  const { status } = spawnSync(process.execPath, [path.join(root, "scripts/check.mjs")], { cwd: root, stdio: "inherit" });
  if (status === 0) passed++;
  else failed++;
}
const { status } = spawnSync(
  path.join(root, "node_modules/.bin/vitest"),
  ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${results}`, ...names],
  {
    cwd: root,
    stdio: "inherit",
  },
);
try {
  const report = JSON.parse(readFileSync(results, "utf8"));
  passed += report.numPassedTests;
  failed += report.numFailedTests + report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0).length;
  skipped += report.numPendingTests;
} catch {
  failed++;
}
rmSync(folder, { recursive: true, force: true });
if (status !== 0 && failed === 0) failed++;
process.stdout.write(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}\n`);
process.exit(failed === 0 ? 0 : 1);
