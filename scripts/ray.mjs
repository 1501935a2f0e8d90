// `npm run test:ray`: steps on a real Ray cluster, whose head and workers are hosts of their own. Installs Ray once, into .millrace/ray.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { root, setup } from "./setup.mjs";

const version = "2.60.0";
setup();
const folder = path.join(root, ".millrace", "ray");
if (!existsSync(path.join(folder, "bin", "ray"))) {
  process.stderr.write(`Installing Ray ${version} into .millrace/ray\n`);
  execFileSync(process.env.PYTHON ?? "python3", ["-m", "venv", folder], { stdio: ["ignore", 2, 2] });
  execFileSync(path.join(folder, "bin", "python"), ["-m", "pip", "install", "--quiet", `ray[default]==${version}`], { stdio: ["ignore", 2, 2] });
}
const { status } = spawnSync(path.join(root, "node_modules/.bin/vitest"), ["run", "--config", "vitest.clusters.config.ts", "ray"], {
  cwd: root,
  stdio: "inherit",
});
process.exit(status ?? 1);
