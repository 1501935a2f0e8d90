/**
 * Millrace beside FastAPI with onnxruntime, MLServer, BentoML and `mlflow models serve`, with the same ONNX models: `npm run bench:serving`.
 *
 *   --peers fastapi,mlserver,bentoml,mlflow   beside which; none with ''
 *   --models trees100,trees300                100 trees with 20 features, 300 with 100
 *   --quick                                   a short look: one pair of short windows
 *   --json results.json                       also as JSON
 *
 * The server has one processor and what loads it another. Windows come in pairs, one of each server after the other; what is told are medians, of the
 * ratios within pairs. Each answer is compared with the others' first. What a server still has to do when a window has ended, it does in a pause before the next.
 */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { setup } from "../../scripts/setup.mjs";
import { ms, table, times } from "../data/table.mjs";
import { start } from "../tracking/servers.mjs";
import { binaryRequest, bring, grpcMessages, millrace } from "./millrace.mjs";
import { models, peers } from "./peers.mjs";
import { base64, batches, line, median, middle, pinned, window } from "./windows.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const here = (file) => fileURLToPath(new URL(file, import.meta.url));
const { values: options } = parseArgs({
  options: {
    peers: { type: "string", default: Object.keys(peers).join(",") },
    models: { type: "string", default: "trees100,trees300" },
    quick: { type: "boolean" },
    json: { type: "string" },
  },
});
const beside = options.peers.split(",").filter(Boolean);
const unknown = beside.find((name) => peers[name] === undefined);
if (unknown !== undefined) throw new Error(`There is no peer "${unknown}". There are ${Object.keys(peers).join(", ")}.`);
const [seconds, pairs] = options.quick ? [1, 1] : [4, 5];
const cases = [
  { rows: 1, clients: 1 },
  { rows: 1, clients: 16 },
  { rows: 1, clients: 64 },
  { rows: 256, clients: 16 },
];

setup();
// PostgreSQL's own user, where there is one, reaches the folders of the servers below it.
const folder = mkdtempSync(path.join(tmpdir(), "millrace-serving-"));
chmodSync(folder, 0o755);
const rows = [];
const results = [];
const tell = (row, measured) => {
  rows.push(row);
  results.push({ ...row, ...measured });
  process.stderr.write(`${JSON.stringify(row)}\n`);
};

try {
  for (const model of models(path.join(root, ".millrace/bench/serving-models-made"))) {
    if (options.models.split(",").includes(model.name)) await measureModel(model);
  }
  process.stdout.write(`\n${table(rows)}\n`);
  if (options.json !== undefined) writeFileSync(options.json, JSON.stringify({ at: new Date().toISOString(), seconds, pairs, results }, null, 2));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function measureModel(model) {
  const asked = JSON.parse(readFileSync(path.join(model.folder, "rows.json"), "utf8"));
  const own = await started(millrace, model);
  try {
    await bring(own.url, model.folder, folder);
    await check(own, millrace, asked);
    for (const name of beside) {
      const peer = peers[name];
      const server = await started(peer, model);
      try {
        await check(server, peer, asked);
        for (const one of cases) {
          const [mine, theirs] = await inPairs(
            () => ask(own.url, one, requestsOf(millrace, asked.rows, one.rows)),
            () => ask(server.url, one, requestsOf(peer, asked.rows, one.rows)),
          );
          tellPair(model, one, "", mine, { name: peer.name, ...theirs }, peer === peers.fastapi ? goalOf(one) : "");
        }
      } finally {
        await server.stop();
      }
    }
    for (const size of [1, 256]) {
      const one = { rows: size, clients: 16 };
      const [mine, theirs] = await inPairs(
        () => ask(own.url, one, binaryRequests(asked.rows, size)),
        () => alone(model, size),
      );
      tellPair(model, one, ", as binary tensors", mine, { name: "ONNX Runtime alone in Node", ...theirs }, size === 256 ? "0.7 times" : "");
    }
    const { port } = new URL(own.url);
    for (const clients of [1, 16, 64]) {
      const one = { rows: 1, clients };
      const found = median(await repeated(() => ask(`http://127.0.0.1:${Number(port) + 1}`, one, grpcRequests(asked.rows))));
      tell({ work: workOf(model, one, ", gRPC"), millrace: said(found), goal: clients > 1 ? "6,000/s" : "" }, { millrace: found });
    }
  } finally {
    await own.stop();
  }
}

function started(system, model) {
  const own = path.join(folder, `${system.name.replaceAll(" ", "-")}-${model.name}`);
  mkdirSync(own);
  const command = (at, port) => pinned(0, system.command(at, port, model.folder));
  return start(
    { command, ...(system.env === undefined ? {} : { env: system.env(model.folder) }), ...(system.ready === undefined ? {} : { ready: system.ready }) },
    own,
  );
}

/** What it answers is what the model said when it was trained, to what 32 bits leave of it. */
async function check({ url }, system, { rows: all, told }) {
  const some = all.slice(0, 64);
  const answer = await fetch(url + system.path(), { method: "POST", headers: system.headers, body: JSON.stringify(system.body(some)) });
  if (!answer.ok) throw new Error(`${system.name}: ${await answer.text()}`);
  const found = system.read(await answer.json());
  const wrong = found.findIndex((value, at) => Math.abs(value - told[at]) > 1e-5);
  if (found.length !== some.length || wrong >= 0) throw new Error(`${system.name} answers ${found[wrong]} where the model gave ${told[wrong]}.`);
}

function requestsOf(system, all, size) {
  return { path: system.path(), headers: system.headers, bodies: batches(all, size).map((some) => base64(JSON.stringify(system.body(some)))) };
}
function binaryRequests(all, size) {
  const made = batches(all, size).map(binaryRequest);
  return { path: millrace.path(), headers: made[0].headers, bodies: made.map(({ body }) => base64(body)) };
}
function grpcRequests(all) {
  const messages = grpcMessages();
  return { grpc: true, path: messages.path, headers: {}, bodies: batches(all, 1).map((some) => base64(messages.body(some))) };
}

async function inPairs(first, second) {
  const found = [[], []];
  for (let pair = 0; pair < pairs; pair++) {
    found[0].push(await first());
    found[1].push(await second());
  }
  const ratios = found[0].map((one, at) => one.per_s / found[1][at].per_s);
  return [{ ...median(found[0]), ratio: middle(ratios) }, median(found[1])];
}
async function repeated(measure) {
  const found = [];
  for (let i = 0; i < pairs; i++) found.push(await measure());
  return found;
}
function ask(url, { clients }, requests) {
  return window(url, { clients, seconds, folder, core: 1 }, requests);
}
function alone(model, size) {
  const files = [path.join(model.folder, "model.onnx"), path.join(model.folder, "rows.json")];
  return line(pinned(0, [process.execPath, [here("runtime.mjs"), ...files, String(size), String(seconds)]]));
}

function tellPair(model, one, how, mine, theirs, goal) {
  const { ratio, ...found } = mine;
  tell(
    { work: workOf(model, one, how), millrace: said(found), peer: `${theirs.name} ${said(theirs)}`, ratio: times(ratio), goal },
    { millrace: found, beside: theirs, times: ratio },
  );
}
function workOf(model, { rows: size, clients }, how) {
  return `${model.name}: ${size} row${size > 1 ? "s" : ""}${how}, ${clients} client${clients > 1 ? "s" : ""}`;
}
function said({ per_s, p50_ms, p99_ms }) {
  return `${per_s.toLocaleString("en")}/s${p50_ms === undefined ? "" : `, p50 ${ms(p50_ms)}, p99 ${ms(p99_ms)}`}`;
}
function goalOf({ rows: size, clients }) {
  if (size > 1) return "1.5 times";
  return clients === 1 ? "" : `3 times${clients === 16 ? ", p99 < 10 ms" : ""}`;
}
