/**
 * Reads features online as fast as so many clients can, each with its next request as soon as it has an answer, and prints a line of JSON.
 *
 *   node bench/data/load.mjs --url http://127.0.0.1:8080 --bodies requests.json --path /get-online-features [--clients 1] [--seconds 5]
 *
 * `requests.json` holds the bodies that are sent in turn.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { connect, quantile, request } from "./connection.mjs";

const { values: options } = parseArgs({
  options: {
    url: { type: "string", default: "http://127.0.0.1:8080" },
    path: { type: "string", default: "/" },
    bodies: { type: "string", default: "" },
    clients: { type: "string", default: "1" },
    seconds: { type: "string", default: "5" },
  },
});
const address = new URL(options.url);
const requests = JSON.parse(readFileSync(options.bodies, "utf8")).map((body) => request(address, options.path, body));

async function run(seconds, clients) {
  const times = [];
  const began = performance.now();
  const until = began + seconds * 1_000;
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      const connection = connect(address);
      for (let i = client * 7; performance.now() < until; i++) {
        const from = performance.now();
        await connection.send(requests[i % requests.length]);
        times.push(performance.now() - from);
      }
      connection.close();
    }),
  );
  return { times: times.sort((a, b) => a - b), seconds: (performance.now() - began) / 1_000 };
}

const clients = Number(options.clients);
await run(1, clients);
const { times, seconds } = await run(Number(options.seconds), clients);
console.log(
  JSON.stringify({
    clients,
    per_s: Math.round(times.length / seconds),
    p50_ms: quantile(times, 0.5),
    p99_ms: quantile(times, 0.99),
    max_ms: quantile(times, 1),
  }),
);
