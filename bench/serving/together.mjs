/**
 * What Millrace's serving does with more than one of something: two processes beside one, a large model beside a small one, a process of Python beside the
 * server, and how soon ten models answer after a start: `npm run bench:together`.
 *
 *   --quick   a short look
 *
 * Nothing is bound to a processor here: servers and clients share the machine.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { setup } from "../../scripts/setup.mjs";
import { load, ms, table, times } from "../data/table.mjs";
import { environment } from "../environment.mjs";
import { start } from "../tracking/servers.mjs";
import { binaryRequest, bring, bytesRequest, millrace } from "./millrace.mjs";
import { models } from "./peers.mjs";
import { base64, batches, line, middle, window } from "./windows.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const { values: options } = parseArgs({ options: { quick: { type: "boolean" } } });
const [seconds, pairs, restarts] = options.quick ? [1, 1, 1] : [4, 5, 5];
setup();
const folder = mkdtempSync(path.join(tmpdir(), "millrace-together-"));
chmodSync(folder, 0o755);
const [small, large] = models(path.join(root, ".millrace/bench/serving-models-made"));
const rowsOf = (model) => JSON.parse(readFileSync(path.join(model.folder, "rows.json"), "utf8")).rows;
const rows = [];

try {
  await processes();
  await largeBesideSmall();
  await pythonModel();
  await tenModels();
  process.stdout.write(`\n${table(rows)}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function processes() {
  const servers = [await started("one", []), await started("two", ["--workers", "2"])];
  for (const [at, { url }] of servers.entries()) await bring(url, small.folder, folder, [`trees${at + 1}`]);
  const many = batches(rowsOf(small), 256).map(binaryRequest);
  const works = [
    ["1 row, 64 clients", 64, oneRow],
    // Of what clients have little to do for: they want the same processors.
    ["256 rows as binary tensors, 16 clients", 16, (name) => ({ ...oneRow(name), headers: many[0].headers, bodies: many.map(({ body }) => base64(body)) })],
  ];
  for (const [what, clients, requests] of works) {
    const found = [[], []];
    for (let pair = 0; pair < pairs; pair++) for (const [at, { url }] of servers.entries()) found[at].push(await ask(url, clients, requests(`trees${at + 1}`)));
    const [one, two] = found.map((all) => middle(all.map(({ per_s }) => per_s)));
    const ratio = middle(found[1].map(({ per_s }, pair) => per_s / found[0][pair].per_s));
    tell(`${what}: one process and two`, `${one.toLocaleString("en")}/s and ${two.toLocaleString("en")}/s`, times(ratio), "1.5 times");
  }
  for (const { stop } of servers) await stop();
}

async function largeBesideSmall() {
  const server = await started("large", []);
  await bring(server.url, small.folder, folder, ["small"]);
  await bring(server.url, large.folder, folder, ["large"]);
  const many = batches(rowsOf(large), 4_096).map(binaryRequest);
  const heavy = { path: "/v2/models/large/infer", headers: many[0].headers, bodies: many.map(({ body }) => base64(body)) };
  const found = [[], []];
  for (let pair = 0; pair < pairs; pair++) {
    found[0].push(await ask(server.url, 4, oneRow("small")));
    const [beside] = await Promise.all([ask(server.url, 4, oneRow("small")), ask(server.url, 2, heavy)]);
    found[1].push(beside);
  }
  await server.stop();
  const [alone, beside] = found.map((all) => middle(all.map(({ p99_ms }) => p99_ms)));
  const more = middle(found[1].map(({ p99_ms }, pair) => p99_ms - found[0][pair].p99_ms));
  tell("1 row, 4 clients: alone, and beside 2 clients with 4,096 rows for 300 trees", `p99 ${ms(alone)} and ${ms(beside)}`, `${ms(more)} more`, "5 ms more");
}

/** A model that is not ONNX answers in a process of its own. What is told beside it is what that model makes in Python alone, called with as many rows. */
async function pythonModel() {
  const python = path.join(environment("serving-python", path.join(root, "bench/serving/peers/python.txt")), "python");
  const program = path.join(root, "bench/serving/python_model.py");
  const model = path.join(folder, "python-model");
  const { status } = spawnSync(python, [program, "save", model], { stdio: ["ignore", 2, 2] });
  if (status !== 0) throw new Error("The model could not be written in MLflow's form.");
  const server = await started("python", []);
  const files = readdirSync(model, { recursive: true }).filter((file) => statSync(path.join(model, file)).isFile());
  await bring(server.url, model, folder, ["python"], files);
  const works = [
    { rows: 1, clients: 64 },
    { rows: 256, clients: 4 },
  ];
  for (const { rows: size, clients } of works) {
    const many = batches(rowsOf(small), size).map((some) => bytesRequest(some, "input", { parameters: { binary_data_output: true } }));
    const requests = { path: "/v2/models/python/infer", headers: many[0].headers, bodies: many.map(({ body }) => base64(body)) };
    const found = [];
    for (let pair = 0; pair < pairs; pair++) {
      const alone = await line([python, [program, "alone", model, String(size), String(seconds)]]);
      found.push({ alone: alone.per_s, served: (await ask(server.url, clients, requests)).per_s });
    }
    const [alone, served] = ["alone", "served"].map((key) => Math.round(middle(found.map((one) => one[key]))));
    const what = `a model in Python, ${size === 1 ? "1 row" : `${size} rows`}, ${clients} clients: alone in Python, called one after the other, and served`;
    tell(what, `${alone.toLocaleString("en")}/s and ${served.toLocaleString("en")}/s`, times(middle(found.map((one) => one.served / one.alone))), "0.8 times");
  }
  await server.stop();
}

async function tenModels() {
  const names = Array.from({ length: 10 }, (_, at) => `trees${at}`);
  const first = await started("ten", []);
  await bring(first.url, small.folder, folder, names);
  await first.stop();
  const found = [];
  for (let at = 0; at < restarts; at++) {
    const began = performance.now();
    const server = await started("ten", [], "/v2/health/ready");
    await Promise.all(names.map((name) => until(`${server.url}/v2/models/${name}/ready`)));
    found.push({ ready: server.readyMs, all: performance.now() - began });
    await server.stop();
  }
  tell(
    "from the start: ready, and ten models ready",
    `${ms(middle(found.map(({ ready }) => ready)))} and ${ms(middle(found.map(({ all }) => all)))}`,
    "",
    "1 s",
  );
}
async function until(url) {
  while (
    !(await fetch(url).then(
      (answer) => answer.ok,
      () => false,
    ))
  )
    await new Promise((resolve) => setTimeout(resolve, 5));
}

function started(name, more, ready) {
  const own = path.join(folder, name);
  mkdirSync(own, { recursive: true });
  const command = (at, port) => {
    const [program, args] = millrace.command(at, port);
    return [program, [...args, ...more]];
  };
  return start({ command, ...(ready === undefined ? {} : { ready }) }, own);
}
function ask(url, clients, requests) {
  return window(url, { clients, seconds, folder }, requests);
}
function oneRow(name) {
  const bodies = batches(rowsOf(small), 1).map((some) => base64(JSON.stringify(millrace.body(some))));
  return { path: `/v2/models/${name}/infer`, headers: millrace.headers, bodies };
}
function tell(work, figures, ratio, goal) {
  rows.push({ work, millrace: figures, ratio, goal, load: load() });
  process.stderr.write(`${JSON.stringify(rows.at(-1))}\n`);
}
