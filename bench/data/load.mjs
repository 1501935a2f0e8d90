/**
 * Reads features online as fast as so many clients can, each with its next request as soon as it has an answer, and prints a line of JSON.
 *
 *   node bench/data/load.mjs --url http://127.0.0.1:8080 --bodies requests.json --path /get-online-features [--clients 1] [--seconds 5]
 *
 * `requests.json` holds the bodies that are sent in turn. The client speaks HTTP on bare sockets, so that it takes little of the machine itself.
 */
import { readFileSync } from "node:fs";
import net from "node:net";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: {
    url: { type: "string", default: "http://127.0.0.1:8080" },
    path: { type: "string", default: "/" },
    bodies: { type: "string", default: "" },
    clients: { type: "string", default: "1" },
    seconds: { type: "string", default: "5" },
  },
});
const { hostname, port } = new URL(options.url);
const requests = JSON.parse(readFileSync(options.bodies, "utf8")).map((body) => {
  const text = JSON.stringify(body);
  return Buffer.from(
    `POST ${options.path} HTTP/1.1\r\nhost: ${hostname}:${port}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
});
const headEnd = Buffer.from("\r\n\r\n");

/** One connection: `send` resolves with the whole answer's status. */
function connect() {
  const socket = net.connect({ host: hostname, port: Number(port), noDelay: true });
  let waiting;
  let parts = [];
  let size = 0;
  let whole;
  let status = 0;
  const fail = (error) => waiting?.reject(error ?? new Error("The server closed the connection."));
  socket.on("error", fail).on("close", () => fail());
  socket.on("data", (part) => {
    parts.push(part);
    size += part.length;
    if (whole === undefined) {
      const text = parts.length === 1 ? part : Buffer.concat(parts);
      const end = text.indexOf(headEnd);
      if (end < 0) return;
      const head = text.toString("latin1", 0, end);
      const length = /content-length: *([0-9]+)/i.exec(head);
      if (length === null) return fail(new Error(`An answer without a length:\n${head}`));
      status = Number(head.slice(9, 12));
      whole = end + 4 + Number(length[1]);
    }
    if (size < whole) return;
    const { resolve, reject } = waiting;
    waiting = undefined;
    const text = Buffer.concat(parts);
    parts = [];
    size = 0;
    whole = undefined;
    if (status === 200) resolve();
    else reject(new Error(`${status} ${text.toString("utf8").slice(-500)}`));
  });
  return {
    send: (request) =>
      new Promise((resolve, reject) => {
        waiting = { resolve, reject };
        socket.write(request);
      }),
    close: () => socket.removeAllListeners("close").destroy(),
  };
}

async function run(seconds, clients) {
  const times = [];
  const began = performance.now();
  const until = began + seconds * 1_000;
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      const connection = connect();
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
const quantile = (q) => Math.round((times[Math.max(0, Math.ceil(q * times.length) - 1)] ?? 0) * 100) / 100;
console.log(JSON.stringify({ clients, per_s: Math.round(times.length / seconds), p50_ms: quantile(0.5), p99_ms: quantile(0.99), max_ms: quantile(1) }));
