// Kills workers among the steps of a run, again and again, and looks whether the run ends as an undisturbed one.
// `npm run chaos`, or `MILLRACE_CHAOS_KILLS=100 MILLRACE_CHAOS_SEED=7 npm run chaos`.
import { spawnSync } from "node:child_process";
import path from "node:path";
import { root } from "./setup.mjs";

const { status } = spawnSync(path.join(root, "node_modules/.bin/vitest"), ["run", "packages/server/src/pipelines/chaos.test.ts"], {
  cwd: root,
  stdio: "inherit",
  env: { MILLRACE_CHAOS_KILLS: "20", ...process.env },
});
process.exit(status ?? 1);
