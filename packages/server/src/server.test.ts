import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createAccess } from "./access/index.js";
import { startServerProcess } from "./pipelines/testing.js";
import type { Platform } from "./platform/index.js";
import { openPlatform } from "./platform/open.js";
import { type RunningServer, startServer } from "./server.js";

let folder: string;
let server: RunningServer;
let stopped = false;
/** A second process's view of the server's database. */
let beside: { platform: Platform; close(): Promise<void> };
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const config = { host: "127.0.0.1", port: 0, clock: { kind: "replay" as const, from: new Date("2024-01-01T00:00:00Z") }, logLevel: "silent" };
  beside = await openPlatform({ ...config, dataDir: path.join(folder, "beside") });
  server = await startServer({ ...config, dataDir: folder, databaseUrl: beside.platform.databaseUrl });
});
afterAll(async () => {
  if (!stopped) await server.stop();
  await beside.close();
  await rm(folder, { recursive: true, force: true });
});

interface Asked {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}
/** Unlike `fetch` it sends what a browser sends or what another name of this machine brings. */
function ask(address: string, { method = "GET", headers = {}, body }: Asked = {}): Promise<{ status: number; text: string; type: string }> {
  const { port } = new URL(server.url);
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, path: address, method, headers, agent: false }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text, type: answer.headers["content-type"] ?? "" }));
    });
    asked.on("error", reject).end(body);
  });
}
const json = { "content-type": "application/json" };
const moveTo = (to: string) => ask("/api/v1/clock", { method: "POST", headers: json, body: JSON.stringify({ to }) });

test("a server that is ready says so, measures itself, describes its API, and has a page", async () => {
  expect(await ask("/health")).toMatchObject({ status: 200, text: "OK" });
  const metrics = await ask("/metrics");
  expect(metrics.type).toContain("application/openmetrics-text");
  expect(metrics.text).toContain('millrace_http_request_duration_seconds_count{method="GET",route="/health",status="200"}');
  expect(metrics.text.trimEnd().endsWith("# EOF")).toBe(true);
  expect(JSON.parse((await ask("/openapi.json")).text).openapi).toBe("3.1.0");
  const page = await ask("/", { headers: { accept: "text/html" } });
  expect(page).toMatchObject({ status: 200, type: expect.stringContaining("text/html") });
  expect(await ask("/api/v1/nothing", { headers: { accept: "text/html" } })).toMatchObject({ status: 404, text: expect.stringContaining("There is no route") });
});

test("another site's page and another name of this machine are refused", async () => {
  const { port } = new URL(server.url);
  const status = async (headers: Record<string, string>, method = "GET") => (await ask("/api/v1/clock", { method, headers })).status;
  expect(await status({})).toBe(200);
  expect(await status({ host: `localhost:${port}`, origin: `http://localhost:${port}` })).toBe(200);
  expect(await status({ host: `rebound.example:${port}` })).toBe(403);
  expect(await status({ origin: "http://elsewhere.example" })).toBe(403);
  expect(await status({ host: `localhost:${port}`, origin: "http://localhost:3000" })).toBe(403);
  expect(await status({ origin: "null" })).toBe(403);
  expect(await status({ "sec-fetch-site": "cross-site" }, "POST")).toBe(403);
});

test("a move of the clock answers when all that follows has happened, and a request may carry its own moment", async () => {
  const told: string[] = [];
  const { events } = beside.platform;
  events.subscribe("test.beside", ["test.moved"], async ({ data }) => void told.push(String(data.to)));
  await events.start();
  await beside.platform.db.transaction().execute((transaction) => events.append(transaction, "test.moved", "x", { to: "here" }));
  await events.settled();
  expect(told).toEqual(["here"]);
  expect(JSON.parse((await moveTo("2024-02-01T00:00:00Z")).text)).toEqual({ now: "2024-02-01T00:00:00.000Z", kind: "replay" });
  expect(await moveTo("2024-02-01T00:00:00Z")).toMatchObject({ status: 200 });
  expect(await moveTo("2024-01-15T00:00:00Z")).toMatchObject({ status: 400, text: expect.stringContaining("never goes back") });
  await beside.platform.clock.advance(new Date("2024-02-02T00:00:00Z"));
  expect(JSON.parse((await ask("/api/v1/clock")).text).now).toBe("2024-02-02T00:00:00.000Z");
  const infer = { method: "POST", headers: { ...json, "millrace-time": "yesterday" }, body: '{"request": {"x": [1]}}' };
  expect(await ask("/api/v1/feature-services/none/online", infer)).toMatchObject({ status: 400, text: expect.stringContaining("millrace-time") });
});

test("events are listed, and stream on from the last one that was seen", async () => {
  const { events, db } = beside.platform;
  const append = (n: number) => db.transaction().execute((transaction) => events.append(transaction, "test.streamed", String(n), { n }));
  await append(1);
  await append(2);
  await expect.poll(async () => JSON.parse((await ask("/api/v1/events?types=test.streamed")).text).items.length).toBe(2);
  const first = JSON.parse((await ask("/api/v1/events?types=test.streamed&limit=1")).text);
  expect(first).toMatchObject({ items: [{ type: "test.streamed", subject: "1", data: { n: 1 } }], next: first.items[0].id });

  const stopping = new AbortController();
  const stream = await fetch(`${server.url}/api/v1/events/stream?types=test.*`, { headers: { "last-event-id": first.next }, signal: stopping.signal });
  expect(stream.headers.get("content-type")).toBe("text/event-stream");
  const reader = (stream.body ?? new ReadableStream<Uint8Array>()).pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  const until = async (text: string) => {
    while (!said.includes(text)) said += (await reader.read()).value ?? "";
  };
  await until('"n":2');
  await append(3);
  await until('"n":3');
  expect(said).not.toContain('"n":1');
  stopping.abort();
});

test("what is too large, no JSON or not of the schema is told as the client's mistake", async () => {
  const post = (body: string) => ask("/api/v1/clock", { method: "POST", headers: json, body });
  expect(await post(JSON.stringify({ to: "x".repeat(2 ** 20) }))).toMatchObject({ status: 413, text: expect.stringContaining("TOO_LARGE") });
  expect(await post("{")).toMatchObject({ status: 400, text: expect.stringContaining('"INVALID"') });
  expect(await post("{}")).toMatchObject({ status: 400, text: expect.stringContaining("'to'") });
  expect(await post('{"to": "soon"}')).toMatchObject({ status: 400, text: expect.stringContaining('"INVALID"') });
});

test("without users it is not bound to where others could reach it", async () => {
  const { databaseUrl } = beside.platform;
  const exposed = { host: "0.0.0.0", port: 0, dataDir: path.join(folder, "exposed"), databaseUrl, clock: { kind: "system" as const }, logLevel: "silent" };
  await expect(startServer(exposed)).rejects.toThrow("millrace user add");
});

test("a port that is in use is told as such", async () => {
  const { platform, close } = await openPlatform({ ...beside.platform.config, dataDir: path.join(folder, "port"), databaseUrl: beside.platform.databaseUrl });
  const { openHttp, listen } = await import("./platform/index.js");
  const app = await openHttp(platform, () => ({ name: "anna" }));
  const port = Number(new URL(server.url).port);
  await expect(listen(app, { ...platform.config, port })).rejects.toThrow(`The port ${port} of 127.0.0.1 is in use. Choose another`);
  await app.close();
  await close();
});

test("as soon as there are users, every route but the few that are public asks who is there, and lets them do what their role may", async () => {
  const open = server.routes.filter((route) => route.permission === "public").map((route) => route.url);
  const wanted = [
    "/",
    "/api/v1/repositories/:name/hook",
    "/health",
    "/metrics",
    "/openapi.json",
    "/schema/project-v1.json",
    "/v2/health/live",
    "/v2/health/ready",
    "/version",
  ];
  expect([...new Set(open)].sort()).toEqual(wanted);
  for (const { permission, url } of server.routes) expect(permission, url).toMatch(/^(public|[a-z_]+:(read|write|approve|admin))$/);

  const access = await createAccess(beside.platform);
  const tokens = { viewer: await access.addPrincipal("vera", "viewer"), editor: await access.addPrincipal("edith", "editor") };
  await expect.poll(async () => (await ask("/api/v1/clock")).status, { timeout: 5_000 }).toBe(401);
  for (const { method, url, permission } of server.routes) {
    if (permission === "public") continue;
    const { status } = await ask(url.replaceAll("*", "x").replaceAll(/:[a-zA-Z]+/g, "x"), { method });
    expect(status, `${method} ${url}`).toBe(401);
  }

  const move = { method: "POST", body: '{"to": "2024-03-01T00:00:00Z"}' };
  const bearer = (token: string) => ({ ...json, authorization: `Bearer ${token}` });
  expect((await ask("/api/v1/clock", { headers: bearer(tokens.viewer) })).status).toBe(200);
  expect(await ask("/api/v1/clock", { ...move, headers: bearer(tokens.viewer) })).toMatchObject({ status: 403, text: expect.stringContaining("clock:write") });
  expect((await ask("/api/v1/clock", { ...move, headers: bearer(tokens.editor) })).status).toBe(200);
  expect((await ask("/api/v1/clock", { headers: bearer("guessed") })).status).toBe(401);
  // As the MLflow client sends a name and a token.
  const basic = { authorization: `Basic ${Buffer.from(`vera:${tokens.viewer}`).toString("base64")}` };
  expect((await ask("/api/v1/clock", { headers: basic })).status).toBe(200);

  const issued = access.issueToken("step", ["clock:*"], 60_000);
  expect((await ask("/api/v1/clock", { ...move, headers: bearer(issued) })).status).toBe(200);
  expect((await ask("/api/v1/events", { headers: bearer(issued) })).status).toBe(403);
  expect((await ask("/api/v1/clock", { headers: bearer(access.issueToken("step", ["clock:*"], -1)) })).status).toBe(401);
  expect((await ask("/api/v1/clock", { headers: bearer(`${issued.slice(0, -2)}xx`) })).status).toBe(401);
});

test("after a server is killed the next one takes its data over within 3 s", async () => {
  const dataDir = path.join(folder, "killed");
  const killed = await startServerProcess(dataDir);
  await killed.kill();
  const began = performance.now();
  const { close } = await openPlatform({ ...beside.platform.config, dataDir });
  expect(performance.now() - began).toBeLessThan(3_000);
  await close();
});

test("a server stops at once, also where clients stay connected", async () => {
  const token = await (await createAccess(beside.platform)).addPrincipal("ada", "admin");
  const stream = await fetch(`${server.url}/api/v1/events/stream`, { headers: { authorization: `Bearer ${token}` } });
  await fetch(`${server.url}/health`);
  const half = connect(Number(new URL(server.url).port), "127.0.0.1");
  half.on("error", () => {}).write("POST /api/v1/clock HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{");
  const began = performance.now();
  await server.stop();
  stopped = true;
  expect(performance.now() - began).toBeLessThan(15_000);
  expect(await stream.text()).toContain(":");
  half.destroy();
});
