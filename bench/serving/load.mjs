/**
 * Asks as fast as so many clients can, each with its next request as soon as it has an answer, and prints a line of JSON.
 *
 *   node bench/serving/load.mjs --url http://127.0.0.1:8080 --requests requests.json [--clients 16] [--seconds 3] [--warm 0.5]
 *
 * The file holds `{path, headers, bodies}`, bodies in base64, which are sent in turn; with `grpc` they are messages over HTTP/2. Bytes are made before
 * and answers are looked at no more than needed, so that this takes less of the machine than whoever answers.
 */
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import net from "node:net";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: {
    url: { type: "string", default: "http://127.0.0.1:8080" },
    requests: { type: "string", default: "" },
    clients: { type: "string", default: "1" },
    seconds: { type: "string", default: "3" },
    warm: { type: "string", default: "0.5" },
  },
});
const address = new URL(options.url);
const { path, headers, bodies, grpc } = JSON.parse(readFileSync(options.requests, "utf8"));
const sent = bodies.map((body) => (grpc ? framed(Buffer.from(body, "base64")) : whole(Buffer.from(body, "base64"))));

function whole(body) {
  const lines = Object.entries({ host: address.host, ...headers, "content-length": body.length }).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join("")}\r\n`), body]);
}
/** A message of gRPC: not compressed, then its length. */
function framed(message) {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** What one client has found: the length of each answer's wait, in milliseconds. */
let times = [];
let until = 0;
let refused = 0;
let example = "";

function fail(error) {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}
function answered(from, ok, text) {
  times.push(performance.now() - from);
  if (!ok) {
    refused++;
    example ||= text().slice(0, 300);
  }
}

/** Resolves when it is time and the last answer is there. */
function client(first) {
  return new Promise((resolve) => {
    const socket = net.connect({ host: address.hostname, port: Number(address.port), noDelay: true });
    let at = first;
    let from = 0;
    let got = "";
    let length = -1;
    const send = () => {
      if (performance.now() >= until) {
        socket.destroy();
        resolve();
        return;
      }
      got = "";
      length = -1;
      from = performance.now();
      socket.write(sent[at++ % sent.length]);
    };
    socket.setEncoding("latin1");
    socket.on("error", fail).on("connect", send);
    socket.on("data", (part) => {
      got = got === "" ? part : got + part;
      if (length < 0) {
        const end = got.indexOf("\r\n\r\n");
        if (end < 0) return;
        const told = /\r\ncontent-length: *([0-9]+)/i.exec(got.slice(0, end));
        // Chunked where it is not told.
        length = told === null ? Number.POSITIVE_INFINITY : end + 4 + Number(told[1]);
      }
      if (got.length < length && !(length === Number.POSITIVE_INFINITY && got.endsWith("\r\n0\r\n\r\n"))) return;
      answered(from, got.startsWith("HTTP/1.1 2"), () => got);
      send();
    });
  });
}

/** Each with a connection of its own, as separate clients are. */
function grpcClient(first) {
  return new Promise((resolve) => {
    const session = http2.connect(address.origin);
    session.on("error", fail);
    let at = first;
    const send = () => {
      if (performance.now() >= until) {
        session.destroy();
        resolve();
        return;
      }
      const from = performance.now();
      const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers", ...headers });
      let status;
      stream.on("response", (told) => {
        status = told["grpc-status"];
      });
      stream.on("trailers", (told) => {
        status = told["grpc-status"];
      });
      stream.on("error", fail);
      stream.on("end", () => {
        answered(from, String(status) === "0", () => `grpc-status ${status}`);
        send();
      });
      stream.resume();
      stream.end(sent[at++ % sent.length]);
    };
    send();
  });
}

async function window(seconds) {
  times = [];
  refused = 0;
  const began = performance.now();
  until = began + seconds * 1_000;
  await Promise.all(Array.from({ length: Number(options.clients) }, (_, i) => (grpc ? grpcClient : client)(i * 7)));
  return (performance.now() - began) / 1_000;
}

await window(Number(options.warm));
const used = process.cpuUsage();
const seconds = await window(Number(options.seconds));
const { user, system } = process.cpuUsage(used);
const sorted = Float64Array.from(times).sort();
const quantile = (q) => Math.round((sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0) * 100) / 100;
console.log(
  JSON.stringify({
    clients: Number(options.clients),
    per_s: Math.round(times.length / seconds),
    p50_ms: quantile(0.5),
    p99_ms: quantile(0.99),
    // Near 1, this process was what bounded.
    load_cpu: Math.round((user + system) / 10_000 / seconds) / 100,
    ...(refused === 0 ? {} : { refused, example }),
  }),
);
