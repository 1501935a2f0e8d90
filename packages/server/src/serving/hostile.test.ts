/** Requests that are made to do harm: others are answered meanwhile as ever. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openServingServer, type ServingServer, shadeProject } from "./testing.js";

let folder: string;
let server: ServingServer;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  server = await openServingServer(path.join(folder, "data"), { kind: "system" });
  const [endpoint] = shadeProject().endpoints ?? [];
  if (endpoint === undefined) throw new Error("the project has an endpoint");
  const { service: _, ...tensors } = endpoint;
  await server.applySpec({
    ...shadeProject(),
    endpoints: [{ ...tensors, name: "matrix", model: "matrix", rollout: { kind: "canary", steps: [1], each: "1h", judge: [] } }],
  });
  await server.registry.setAlias("matrix", "champion", await server.register("matrix", { model: "matrix", service: null }));
  await server.settled();
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const send = async (body: string | Buffer, headers: Record<string, string> = {}) => {
  const answer = await fetch(`${server.url}/v2/models/matrix/infer`, { method: "POST", body, headers: { "content-type": "application/json", ...headers } });
  return { status: answer.status, body: (await answer.json()) as { error?: string; outputs?: { data: number[] }[] } };
};
const fair = JSON.stringify({ inputs: [{ name: "X", shape: [1, 2], datatype: "FP32", data: [1, 2] }] });
const isAnswered = async () => expect(await send(fair)).toMatchObject({ status: 200, body: { outputs: [{ data: [1] }, {}] } });
async function open(): Promise<Socket> {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

test("bodies that are bombs are refused with what is wrong, in little time", async () => {
  const of = (data: string) => `{"inputs": [{"name": "X", "shape": [1, 2], "datatype": "FP32", "data": ${data}}]}`;
  const bombs: [body: string, status: number][] = [
    [of(`${"[".repeat(1_000_000)}1${"]".repeat(1_000_000)}`), 400],
    [of("[".repeat(8_000_000)), 400],
    [of(`[${"[],".repeat(1_000_000)}[1,2]]`), 400],
    [of(`[1, ${"9".repeat(1_000_000)}]`), 200],
    [of(`[1${" ".repeat(8_000_000)}, 2]`), 200],
    [`{"inputs": [${`{"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]},`.repeat(100_000)}{}]}`, 400],
    [`{"inputs": [{"name": "X", "shape": [${"1,".repeat(100_000)}2], "datatype": "FP32", "data": [1, 2]}]}`, 400],
    [`{"inputs": [{"name": "X", "shape": [9007199254740991, 9007199254740991], "datatype": "FP32", "data": []}]}`, 400],
    [`{"__proto__": {"inputs": 1}, "constructor": {"prototype": 1}, "inputs": []}`, 400],
    [`{"id": "${"x".repeat(1_000_000)}", "inputs": [{"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}`, 400],
    ["", 400],
    ["null", 400],
    ["\ufeff{}", 400],
  ];
  for (const [body, status] of bombs) {
    const began = performance.now();
    const answer = await send(body);
    expect([body.slice(0, 80), answer.status]).toEqual([body.slice(0, 80), status]);
    expect(performance.now() - began, body.slice(0, 80)).toBeLessThan(5_000);
  }
  await isAnswered();
});

test("lengths that lie are told", async () => {
  const head = (size: unknown, shape = [1, 2]) => JSON.stringify({ inputs: [{ name: "X", shape, datatype: "FP32", parameters: { binary_data_size: size } }] });
  const lies: [json: string, length: string | undefined, bytes: number][] = [
    [head(8), "-1", 8],
    [head(8), "99999999", 8],
    [head(8), "1e3", 8],
    [head(8), "12abc", 8],
    [head(2 ** 40), undefined, 8],
    [head(-8), undefined, 8],
    [head("8"), undefined, 8],
    [head(8.5), undefined, 8],
    [head(8), undefined, 7],
    [head(8), undefined, 9],
    [head(4), undefined, 4],
    [head(16), undefined, 16],
  ];
  for (const [json, length, bytes] of lies) {
    const answer = await send(Buffer.concat([Buffer.from(json), Buffer.alloc(bytes)]), { "inference-header-content-length": length ?? String(json.length) });
    expect([json, length, answer.status]).toEqual([json, length, 400]);
  }
  await isAnswered();
});

test("half of a body holds up nobody, and what its client gave up is no error", async () => {
  const half = async () => {
    const socket = await open();
    socket.write(
      `POST /v2/models/matrix/infer HTTP/1.1\r\nhost: millrace\r\ncontent-type: application/json\r\ncontent-length: ${fair.length}\r\n\r\n${fair.slice(0, 20)}`,
    );
    return socket;
  };
  const sockets = await Promise.all(Array.from({ length: 50 }, half));
  await isAnswered();
  for (const socket of sockets) socket.destroy();
  await isAnswered();
  expect(await (await fetch(`${server.url}/api/v1/endpoints/matrix`)).json()).toMatchObject({ errors: 0 });
});

test("two thousand idle connections are held, and others are answered", async () => {
  const sockets: Socket[] = [];
  for (let at = 0; at < 20; at++) sockets.push(...(await Promise.all(Array.from({ length: 100 }, open))));
  const began = performance.now();
  for (let at = 0; at < 20; at++) await isAnswered();
  expect((performance.now() - began) / 20).toBeLessThan(250);
  expect(sockets.filter((socket) => !socket.destroyed)).toHaveLength(2_000);
  for (const socket of sockets) socket.destroy();
});
