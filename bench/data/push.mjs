// Features online: reads of twelve features, and pushes with a read of the card after each, against a server that is started here.
// Lines of JSON: node bench/data/push.mjs [--seconds 10]. With MILLRACE_ONLINE set, that Redis is used.

import { mkdtemp, rm } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { millrace, start } from "../tracking/servers.mjs";

const { values: options } = parseArgs({ options: { seconds: { type: "string", default: "10" } } });
const seconds = Number(options.seconds);
const folder = await mkdtemp(path.join(tmpdir(), "millrace-push-"));
const server = await start(millrace, folder);
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });

function post(route, body) {
  return new Promise((resolve, reject) => {
    const text = JSON.stringify(body);
    const request = http.request(
      server.url + route,
      { agent, method: route.startsWith("PUT ") ? "PUT" : "POST", headers: { "content-type": "application/json", "content-length": Buffer.byteLength(text) } },
      (answer) => {
        let found = "";
        answer.on("data", (part) => {
          found += part;
        });
        answer.on("end", () => (answer.statusCode < 300 ? resolve(found) : reject(new Error(`${answer.statusCode} ${found}`))));
        answer.on("error", reject);
      },
    );
    request.on("error", reject);
    request.end(text);
  });
}
const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
function told(bench, more, times, wall) {
  times.sort((a, b) => a - b);
  const round = (ms) => Math.round(ms * 100) / 100;
  const line = { bench, system: process.env.MILLRACE_ONLINE ? "millrace with redis" : "millrace", ...more, per_s: Math.round(times.length / wall) };
  console.log(JSON.stringify({ ...line, p50_ms: round(quantile(times, 0.5)), p99_ms: round(quantile(times, 0.99)), max_ms: round(times.at(-1)) }));
}

const overs = ["5m", "1h", "1d", "7d"];
const features = [
  ...overs.map((over) => ({ name: `n_${over}`, type: "int64", aggregate: "count", over })),
  ...overs.map((over) => ({ name: `sum_${over}`, type: "float64", aggregate: "sum", column: "amount", over })),
  ...overs.slice(0, 3).map((over) => ({ name: `max_${over}`, type: "float64", aggregate: "max", column: "amount", over })),
  { name: "shops_1d", type: "int64", aggregate: "distinct", column: "shop", over: "1d" },
];
const project = {
  apiVersion: "millrace/v1",
  name: "payments",
  files: [],
  folder,
  ...Object.fromEntries(["schemas", "pipelines", "endpoints", "monitors", "triggers"].map((kind) => [kind, []])),
  datasets: [{ name: "payments", mode: "append" }],
  entities: [{ name: "card", keys: [{ name: "card", type: "string" }] }],
  featureViews: [{ kind: "window", name: "card", entity: "card", source: { dataset: "payments" }, timestamp: "at", features }],
  featureServices: [
    {
      ...{ name: "fraud", timestamp: "t", views: ["card"], compute: [], features: features.map(({ name, type }) => ({ name, type })) },
      request: [
        { name: "t", type: "timestamp" },
        { name: "card", type: "string" },
      ],
    },
  ],
};
const cards = Array.from({ length: 10_000 }, (_, i) => `card-${i}`);
const any = () => cards[Math.floor(Math.random() * cards.length)];
const payment = (of) => ({
  columns: {
    card: of,
    at: of.map(() => new Date().toISOString()),
    amount: of.map(() => Math.round(Math.random() * 10_000) / 100),
    shop: of.map(() => `shop-${Math.floor(Math.random() * 50)}`),
  },
});
const read = (of) => post("/api/v1/feature-services/fraud/online", { request: { t: of.map(() => new Date().toISOString()), card: of } });

try {
  const applied = await fetch(`${server.url}/api/v1/projects/payments`, {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(project),
  });
  if (!applied.ok) throw new Error(await applied.text());
  for (let i = 0; i < cards.length; i += 1_000) for (let n = 0; n < 5; n++) await post("/api/v1/feature-views/card/push", payment(cards.slice(i, i + 1_000)));
  for (let i = 0; i < cards.length; i += 1_000) await read(cards.slice(i, i + 1_000));

  for (const [keys, clients] of [
    [1, 1],
    [1, 16],
    [100, 16],
  ]) {
    const times = [];
    const end = performance.now() + seconds * 1_000;
    const began = performance.now();
    await Promise.all(
      Array.from({ length: clients }, async () => {
        while (performance.now() < end) {
          const from = performance.now();
          await read(Array.from({ length: keys }, any));
          times.push(performance.now() - from);
        }
      }),
    );
    told("online_read", { features: 12, keys, clients }, times, (performance.now() - began) / 1_000);
  }

  for (const rate of [150, 1_500]) {
    const times = [];
    const failed = [];
    const began = performance.now();
    const all = [];
    for (let sent = 0; sent < rate * seconds; ) {
      const due = Math.min(rate * seconds, Math.floor(((performance.now() - began) / 1_000) * rate));
      for (; sent < due; sent++) {
        // From when it was due, so that waiting counts.
        const from = performance.now();
        const card = any();
        all.push(
          post("/api/v1/feature-views/card/push", payment([card]))
            .then(() => read([card]))
            .then((text) => {
              if (!(JSON.parse(text).features.n_5m[0] > 0)) failed.push("not seen");
              times.push(performance.now() - from);
            })
            .catch((error) => failed.push(error.message)),
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await Promise.all(all);
    if (failed.length > 0) throw new Error(`${failed.length} failed: ${failed[0]}`);
    told("push_then_read", { asked_per_s: rate }, times, (performance.now() - began) / 1_000);
  }
} finally {
  await server.stop();
  agent.destroy();
  await rm(folder, { recursive: true, force: true });
}
