// What a machine can see without running anything: types, format and lint, direction of dependencies, dead code.
import { spawnSync } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const checks = [
  ["types", "tsc", ["-b"]],
  ["types of examples/flights", "tsc", ["--noEmit", "-p", "examples/flights"]],
  ["types of examples/payments", "tsc", ["--noEmit", "-p", "examples/payments"]],
  ["format and lint", "biome", ["check", "--error-on-warnings", "."]],
  [
    "direction of dependencies",
    "depcruise",
    ["--config", ".dependency-cruiser.cjs", "packages/sdk/src", "packages/server/src", "packages/cli/src", "packages/console/src"],
  ],
  ["dead code", "knip", ["--no-progress"]],
];
let failed = 0;
for (const [what, tool, args] of checks) {
  const { status, stdout, stderr } = spawnSync(path.join(root, "node_modules/.bin", tool), args, { cwd: root, encoding: "utf8" });
  process.stdout.write(`${status === 0 ? "ok    " : "FAILED"} ${what}\n`);
  if (status !== 0) {
    failed++;
    process.stdout.write(`${stdout}${stderr}\n`);
  }
}
process.exit(failed === 0 ? 0 : 1);
