// Features online: reads of twelve features, and pushes with a read of the card after each, against a server that is started here.
// Lines of JSON: node bench/data/push.mjs [--seconds 10] [--only reads,pushes]. With MILLRACE_ONLINE set, that Redis is used; with --profile FOLDER, the
// server leaves a profile of its processor time there.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { millrace, start } from "../tracking/servers.mjs";
import { openConnections, quantile, request } from "./connection.mjs";

const { values: options } = parseArgs({
  options: { seconds: { type: "string", default: "10" }, only: { type: "string", default: "reads,pushes" }, profile: { type: "string" } },
});
const seconds = Number(options.seconds);
const folder = await mkdtemp(path.join(tmpdir(), "millrace-push-"));
const only = options.only.split(",");
const profiled = {
  command(own, port) {
    const [program, args] = millrace.command(own, port);
    return [process.execPath, ["--cpu-prof", `--cpu-prof-dir=${path.resolve(options.profile)}`, program, ...args]];
  },
};
const server = await start(options.profile === undefined ? millrace : profiled, folder);
const address = new URL(server.url);
const connections = openConnections(address, 128);
const post = async (route, body) => JSON.parse((await connections.send(request(address, route, body))).toString("utf8"));

/** A line of what was done: how long each took, and what the server and PostgreSQL computed for each. The first second is not counted. */
async function measured(line, work) {
  await work(1);
  const [before, began] = [server.cpu(), performance.now()];
  const times = (await work(seconds)).sort((a, b) => a - b);
  const [after, lasted] = [server.cpu(), (performance.now() - began) / 1_000];
  const each = (name) => Math.round((Math.max(0, after[name] - before[name]) / times.length) * 1_000_000) / 1_000;
  console.log(
    JSON.stringify({
      ...{ bench: line.bench, system: process.env.MILLRACE_ONLINE ? "millrace with redis" : "millrace", ...line, per_s: Math.round(times.length / lasted) },
      ...{ p50_ms: quantile(times, 0.5), p99_ms: quantile(times, 0.99), max_ms: quantile(times, 1) },
      ...{ server_cpu_ms: each("own"), database_cpu_ms: each("below") },
    }),
  );
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
const push = (of) => post("/api/v1/feature-views/card/push", payment(of));
const read = (of) => post("/api/v1/feature-services/fraud/online", { request: { t: of.map(() => new Date().toISOString()), card: of } });

try {
  const applied = await fetch(`${server.url}/api/v1/projects/payments`, {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(project),
  });
  if (!applied.ok) throw new Error(await applied.text());
  for (let i = 0; i < cards.length; i += 1_000) for (let n = 0; n < 5; n++) await push(cards.slice(i, i + 1_000));
  for (let i = 0; i < cards.length; i += 1_000) await read(cards.slice(i, i + 1_000));

  for (const [keys, clients] of [
    [1, 1],
    [1, 16],
    [100, 16],
  ]) {
    if (!only.includes("reads")) break;
    await measured({ bench: "online_read", features: 12, keys, clients }, async (seconds) => {
      const times = [];
      const end = performance.now() + seconds * 1_000;
      await Promise.all(
        Array.from({ length: clients }, async () => {
          while (performance.now() < end) {
            const from = performance.now();
            await read(Array.from({ length: keys }, any));
            times.push(performance.now() - from);
          }
        }),
      );
      return times;
    });
  }

  for (const rate of only.includes("pushes") ? [150, 1_500] : []) {
    await measured({ bench: "push_then_read", asked_per_s: rate }, async (seconds) => {
      const times = [];
      const began = performance.now();
      const all = [];
      for (let sent = 0; sent < rate * seconds; ) {
        const due = Math.min(rate * seconds, Math.floor(((performance.now() - began) / 1_000) * rate));
        // From when it was due, so that waiting counts.
        for (; sent < due; sent++) all.push(pushAndRead(performance.now()).then((ms) => times.push(ms)));
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      await Promise.all(all);
      return times;
    });
  }
} finally {
  connections.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}

async function pushAndRead(from) {
  const card = any();
  await push([card]);
  const { features } = await read([card]);
  if (!(features.n_5m[0] > 0)) throw new Error(`A push to ${card} was not seen by the read after it.`);
  return performance.now() - from;
}
