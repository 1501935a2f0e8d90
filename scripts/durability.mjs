// Kills the server, and PostgreSQL under it, again and again while writers write, then looks whether all that was acknowledged is there, once.
// `npm run durability -- --kills 100 --writers 8 --seed 1`. The last line is the result as JSON; it fails when something was lost or doubled.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { root } from "./setup.mjs";

const { values: told } = parseArgs({
  options: { kills: { type: "string", default: "100" }, writers: { type: "string", default: "8" }, seed: { type: "string", default: "1" } },
});
const [kills, writers] = [Number(told.kills), Number(told.writers)];
const random = generator(Number(told.seed));
const folder = mkdtempSync(path.join(tmpdir(), "millrace-durability-"));
const port = await freePort();
const url = `http://127.0.0.1:${port}`;
const pointsInBatch = 20;
const logsInRun = 6;

/** What the server has acknowledged, and how often it had to be asked. */
const runs = [];
const versions = [];
const retries = { total: 0, creates: 0 };
const answers = new Map();
let stopped = false;

const server = { child: undefined, ready: [], pid: 0 };
process.once("exit", () => server.child?.kill("SIGKILL"));
process.once("SIGINT", () => process.exit(130));
try {
  await start();
  const began = performance.now();
  const writing = Array.from({ length: writers }, (_, i) => write(i));
  for (let kill = 1; kill <= kills; kill++) {
    const before = acknowledged();
    await delay(100 + random() * 400);
    while (acknowledged() < before + writers) await delay(20);
    await end(kill);
    if (kill % 10 === 0 || kill === kills) {
      process.stderr.write(`${kill} of ${kills} kills, ${acknowledged()} acknowledged writes, ${((performance.now() - began) / 1000).toFixed(0)} s\n`);
    }
  }
  stopped = true;
  await Promise.all(writing);
  const seconds = (performance.now() - began) / 1000;
  const found = await look();
  const ready = server.ready.slice(1).sort((a, b) => a - b);
  const counted = { runs: runs.length, versions: versions.length, ...total() };
  process.stdout.write(
    [
      `${kills} kills in ${seconds.toFixed(0)} s, ${writers} writers; ready again after ${at(ready, 0.5)} ms (p50), ${at(ready, 1)} ms at most`,
      `acknowledged: ${Object.entries(counted)
        .map(([what, count]) => `${count} ${what}`)
        .join(", ")}; ${retries.total} requests repeated`,
      `answers while it was away: ${[...answers].map(([what, count]) => `${what} ${count}`).join(", ") || "none"}`,
      `lost: ${found.lost.length}${found.lost
        .slice(0, 20)
        .map((one) => `\n  ${one}`)
        .join("")}`,
      `doubled: ${found.doubled.length}${found.doubled
        .slice(0, 20)
        .map((one) => `\n  ${one}`)
        .join("")}`,
      `made twice by a repeated create, as its answer was lost: ${found.twins} of ${retries.creates} repeated`,
      JSON.stringify({
        kills,
        acknowledged: acknowledged(),
        repeated: retries.total,
        lost: found.lost.length,
        doubled: found.doubled.length,
        twins: found.twins,
      }),
      "",
    ].join("\n"),
  );
  process.exitCode = found.lost.length + found.doubled.length === 0 ? 0 : 1;
} finally {
  stopped = true;
  await stop();
  rmSync(folder, { recursive: true, force: true });
}

// ------------------------------------------------------------------------------------------------ the server
async function start() {
  const began = performance.now();
  const args = [path.join(root, "packages/cli/dist/main.js"), "up", "--host", "127.0.0.1", "--port", String(port), "--data-dir", path.join(folder, "data")];
  const child = spawn(process.execPath, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, DATABASE_URL: undefined } });
  server.child = child;
  let said = "";
  child.stderr.on("data", (text) => {
    said = `${said}${text}`.slice(-5_000);
  });
  child.once("exit", (code) => {
    child.ended = true;
    if (code === null || code === 0) return;
    process.stderr.write(`The server ended by itself with ${code}:\n${said}\n`);
    process.exit(1);
  });
  const ready = new Promise((resolve) => {
    child.stdout.on("data", (text) => /is ready at/.test(String(text)) && resolve(undefined));
  });
  const late = new AbortController();
  await Promise.race([ready, delay(60_000, undefined, { signal: late.signal }).then(() => Promise.reject(new Error(`The server does not start: ${said}`)))]);
  late.abort();
  server.ready.push(Math.round(performance.now() - began));
}
/** Of three rounds one kills the server, one PostgreSQL too, one PostgreSQL first, so that the server meets its absence. */
async function end(round) {
  const postgres = Number(readFileSync(path.join(folder, "data/postgres/cluster/postmaster.pid"), "utf8").split("\n")[0]);
  if (round % 3 === 2) signal(postgres);
  if (round % 6 === 2) {
    // It starts PostgreSQL again by itself, and is left alive.
    await delay(random() * 500);
    return;
  }
  const gone = new Promise((resolve) => server.child.once("exit", resolve));
  if (!server.child.ended) server.child.kill("SIGKILL");
  if (round % 3 === 0) signal(postgres);
  if (!server.child.ended) await gone;
  await start();
}
function signal(pid) {
  try {
    process.kill(pid, "SIGKILL");
  } catch {}
}
async function stop() {
  const { child } = server;
  if (child === undefined || child.ended) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await gone;
}

// ----------------------------------------------------------------------------------------------- the writers
async function write(writer) {
  const model = `model ${writer}`;
  await once("POST", "registered-models/create", { name: model }).catch(() => {});
  for (let number = 0; !stopped; number++) {
    const op = `${writer}-${number}`;
    const { body, repeated } = await once("POST", "runs/create", { experiment_id: "0", start_time: number, run_name: op, tags: [{ key: "op", value: op }] });
    const run = { id: body.run.info.run_id, op, repeated, loss: [], one: [], params: {}, tags: { op }, files: {} };
    runs.push(run);
    const run_id = run.id;
    for (let log = 0; log < logsInRun && !stopped; log++) {
      const metrics = Array.from({ length: pointsInBatch }, (_, i) => ({
        key: "loss",
        value: random(),
        step: log * pointsInBatch + i,
        timestamp: 1_000 + log,
      }));
      const params = [{ key: `p${log}`, value: `${op} ${log}` }];
      await once("POST", "runs/log-batch", { run_id, metrics, params, tags: [{ key: `t${log}`, value: op }] });
      run.loss.push(...metrics);
      run.params[`p${log}`] = `${op} ${log}`;
      run.tags[`t${log}`] = op;
      const point = { key: "one", value: random(), step: log, timestamp: 2_000 };
      await once("POST", "runs/log-metric", { run_id, ...point });
      run.one.push(point);
      await once("POST", "runs/set-tag", { run_id, key: "last", value: String(log) });
      run.tags.last = String(log);
      const file = Buffer.from(Array.from({ length: 1 + Math.floor(random() * 4_000) }, () => Math.floor(random() * 256)));
      const name = `f${log}.bin`;
      await once("PUT", `${body.run.info.artifact_uri.replace("mlflow-artifacts:/", "")}/${name}`, file);
      run.files[name] = createHash("sha256").update(file).digest("hex");
    }
    const made = await once("POST", "model-versions/create", { name: model, source: `runs:/${run_id}/f0.bin`, run_id, tags: [{ key: "op", value: op }] });
    versions.push({ model, version: made.body.model_version.version, op, repeated: made.repeated });
  }
}
/** As MLflow's client does it: what is not answered, or answered with a fault of the server, is sent again as it was. */
async function once(method, route, given) {
  const create = /create$/.test(route);
  for (let attempt = 0; ; attempt++) {
    const answer = await send(method, route, given).catch(() => undefined);
    if (answer?.ok) return { body: method === "PUT" ? undefined : await answer.json().catch(() => undefined), repeated: attempt > 0 };
    if (answer !== undefined) {
      answers.set(answer.status, (answers.get(answer.status) ?? 0) + 1);
      if (![408, 429, 500, 502, 503, 504].includes(answer.status)) throw new Error(`${method} ${route}: ${answer.status} ${await answer.text()}`);
    }
    if (attempt === 0 && create) retries.creates++;
    retries.total++;
    if (attempt > 2_000) throw new Error(`${method} ${route} is not answered.`);
    await delay(10 + random() * 40);
  }
}
async function send(method, route, given) {
  if (method === "PUT") return fetch(`${url}/api/2.0/mlflow-artifacts/artifacts/${route}`, { method, body: given });
  const address = `${url}/api/2.0/mlflow/${route}`;
  if (method === "GET") return fetch(`${address}?${new URLSearchParams(given)}`);
  const answer = await fetch(address, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(given) });
  // The answer is only there when it is whole.
  const text = await answer.text();
  return new Response(text, { status: answer.status });
}

// --------------------------------------------------------------------------------------------------- the look
async function look() {
  const found = { lost: [], doubled: [], twins: 0 };
  for (let from = 0; from < runs.length; from += writers) await Promise.all(runs.slice(from, from + writers).map((run) => lookAtRun(run, found)));
  const acknowledgedRuns = new Map(runs.map((run) => [run.op, run]));
  for await (const { info, data } of pages("POST", "runs/search", { experiment_ids: ["0"], max_results: 1_000 }, "runs")) {
    const op = data.tags.find((tag) => tag.key === "op")?.value;
    const known = acknowledgedRuns.get(op);
    if (known === undefined || info.run_id === known.id) continue;
    if (known.repeated) found.twins++;
    else found.doubled.push(`run ${op}`);
  }
  for (let writer = 0; writer < writers; writer++) {
    const model = `model ${writer}`;
    const known = new Map(versions.filter((one) => one.model === model).map((one) => [one.op, one]));
    const there = new Map();
    for await (const one of pages("GET", "model-versions/search", { filter: `name = '${model}'`, max_results: 1_000 }, "model_versions")) {
      const op = one.tags.find((tag) => tag.key === "op").value;
      there.set(one.version, op);
      if (known.get(op)?.version === one.version) continue;
      if (known.get(op)?.repeated ?? true) found.twins++;
      else found.doubled.push(`version ${op}`);
    }
    for (const { op, version } of known.values()) if (there.get(version) !== op) found.lost.push(`version ${version} of ${model}`);
  }
  return found;
}
async function lookAtRun(run, found) {
  const answer = await send("GET", "runs/get", { run_id: run.id });
  if (answer.status !== 200) return void found.lost.push(`run ${run.op}`);
  const { data } = (await answer.json()).run;
  for (const [what, kept] of [
    ["params", run.params],
    ["tags", run.tags],
  ]) {
    const there = new Map(data[what].map(({ key, value }) => [key, value]));
    for (const [key, value] of Object.entries(kept)) if (there.get(key) !== value) found.lost.push(`${what} ${key} of run ${run.op}`);
  }
  for (const key of ["loss", "one"]) {
    const { metrics = [] } = await (await send("GET", "metrics/get-history", { run_id: run.id, metric_key: key })).json();
    const there = new Map();
    for (const point of metrics) there.set(identity(point), (there.get(identity(point)) ?? 0) + 1);
    for (const point of run[key]) {
      const count = there.get(identity(point)) ?? 0;
      if (count === 0) found.lost.push(`step ${point.step} of ${key} of run ${run.op}`);
      if (count > 1) found.doubled.push(`step ${point.step} of ${key} of run ${run.op}`);
    }
    if (metrics.length > run[key].length && metrics.length === there.size)
      found.doubled.push(`${metrics.length - run[key].length} unknown points of ${key} of run ${run.op}`);
  }
  for (const [name, digest] of Object.entries(run.files)) {
    const file = await fetch(`${url}/api/2.0/mlflow-artifacts/artifacts/0/${run.id}/artifacts/${name}`);
    const bytes = Buffer.from(await file.arrayBuffer());
    if (!file.ok || createHash("sha256").update(bytes).digest("hex") !== digest) found.lost.push(`file ${name} of run ${run.op}`);
  }
}
async function* pages(method, route, given, name) {
  for (let page_token = ""; ; ) {
    const page = await (await send(method, route, page_token === "" ? given : { ...given, page_token })).json();
    yield* page[name] ?? [];
    page_token = page.next_page_token ?? "";
    if (page_token === "") return;
  }
}

// --------------------------------------------------------------------------------------------------- counting
function total() {
  const sum = { points: 0, params: 0, tags: 0, files: 0 };
  for (const run of runs) {
    sum.points += run.loss.length + run.one.length;
    sum.params += Object.keys(run.params).length;
    sum.tags += Object.keys(run.tags).length;
    sum.files += Object.keys(run.files).length;
  }
  return sum;
}
function acknowledged() {
  const { points, params, tags, files } = total();
  return runs.length + versions.length + points + params + tags + files;
}
function identity({ key, value, step, timestamp }) {
  return `${key} ${value} ${step} ${timestamp}`;
}
function at(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
/** Mulberry32: the same seed kills at the same moments. */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port: free } = probe.address();
      probe.close(() => resolve(free));
    });
  });
}
