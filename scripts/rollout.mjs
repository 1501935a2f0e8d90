// Switches versions of an endpoint under load, forwards and back, with two server processes, and counts what failed and what was answered by a wrong version.
// `npm run rollout`, or `MILLRACE_ROLLOUT_SWITCHES=500 MILLRACE_ROLLOUT_CLIENTS=32 npm run rollout`.
import { spawnSync } from "node:child_process";
import path from "node:path";
import { root } from "./setup.mjs";

const { status } = spawnSync(path.join(root, "node_modules/.bin/vitest"), ["run", "packages/server/src/serving/switches.test.ts"], {
  cwd: root,
  stdio: "inherit",
  env: { MILLRACE_ROLLOUT_SWITCHES: "100", MILLRACE_ROLLOUT_CLIENTS: "64", ...process.env },
});
process.exit(status ?? 1);
