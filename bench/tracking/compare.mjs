/**
 * Millrace beside MLflow's own server, one after the other on this machine: `npm run bench:tracking`.
 *
 *   --only millrace|mlflow   one of them
 *   --quick                  a short look: fewer and shorter rounds
 *   --million                also a search over 1,000,000 runs of Millrace (it takes some minutes to make them)
 *
 * MLflow keeps its data in SQLite, its default, and is measured with one worker and as it starts by itself: each answer of its several workers
 * waits about 40 ms for TCP where a connection is kept open.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { setup } from "../../scripts/setup.mjs";
import { makeMillion } from "./million.mjs";
import { millrace, mlflow, mlflowStore, python, start } from "./servers.mjs";
import { table } from "./table.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const { values: options } = parseArgs({ options: { only: { type: "string" }, quick: { type: "boolean" }, million: { type: "boolean" } } });
const idleMs = 4_000;
const runs = options.quick ? 2_000 : 10_000;
const effort = options.quick
  ? ["--seconds", "1", "--rounds", "1", "--clients", "1,8", "--mib", "50"]
  : ["--seconds", "3", "--rounds", "3", "--clients", "1,8,32", "--mib", "200"];

setup();
const servers = [millrace, mlflow("MLflow, 1 worker", ["--workers", "1"]), mlflow("MLflow", [])].filter(
  ({ name }) => options.only === undefined || name.toLowerCase().startsWith(options.only),
);
const results = [];
for (const server of servers) results.push({ name: server.name, lines: await measure(server) });
process.stdout.write(`\n${table(results)}\n`);

async function measure(server) {
  const folder = mkdtempSync(path.join(tmpdir(), "millrace-bench-"));
  try {
    const lines = [];
    const tell = (line) => {
      lines.push(line);
      process.stderr.write(`${server.name}: ${JSON.stringify(line)}\n`);
    };
    // The first start makes the data; what counts is every later one.
    const first = await start(server, folder);
    await first.stop();
    if (server !== millrace) fill(folder);
    const again = await start(server, folder);
    await delay(idleMs);
    tell({ test: "start", ready_s: Math.round(again.readyMs / 10) / 100, ...again.memory() });
    try {
      await load(again.url, tell);
      tell({ test: "memory-after", ...again.memory() });
      if (options.million && server === millrace) {
        await makeMillion(path.join(folder, "data"));
        await load(again.url, (line) => tell({ ...line, test: `million-${line.test}` }), ["--tests", "search", "--runs", "1000000"]);
      }
    } finally {
      await again.stop();
    }
    return lines;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function fill(folder) {
  const { status } = spawnSync(python(), [path.join(here, "seed.py"), mlflowStore(folder), path.join(folder, "artifacts"), String(runs)], {
    stdio: ["ignore", 2, 2],
  });
  if (status !== 0) throw new Error("MLflow's store could not be filled.");
}

async function load(url, tell, more = []) {
  const tests = "create,batch1,batch100,batch1000,client,search,history,artifact,registry";
  const args = [path.join(here, "load.mjs"), "--url", url, "--tests", tests, "--runs", String(runs), "--python", python(), ...effort, ...more];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let rest = "";
  for await (const text of child.stdout) {
    const lines = `${rest}${text}`.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) tell(JSON.parse(line));
  }
}
