/** Servers that are compared: started on an address of this machine, asked until they answer, measured, ended with all that they started. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { environment } from "../environment.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const here = fileURLToPath(new URL(".", import.meta.url));
const startMs = 180_000;

export const millrace = {
  name: "Millrace",
  command: (folder, port) => [path.join(root, "bin/millrace"), ["up", "--port", String(port), "--data-dir", path.join(folder, "data")]],
};
export const mlflow = (name, more) => ({
  name,
  command: (folder, port) => {
    const store = ["--backend-store-uri", mlflowStore(folder), "--artifacts-destination", path.join(folder, "artifacts")];
    return [path.join(installed(), "mlflow"), ["server", "--host", "127.0.0.1", "--port", String(port), ...store, ...more]];
  },
});
export const mlflowStore = (folder) => `sqlite:///${folder}/mlflow.db`;
/** MLflow in an environment of its own. */
const installed = () => environment("mlflow", path.join(here, "requirements.txt"));
export const python = () => path.join(installed(), "python");

const running = new Set();
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, async () => {
    await Promise.all([...running].map(end));
    process.exit(1);
  });
}

/** Resolves when it answers at `ready`. `readyMs` counts from the start of its process. */
export async function start({ command, env: more = {}, ready = "/health" }, folder) {
  const port = await freePort();
  const [program, args] = command(folder, port);
  const url = `http://127.0.0.1:${port}`;
  const began = performance.now();
  const env = { ...process.env, MLFLOW_DISABLE_TELEMETRY: "true", DATABASE_URL: "", ...more };
  const child = spawn(program, args, { cwd: folder, env, stdio: ["ignore", "ignore", "pipe"] });
  running.add(child.pid);
  let said = "";
  child.stderr.on("data", (text) => {
    said = `${said}${text}`.slice(-2_000);
  });
  while (
    !(await fetch(`${url}${ready}`).then(
      (answer) => answer.ok,
      () => false,
    ))
  ) {
    if (child.exitCode !== null || performance.now() - began > startMs) throw new Error(`${program} does not answer:\n${said}`);
    await delay(25);
  }
  return {
    url,
    readyMs: performance.now() - began,
    memory: () => memory(child.pid),
    cpu: () => cpu(child.pid),
    stop: () => end(child.pid),
  };
}

async function end(pid) {
  const all = tree(pid);
  process.kill(pid, "SIGTERM");
  for (const until = performance.now() + 15_000; all.some(isAlive) && performance.now() < until; ) await delay(50);
  for (const one of all.filter(isAlive)) process.kill(one, "SIGKILL");
  running.delete(pid);
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The process and all below it. */
function tree(pid) {
  const children = new Map();
  for (const name of readdirSync("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // It ended in between.
    }
  }
  const all = [pid];
  for (const one of all) all.push(...(children.get(one) ?? []));
  return all;
}

/** Seconds that it has computed, and that all below it have: PostgreSQL is its child. */
function cpu(pid) {
  const [own = 0, ...others] = tree(pid).map((one) => {
    try {
      const stat = readFileSync(`/proc/${one}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return (Number(fields[11]) + Number(fields[12])) / 100;
    } catch {
      // It ended in between.
      return 0;
    }
  });
  return { own, below: others.reduce((sum, one) => sum + one, 0) };
}

/** MiB of all its processes: what they share is counted once (proportional set size) and once for each (resident set size). */
function memory(pid) {
  const sums = { pss: 0, rss: 0 };
  for (const one of tree(pid)) {
    try {
      const rollup = readFileSync(`/proc/${one}/smaps_rollup`, "utf8");
      const of = (name) => Number(new RegExp(`^${name}:\\s+([0-9]+)`, "m").exec(rollup)?.[1] ?? 0) / 1024;
      sums.pss += of("Pss");
      sums.rss += of("Rss");
    } catch {
      // It ended in between.
    }
  }
  return { pss: Math.round(sums.pss), rss: Math.round(sums.rss) };
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
