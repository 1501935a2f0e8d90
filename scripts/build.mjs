// Type-checks and builds every package; the server into few files; the console, where it is there, to static files.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { bundleServer } from "./bundle.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = (name) => path.join(root, "node_modules", ".bin", name);
const run = (command, args, cwd = root) => {
  const { status } = spawnSync(command, args, { cwd, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
};
run(bin("tsc"), ["-b"]);
await bundleServer(root);
if (existsSync(path.join(root, "packages/console/index.html"))) run(bin("vite"), ["build", "--logLevel", "warn"], path.join(root, "packages/console"));
