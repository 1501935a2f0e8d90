/**
 * Loads any server that speaks MLflow's REST API 2.0, and prints a line of JSON for each measurement.
 *
 *   node bench/tracking/load.mjs --url http://127.0.0.1:5000 [--tests create,batch1,batch100,batch1000,client,search,history,artifact,registry]
 *     [--seconds 3] [--rounds 3] [--clients 1,8,32] [--runs 10000] [--mib 200] [--python python3]
 *
 * Each figure is the median of the rounds. `search` makes its runs where the experiment `load-search-<runs>` is not there.
 */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import http from "node:http";
import { parseArgs } from "node:util";

const text = (standard) => ({ type: "string", default: standard });
const { values: options } = parseArgs({
  options: {
    url: text("http://127.0.0.1:5000"),
    tests: text("create,batch1,batch100,batch1000,search,history,artifact,registry"),
    seconds: text("3"),
    rounds: text("3"),
    clients: text("1,8,32"),
    runs: text("10000"),
    mib: text("200"),
    python: text("python3"),
  },
});
const server = new URL(options.url);
const [seconds, rounds, runs, mib] = [options.seconds, options.rounds, options.runs, options.mib].map(Number);
const clients = options.clients.split(",").map(Number);
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });

// ------------------------------------------------------------------------------------------------ figures
const sorted = (values) => [...values].sort((a, b) => a - b);
const quantile = (values, q) => sorted(values)[Math.max(0, Math.ceil(q * values.length) - 1)];
const median = (values) => quantile(values, 0.5);
const rounded = (value) => (value === undefined ? null : Math.round(value * 10) / 10);
const report = (test, figures) => process.stdout.write(`${JSON.stringify({ test, ...figures })}\n`);
const now = () => performance.now();

async function timed(count, work) {
  const times = [];
  for (let i = 0; i < count; i++) {
    const began = now();
    await work();
    times.push(now() - began);
  }
  return times;
}

/** As many clients at once, each with its next request as soon as it has an answer. */
async function hammer(count, work) {
  const times = [];
  let errors = 0;
  let firstError;
  const began = now();
  const until = began + seconds * 1_000;
  const client = async (_, w) => {
    for (let i = 0; now() < until; i++) {
      const at = now();
      try {
        await work(w, i);
        times.push(now() - at);
      } catch (error) {
        errors++;
        firstError ??= error.message;
      }
    }
  };
  await Promise.all(Array.from({ length: count }, client));
  return { rate: (times.length * 1_000) / (now() - began), p50: median(times), p95: quantile(times, 0.95), errors, firstError };
}

async function atEachCount(test, make, more = () => ({})) {
  for (const count of clients) {
    const results = [];
    for (let round = 0; round < rounds; round++) results.push(await hammer(count, await make(count)));
    const rate = median(results.map((one) => one.rate));
    report(test, {
      clients: count,
      per_s: rounded(rate),
      p50_ms: rounded(median(results.map((one) => one.p50))),
      p95_ms: rounded(median(results.map((one) => one.p95))),
      errors: results.reduce((sum, one) => sum + one.errors, 0),
      first_error: results.find((one) => one.firstError)?.firstError,
      ...more(rate),
    });
  }
}

// ---------------------------------------------------------------------------------------------- requests
/** `onBytes` is told of what comes, which is not kept then. */
function send(method, path, body, headers = {}, onBytes) {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { "content-length": Buffer.byteLength(body) };
    const request = http.request({ host: server.hostname, port: server.port, method, path, agent, headers: { ...length, ...headers } }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => (onBytes === undefined ? chunks.push(chunk) : onBytes(chunk.length)));
      response.on("end", () => resolve({ status: response.statusCode, body: Buffer.concat(chunks).toString() }));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}
async function answered(method, path, body, headers) {
  const { status, body: answer } = await send(method, path, body, headers);
  if (status !== 200) throw new Error(`${method} ${path} answered ${status}: ${answer.slice(0, 300)}`);
  return answer === "" ? {} : JSON.parse(answer);
}
const post = (route, what) => answered("POST", `/api/2.0/mlflow/${route}`, JSON.stringify(what), { "content-type": "application/json" });
const get = (route, what) => answered("GET", `/api/2.0/mlflow/${route}?${new URLSearchParams(what)}`);
const unique = (name) => `${name}-${randomBytes(5).toString("hex")}`;
const newExperiment = async (name) => (await post("experiments/create", { name: unique(name) })).experiment_id;
const newRun = async (experiment_id) => (await post("runs/create", { experiment_id, start_time: Date.now() })).run.info;

// ------------------------------------------------------------------------------------------------- tests
async function batches(size) {
  const experiment = await newExperiment(`load-batch${size}`);
  const make = async (count) => {
    const ids = await Promise.all(Array.from({ length: count }, async () => (await newRun(experiment)).run_id));
    return (w, step) =>
      post("runs/log-batch", {
        run_id: ids[w],
        metrics: Array.from({ length: size }, (_, k) => ({ key: `m${k}`, value: Math.random(), timestamp: Date.now(), step })),
      });
  };
  await atEachCount(`log-batch-${size}`, make, (rate) => ({ metrics_per_s: Math.round(rate * size) }));
}

async function searchedExperiment() {
  const name = `load-search-${runs}`;
  const found = await get("experiments/get-by-name", { experiment_name: name }).catch(() => undefined);
  if (found !== undefined) return found.experiment.experiment_id;
  const { experiment_id } = await post("experiments/create", { name });
  let next = 0;
  const writer = async () => {
    while (next < runs) {
      const k = next++;
      const { run_id } = await newRun(experiment_id);
      const metrics = ["acc", "loss", "f1", "auc", "rmse"].map((key, j) => ({
        key,
        value: ((k * 7919 + j * 104729) % 100003) / 100003,
        timestamp: Date.now(),
        step: 0,
      }));
      const params = [
        { key: "lr", value: ["0.1", "0.01", "0.001"][k % 3] },
        { key: "depth", value: String(k % 10) },
        { key: "opt", value: ["sgd", "adam"][k % 2] },
      ];
      await post("runs/log-batch", { run_id, metrics, params });
    }
  };
  await Promise.all(Array.from({ length: 8 }, writer));
  return experiment_id;
}

/** `mlflow.log_metric` in a loop, as users write it. */
const clientLoop = (url) => `
import json, time, mlflow
mlflow.set_tracking_uri(${JSON.stringify(url)})
mlflow.set_experiment(${JSON.stringify(unique("load-client"))})
rates = []
with mlflow.start_run():
    mlflow.log_metric("warm", 0)
    for _ in range(${rounds}):
        n, began = 0, time.time()
        while time.time() - began < ${seconds}:
            mlflow.log_metric("loss", n * 0.1, step=n)
            n += 1
        rates.append(n / (time.time() - began))
print(json.dumps(sorted(rates)[len(rates) // 2]))`;

const tests = {
  async create() {
    const experiment = await newExperiment("load-create");
    await atEachCount("create-run", async () => () => newRun(experiment));
  },
  batch1: () => batches(1),
  batch100: () => batches(100),
  batch1000: () => batches(1_000),
  async client() {
    const env = { ...process.env, MLFLOW_DISABLE_TELEMETRY: "true" };
    const { status, stdout, stderr } = spawnSync(options.python, ["-c", clientLoop(server.origin)], { encoding: "utf8", env });
    if (status !== 0) throw new Error(stderr.slice(-500));
    report("mlflow.log_metric", { per_s: rounded(Number(stdout.trim().split("\n").at(-1))) });
  },
  async search() {
    const experiment_ids = [await searchedExperiment()];
    const query = { experiment_ids, filter: "metrics.acc > 0.9 and params.lr = '0.1'", order_by: ["metrics.acc DESC"], max_results: 100 };
    const searched = async (test, what, count) => {
      const first = await post("runs/search", what);
      const times = await timed(count, () => post("runs/search", what));
      report(test, { runs, returned: first.runs.length, p50_ms: rounded(median(times)), p95_ms: rounded(quantile(times, 0.95)) });
    };
    await searched("search-filter-order", query, 40);
    await searched("search-all", { experiment_ids, max_results: 100 }, 20);
    const next = (await post("runs/search", query)).next_page_token;
    if (next) await searched("search-next-page", { ...query, page_token: next }, 20);
  },
  async history() {
    const points = 100_000;
    const { run_id } = await newRun(await newExperiment("load-history"));
    for (let step = 0; step < points; step += 1_000)
      await post("runs/log-batch", {
        run_id,
        metrics: Array.from({ length: 1_000 }, (_, k) => ({ key: "loss", value: Math.random(), timestamp: Date.now(), step: step + k })),
      });
    let read = 0;
    const times = await timed(3, async () => {
      read = 0;
      for (let token; ; ) {
        const page = await get("metrics/get-history", { run_id, metric_key: "loss", max_results: 25_000, ...(token ? { page_token: token } : {}) });
        read += page.metrics.length;
        token = page.next_page_token;
        if (!token) break;
      }
    });
    report("history", { points: read, ms: Math.round(median(times)) });
  },
  async artifact() {
    const content = randomBytes(mib * 1024 * 1024);
    const { artifact_uri } = await newRun(await newExperiment("load-artifact"));
    const folder = /^mlflow-artifacts:(?:\/\/[^/]*)?\/(.*)$/.exec(artifact_uri)?.[1];
    const [up, down] = [[], []];
    for (let round = 0; round < rounds; round++) {
      const path = `/api/2.0/mlflow-artifacts/artifacts/${folder}/blob-${round}.bin`;
      const [upload] = await timed(1, () => answered("PUT", path, content, { "content-type": "application/octet-stream" }));
      let bytes = 0;
      const [download] = await timed(1, () => send("GET", path, undefined, {}, (more) => (bytes += more)));
      if (bytes !== content.length) throw new Error(`${bytes} of ${content.length} bytes came back`);
      up.push((mib * 1_000) / upload);
      down.push((mib * 1_000) / download);
    }
    report("artifact", { mib, up_mib_per_s: Math.round(median(up)), down_mib_per_s: Math.round(median(down)) });
  },
  async registry() {
    const run = await newRun(await newExperiment("load-registry"));
    const version = (name) => post("model-versions/create", { name, source: `${run.artifact_uri}/model`, run_id: run.run_id });
    await atEachCount("create-model-version", async (count) => {
      const names = Array.from({ length: count }, () => unique("load"));
      for (const name of names) await post("registered-models/create", { name });
      return (w) => version(names[w]);
    });
    const name = unique("load-alias");
    await post("registered-models/create", { name });
    for (let i = 0; i < 20; i++) await version(name);
    await post("registered-models/alias", { name, alias: "champion", version: "20" });
    await atEachCount("get-by-alias", async () => () => get("registered-models/alias", { name, alias: "champion" }));
  },
};

for (const name of options.tests.split(",")) {
  try {
    if (tests[name] === undefined) throw new Error(`there is no test of this name: ${Object.keys(tests).join(", ")}`);
    // A server may have closed connections that were idle in between.
    agent.destroy();
    await tests[name]();
  } catch (error) {
    report(name, { failed: error.message });
    process.exitCode = 1;
  }
}
agent.destroy();
