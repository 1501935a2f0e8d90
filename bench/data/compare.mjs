/**
 * Millrace beside Feast, DuckDB's SUMMARIZE, Great Expectations and pandera on the same rows: `npm run bench:data`.
 *
 *   --only join,online,checks,push   some of it
 *   --quick                          a short look: the smaller tables, shorter rounds
 *   --large                          also 30 million rows, of Millrace alone: does memory stay within its limit? Of these alone with --only ''
 *
 * Each tool runs alone, one after the other. Where there are two processors, servers run on one and what loads them on the other.
 */
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual, parseArgs } from "node:util";
import { register } from "tsx/esm/api";
import { setup } from "../../scripts/setup.mjs";
import { environment } from "../environment.mjs";
import { start } from "../tracking/servers.mjs";
import { checks } from "./checks.mjs";
import { large } from "./large.mjs";
import { names, project, requests, writePlanes } from "./planes.mjs";
import { load, memory, ms, table, times } from "./table.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const here = (file) => fileURLToPath(new URL(file, import.meta.url));
const { values: options } = parseArgs({ options: { only: { type: "string" }, quick: { type: "boolean" }, large: { type: "boolean" } } });
const only = options.only?.split(",").filter(Boolean) ?? ["join", "online", "checks", "push"];
setup();
register();
const { openDuckDb } = await import("../../packages/server/src/platform/duckdb.ts");
const python = (name) => path.join(environment(name, here(`peers/${name}.txt`)), "python");
const twoCores = process.platform === "linux" && cpus().length >= 2;
const pinned = (core, program, args) => (twoCores ? ["taskset", ["-c", String(core), program, ...args]] : [program, args]);

// PostgreSQL's own user, where there is one, reaches the folders of the servers below it.
const folder = mkdtempSync(path.join(tmpdir(), "millrace-data-"));
chmodSync(folder, 0o755);
const duckdb = openDuckDb({ memoryMb: 1_000, threads: 2, spillFolder: path.join(folder, "spill") });
const rows = [];
const tell = (row) => {
  rows.push({ load: load(), ...row });
  process.stderr.write(`${JSON.stringify(rows.at(-1))}\n`);
};

try {
  const parts = { join: compareJoins, online: compareReads, checks: compareChecks, push: measurePushes };
  for (const name of only) {
    if (parts[name] === undefined) throw new Error(`There is no part "${name}". There are ${Object.keys(parts).join(", ")}.`);
    await parts[name]();
  }
  if (options.large) await large({ folder, lines, root, here, tell });
  process.stdout.write(`\n${table(rows)}\n`);
} finally {
  await duckdb.close();
  rmSync(folder, { recursive: true, force: true });
}

/** The lines of JSON that a program prints. */
async function lines(program, args, env = {}) {
  const child = spawn(program, args, { cwd: root, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let [said, complained] = ["", ""];
  child.stdout.on("data", (text) => {
    said += text;
  });
  child.stderr.on("data", (text) => {
    complained = `${complained}${text}`.slice(-4_000);
  });
  const status = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} failed:\n${complained}`);
  return said
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line));
}
function measurement(file, args) {
  return lines(process.execPath, ["--conditions=millrace-source", "--import", "tsx", here(file), ...args]);
}

async function compareJoins() {
  for (const size of options.quick ? [100_000] : [100_000, 1_000_000]) {
    const [own] = await measurement("join.mjs", ["--folder", folder, "--as-of", "event_time", String(size)]);
    const [feast] = await lines(python("feast"), [
      here("peers/feast_store.py"),
      "join",
      folder,
      `${folder}/asked-${size}.parquet`,
      `${folder}/feast-${size}.parquet`,
    ]);
    const features = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib", "n", "late", "dep_delay", "arr_delay"];
    const differ = features.map((name) => `count(*) filter (where a."${name}" is distinct from b."${name}")`).join(" + ");
    const [same] = await duckdb.rows(
      `select (${differ})::double as different, count(*)::double as n from read_parquet('${own.out}') a full join read_parquet('${feast.out}') b using (id)`,
    );
    tell({
      work: `point-in-time join of ${size.toLocaleString("en")} rows, 12 features`,
      millrace: `${ms(own.seconds * 1_000)}, ${memory(own.peak_rss_bytes)}`,
      peer: `Feast ${ms(feast.seconds * 1_000)}, ${memory(feast.peak_rss_bytes)}`,
      ratio: times(feast.seconds / own.seconds),
      goal: size > 100_000 ? "20 times" : "10 times",
      equal:
        same.n === size && same.different === 0
          ? `all ${(size * features.length).toLocaleString("en")} cells equal, bit by bit`
          : `${same.different} cells differ`,
    });
  }
}

async function compareReads() {
  const flights = Array.from({ length: 12 }, (_, m) => `'${root}examples/flights/data/flights-2013-${String(m + 1).padStart(2, "0")}.parquet'`).join(", ");
  const { file, planes } = await writePlanes(duckdb, flights, folder);
  const [{ repository }] = await lines(python("feast"), [here("peers/feast_store.py"), "repository", folder, file], { FEATURES: JSON.stringify(names) });
  const feast = path.join(path.dirname(python("feast")), "feast");
  const systems = [
    {
      ...{ name: "millrace", route: "/api/v1/feature-services/plane_features/online" },
      command: (own, port) => pinned(0, process.execPath, [`${root}bin/millrace`, "up", "--port", String(port), "--data-dir", path.join(own, "data")]),
      prepare: (url) => bringPlanes(url, file),
      read: (answer) => names.map((name) => answer.features[name]),
    },
    {
      ...{ name: "feast", route: "/get-online-features" },
      command: (_own, port) =>
        pinned(0, feast, ["-c", repository, "serve", "--host", "127.0.0.1", "--port", String(port), "--no-access-log", "--max-requests", "0"]),
      prepare: async () => {},
      read: (answer) => names.map((name) => answer.results[answer.metadata.feature_names.indexOf(name)].values),
    },
  ];
  const measured = {};
  for (const system of systems) {
    const own = path.join(folder, `server-${system.name}`);
    mkdirSync(own);
    const server = await start(system, own);
    try {
      await system.prepare(server.url);
      const found = { values: [] };
      for (let i = 0; i < planes.length; i += 500) {
        const some = planes.slice(i, i + 500);
        const body = requests(some, some.length, 1)[system.name][0];
        // In their order, so that all are asked for.
        if (system.name === "feast") body.entities.plane = some;
        else body.request.plane = some;
        const answer = await fetch(server.url + system.route, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
        if (!answer.ok) throw new Error(await answer.text());
        found.values.push(system.read(await answer.json()));
      }
      for (const keys of [1, 100]) {
        const bodies = path.join(folder, `requests-${system.name}-${keys}.json`);
        writeFileSync(bodies, JSON.stringify(requests(planes, keys)[system.name]));
        for (const clients of [1, 16]) {
          const args = [here("load.mjs"), "--url", server.url, "--path", system.route, "--bodies", bodies, "--clients", String(clients)];
          const [line] = await lines(...pinned(1, process.execPath, [...args, "--seconds", options.quick ? "2" : "8"]));
          found[`${keys}/${clients}`] = { ...line, load: load() };
          process.stderr.write(`${system.name}: ${JSON.stringify({ keys, ...found[`${keys}/${clients}`] })}\n`);
        }
      }
      measured[system.name] = found;
    } finally {
      await server.stop();
    }
  }
  const { millrace, feast: peer } = measured;
  const cells = planes.length * names.length;
  const equal = isDeepStrictEqual(millrace.values, peer.values) ? `all ${cells.toLocaleString("en")} values equal` : "values differ";
  for (const keys of [1, 100]) {
    for (const clients of [1, 16]) {
      const [a, b] = [millrace[`${keys}/${clients}`], peer[`${keys}/${clients}`]];
      const said = (one) => `${one.per_s.toLocaleString("en")}/s, p50 ${ms(one.p50_ms)}, p99 ${ms(one.p99_ms)}`;
      const goal = clients === 16 ? "15 times, p99 < 5 ms" : "15 times";
      tell({
        work: `12 features of ${keys} key${keys > 1 ? "s" : ""}, ${clients} client${clients > 1 ? "s" : ""}`,
        millrace: said(a),
        peer: `feast serve ${said(b)}`,
        ratio: times(a.per_s / b.per_s),
        goal,
        equal,
        load: `${a.load} and ${b.load}`,
      });
    }
  }
}

async function bringPlanes(url, file) {
  const send = async (method, route, type, body) => {
    const answer = await fetch(url + route, { method, ...(body === undefined ? {} : { headers: { "content-type": type }, body }) });
    if (!answer.ok) throw new Error(`${route}: ${await answer.text()}`);
  };
  await send("PUT", "/api/v1/projects/planes", "application/json", JSON.stringify(project(folder)));
  await send("PUT", "/api/v1/datasets/planes/files/planes.parquet", "application/octet-stream", readFileSync(file));
  await send("POST", "/api/v1/feature-views/planes/materialize");
}

async function compareChecks() {
  for (const size of options.quick ? [1] : [1, 9]) {
    const own = Object.fromEntries(
      [...(await measurement("validation.mjs", ["--times", String(size), "--folder", folder]))].map((line) => [`${line.bench}/${line.system}`, line]),
    );
    const [statistics, summarize] = [own["statistics/millrace"], own["statistics/duckdb summarize"]];
    const millions = statistics.rows.toLocaleString("en");
    tell({
      work: `statistics of ${millions} flights, 19 columns`,
      millrace: `${ms(statistics.ms)}, ${memory(statistics.peak_rss_bytes)}`,
      peer: `SUMMARIZE ${ms(summarize.ms)}`,
      ...{ ratio: times(summarize.ms / statistics.ms), goal: "as fast, with histograms and domains", equal: "" },
    });
    const asked = JSON.stringify({ passing: checks(), strict: checks(true) });
    for (const tool of ["great_expectations", "pandera"]) {
      const [peer] = await lines(python("checks"), [here("peers/checks.py"), tool, statistics.file, asked]);
      for (const [kind, said] of [
        ["checks", "read from the file"],
        ["checks_kept", "of a version, whose statistics are kept"],
      ]) {
        const mine = own[`${kind}/millrace`];
        const equal = isDeepStrictEqual(mine.verdicts, peer.verdicts) ? `all ${peer.checks * 2} verdicts equal` : "verdicts differ";
        tell({
          work: `${mine.checks} checks of ${millions} flights, ${said}`,
          millrace: ms(mine.ms),
          peer: `${tool}, in memory ${ms(peer.ms)}, ${memory(peer.peak_rss_bytes)}`,
          ...{ ratio: times(peer.ms / mine.ms), goal: "under 0.1 s", equal },
        });
      }
    }
  }
}

async function measurePushes() {
  const seconds = options.quick ? "3" : "10";
  for (const line of await lines(process.execPath, [here("push.mjs"), "--seconds", seconds])) {
    const said = `${line.per_s.toLocaleString("en")}/s, p50 ${ms(line.p50_ms)}, p99 ${ms(line.p99_ms)}`;
    if (line.bench === "online_read") tell({ work: `12 windows of ${line.keys} card${line.keys > 1 ? "s" : ""}, ${line.clients} clients`, millrace: said });
    else tell({ work: `a push and a read of it, ${line.asked_per_s}/s`, millrace: said, goal: "p99 < 20 ms", equal: "each push seen by its read" });
  }
}
