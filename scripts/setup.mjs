// Brings a checkout to where it can run: packages installed, code built. Does nothing that is done already.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));
const state = path.join(root, "node_modules", ".millrace-setup.json");

function run(command, args, what) {
  process.stderr.write(`${what}\n`);
  const started = Date.now();
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2], shell: false });
  if (status !== 0) throw new Error(`${what} failed${error ? `: ${error.message}` : ""}.`);
  process.stderr.write(`${what} took ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
}

function newest(folder, skip = /^(node_modules|dist|\..*)$/) {
  let time = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (skip.test(entry.name)) continue;
    const file = path.join(folder, entry.name);
    time = Math.max(time, entry.isDirectory() ? newest(file, skip) : statSync(file).mtimeMs);
  }
  return time;
}

export function setup() {
  const lock = createHash("sha256")
    .update(readFileSync(path.join(root, "package-lock.json")))
    .digest("hex");
  const before = existsSync(state) ? JSON.parse(readFileSync(state, "utf8")) : {};
  let built = before.built ?? 0;
  if (before.lock !== lock) {
    run("npm", ["ci", "--no-audit", "--no-fund"], "Installing packages");
    built = 0;
  }
  const source = newest(path.join(root, "packages"));
  if (built < source) {
    run(process.execPath, [path.join(root, "scripts", "build.mjs")], "Building");
    built = source;
  }
  mkdirSync(path.dirname(state), { recursive: true });
  writeFileSync(state, JSON.stringify({ lock, built }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    setup();
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
