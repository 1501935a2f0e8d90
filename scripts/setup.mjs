// Brings a checkout to where it can run: packages installed, code built. Does nothing that is done already.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));
const state = path.join(root, ".millrace", "setup.json");

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

/** Whether node_modules holds what the lock file says, by the note that npm leaves there. What other platforms need may be missing. */
function installed(lock) {
  const note = path.join(root, "node_modules", ".package-lock.json");
  if (!existsSync(note)) return false;
  const there = JSON.parse(readFileSync(note, "utf8")).packages;
  return Object.entries(lock.packages).every(
    ([name, { version, link, optional, peer }]) => !name.startsWith("node_modules/") || link || optional || peer || there[name]?.version === version,
  );
}

/** One set-up of a checkout at a time: the others wait, and find it done. */
function alone(work) {
  const lock = path.join(root, ".millrace", "setup.lock");
  mkdirSync(path.dirname(lock), { recursive: true });
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      const other = Number(readFileSync(lock, { encoding: "utf8" }));
      if (!isAlive(other)) rmSync(lock, { force: true });
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    }
  }
  try {
    work();
  } finally {
    rmSync(lock, { force: true });
  }
}
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return pid > 0;
  } catch (error) {
    return error.code === "EPERM";
  }
}

function isDone() {
  if (!installed(JSON.parse(readFileSync(path.join(root, "package-lock.json"), "utf8")))) return { packages: false, built: false };
  const before = existsSync(state) ? JSON.parse(readFileSync(state, "utf8")) : {};
  const built = existsSync(path.join(root, "packages/cli/dist/main.js")) && (before.built ?? 0) >= newest(path.join(root, "packages"));
  return { packages: true, built };
}

export function setup() {
  if (isDone().built) return;
  alone(() => {
    if (!isDone().packages) run("npm", ["ci", "--no-audit", "--no-fund"], "Installing packages");
    const source = newest(path.join(root, "packages"));
    if (!isDone().built) run(process.execPath, [path.join(root, "scripts", "build.mjs")], "Building");
    writeFileSync(state, JSON.stringify({ built: source }));
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    setup();
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
