/** 30 million rows: ingested by a server with their statistics and checks, and joined. What matters is the memory that it takes. */
import { createReadStream, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { stat } from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import { start } from "../tracking/servers.mjs";
import { schema } from "./checks.mjs";
import { memory, ms } from "./table.mjs";

const memoryMb = 1_000;
const copies = 90;

export async function large({ folder, lines, root, here, tell }) {
  const node = (file, args) => lines(process.execPath, ["--conditions=millrace-source", "--import", "tsx", here(file), ...args]);
  const limit = `within ${memory(memoryMb * 1e6)} of DuckDB`;
  await node("validation.mjs", ["--times", String(copies), "--folder", folder, "--make"]);
  for (const line of await node("validation.mjs", ["--times", String(copies), "--folder", folder])) {
    const names = { statistics: "statistics of", checks: "40 checks, read from the file, of", checks_kept: "40 checks of a version with kept statistics, of" };
    tell({ work: `${names[line.bench]} ${line.rows.toLocaleString("en")} rows`, millrace: `${ms(line.ms)}, ${memory(line.peak_rss_bytes)}`, goal: limit });
  }
  const file = path.join(folder, `flights-${copies}.parquet`);
  tell({
    work: `ingestion of ${copies * 336_776} rows, ${memory((await stat(file)).size)}, by a server, with statistics and checks`,
    ...(await ingest(file, folder, root)),
    goal: limit,
  });
  rmSync(file);
  await node("join.mjs", ["--folder", folder, "--make", String(30_000_000)]);
  const [join] = await node("join.mjs", ["--folder", folder, String(30_000_000)]);
  tell({ work: "point-in-time join of 30,000,000 rows", millrace: `${ms(join.seconds * 1_000)}, ${memory(join.peak_rss_bytes)}`, goal: limit });
}

async function ingest(file, folder, root) {
  const own = path.join(folder, "server-large");
  mkdirSync(own);
  const command = (_folder, port) => {
    const limits = [`MILLRACE_DUCKDB_MEMORY=${memoryMb}MB`, "MILLRACE_DUCKDB_THREADS=2"];
    return ["env", [...limits, process.execPath, `${root}bin/millrace`, "up", "--port", String(port), "--data-dir", path.join(own, "data")]];
  };
  const server = await start({ command }, own);
  try {
    const project = {
      ...{ apiVersion: "millrace/v1", name: "flights", files: [], folder },
      ...Object.fromEntries(["entities", "featureViews", "featureServices", "pipelines", "endpoints", "monitors", "triggers"].map((kind) => [kind, []])),
      datasets: [{ name: "flights", mode: "append", schema: "flights" }],
      schemas: [schema()],
    };
    const applied = await fetch(`${server.url}/api/v1/projects/flights`, {
      ...{ method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify(project) },
    });
    if (!applied.ok) throw new Error(await applied.text());
    const began = performance.now();
    await new Promise((resolve, reject) => {
      const headers = { "content-type": "application/octet-stream" };
      const request = http.request(`${server.url}/api/v1/datasets/flights/files/flights.parquet`, { method: "PUT", headers }, (answer) => {
        let said = "";
        answer.on("data", (part) => {
          said += part;
        });
        answer.on("end", () => (answer.statusCode === 201 ? resolve() : reject(new Error(`${answer.statusCode} ${said.slice(0, 500)}`))));
      });
      request.on("error", reject);
      createReadStream(file).pipe(request);
    });
    return { millrace: `${ms(performance.now() - began)}, ${memory(peakOf(own))}` };
  } finally {
    await server.stop();
  }
}

/** The most that the server's own process ever held (`VmHWM`). PostgreSQL's are others. */
function peakOf(folder) {
  let peak = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name))) {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      if (!command.includes("bin/millrace") || !command.includes(folder)) continue;
      const told = /^VmHWM:\s+([0-9]+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
      peak = Math.max(peak, Number(told?.[1] ?? 0) * 1_024);
    } catch {
      // It ended in between.
    }
  }
  return peak;
}
