/**
 * Switches of versions under load, with two server processes: no request fails, and none that began after a switch was acknowledged is answered by another version.
 * `npm run rollout` makes a hundred switches.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "@millrace/sdk/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ServerProcess, startServerProcess } from "../pipelines/testing.js";
import { openServingServer, type ServingServer, shadeRequest } from "./testing.js";

const switches = Number(process.env.MILLRACE_ROLLOUT_SWITCHES ?? 20);
const clients = Number(process.env.MILLRACE_ROLLOUT_CLIENTS ?? 16);
let folder: string;
let control: ServingServer;
let servers: ServerProcess[];

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const dataDir = path.join(folder, "data");
  control = await openServingServer(dataDir, { kind: "system" });
  await control.apply({ rollout: { kind: "canary", steps: [0.5, 1], each: "1h", judge: [] }, fallback: { probability: 0.5 } });
  for (let version = 1; version <= 4; version++) await control.register("columns");
  await control.registry.setAlias("shade", "champion", 1);
  await control.settled();
  servers = await Promise.all([0, 1].map(() => startServerProcess(dataDir, { DATABASE_URL: control.platform.databaseUrl })));
}, 120_000);
afterAll(async () => {
  await Promise.all(servers.map((server) => server.kill()));
  await control.stop();
  await rm(folder, { recursive: true, force: true });
});

const body = JSON.stringify(shadeRequest([{ color: "red", x: 0.5 }]));
const text = [
  "POST /v2/models/shade/infer HTTP/1.1",
  "host: 127.0.0.1",
  "content-type: application/json",
  `content-length: ${Buffer.byteLength(body)}`,
  "",
  body,
].join("\r\n");

interface Asker {
  /** The version that answered, 0 for the fallback; anything else as a text. */
  ask(): Promise<number | string>;
  close(): void;
}
/** A connection that asks one thing after the other, and takes less of the processor for it than the server. */
function openAsker(url: string): Asker {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.setNoDelay(true).setEncoding("latin1");
  let heard = "";
  let told: ((answer: number | string) => void) | undefined;
  const tell = (answer: number | string) => {
    heard = "";
    told?.(answer);
    told = undefined;
  };
  socket.on("data", (part: string) => {
    heard += part;
    const head = heard.indexOf("\r\n\r\n");
    const length = head === -1 ? undefined : /content-length: ([0-9]+)/i.exec(heard)?.[1];
    if (length === undefined || heard.length < head + 4 + Number(length)) return;
    const found = /"model_version":"([0-9]+)"/.exec(heard);
    tell(heard.startsWith("HTTP/1.1 200") && found !== null ? Number(found[1]) : heard.slice(0, 600));
  });
  socket.on("error", (error) => tell(error.message));
  socket.on("close", () => tell("the connection was closed"));
  return {
    ask: () =>
      new Promise((resolve) => {
        told = resolve;
        socket.write(text);
      }),
    close: () => socket.destroy(),
  };
}
async function ask(url: string): Promise<number | string> {
  const asker = openAsker(url);
  return asker.ask().finally(() => asker.close());
}

/** What may answer after each switch, in their order; how many were begun, and the last one that was acknowledged. */
const states: number[][] = [[1]];
let acknowledged = 0;
const mayAnswer = (from: number) => new Set(states.slice(from).flat());
async function change(to: number[], work: () => Promise<unknown>): Promise<number> {
  states.push(to);
  const began = performance.now();
  await work();
  acknowledged = states.length - 1;
  return performance.now() - began;
}

test(`${switches} switches of two processes under load: none failed, none answered by a wrong version`, { timeout: 600_000 }, async () => {
  const urls = servers.map((server) => server.url);
  const [first, second] = urls.map((url) => createClient({ url }).endpoints);
  if (first === undefined || second === undefined) throw new Error("there are two servers");
  const failed: string[] = [];
  const wrong: string[] = [];
  let asked = 0;
  let over = false;
  const client = async (n: number): Promise<void> => {
    const asker = openAsker(urls[n % urls.length] ?? "");
    while (!over) {
      const from = acknowledged;
      const answer = await asker.ask();
      asked++;
      if (typeof answer === "string") failed.push(answer);
      else if (!mayAnswer(from).has(answer)) wrong.push(`v${answer} instead of ${[...mayAnswer(from)].join(" or ")}`);
    }
    asker.close();
  };
  const began = performance.now();
  const load = Array.from({ length: clients }, (_, n) => client(n));
  const took: Record<"promote" | "rollback" | "kill" | "revive" | "canary", number[]> = { promote: [], rollback: [], kill: [], revive: [], canary: [] };
  let stable = 1;
  const earlier: number[] = [];
  for (let n = 0; took.promote.length + took.rollback.length < switches; n++) {
    const [one, other] = n % 2 === 0 ? [first, second] : [second, first];
    const next = (stable % 4) + 1;
    if (n % 5 === 3) {
      took.kill.push(await change([0], () => one.kill("shade", { reason: `test ${n}` })));
      took.revive.push(await change([stable], () => other.revive("shade", { reason: `test ${n}` })));
    } else if (n % 5 === 4) {
      // Half of the keys go to another one, and all of them come back.
      const before = stable;
      took.canary.push(await change([before, next], () => one.try("shade", { version: next })));
      took.rollback.push(await change([before], () => other.rollback("shade")));
    } else {
      const before = stable;
      took.promote.push(await change([next], () => one.promote("shade", { version: next })));
      earlier.push(before);
      stable = next;
      if (n % 2 === 1) {
        stable = earlier.pop() ?? 1;
        took.rollback.push(await change([stable], () => other.rollback("shade", { reason: `test ${n}` })));
      }
    }
    await delay(20);
  }
  over = true;
  await Promise.all(load);
  const seconds = (performance.now() - began) / 1_000;
  const told = Object.entries(took).map(([act, list]) => `${act} ${list.length} (p50 ${quantile(list, 0.5)} ms, most ${quantile(list, 1)} ms)`);
  console.info(
    `${asked} requests in ${seconds.toFixed(1)} s, ${Math.round(asked / seconds)} a second, by ${clients} clients to ${urls.length} processes.\n` +
      `${told.join(", ")}.\n${failed.length} requests failed, ${wrong.length} were answered by a wrong version after the acknowledgement.`,
  );
  expect({ failed: failed.slice(0, 5), wrong: wrong.slice(0, 5) }).toEqual({ failed: [], wrong: [] });
  expect(asked).toBeGreaterThan(switches * 20);
  // What each process says in the end.
  for (const url of urls) expect((await createClient({ url }).endpoints.get("shade")).stable).toBe(stable);
});

test("a process that stands still through a switch answers by the new version when it goes on, and nobody waits for it for long", {
  timeout: 60_000,
}, async () => {
  const [one, other] = servers;
  if (one === undefined || other === undefined) throw new Error("there are two servers");
  const { endpoints } = createClient({ url: one.url });
  const { stable } = await endpoints.get("shade");
  const next = (Number(stable) % 4) + 1;
  // In memory everywhere first: this is about the switch, not about the loading.
  await endpoints.promote("shade", { version: next });
  expect([await ask(one.url), await ask(other.url)]).toEqual([next, next]);
  process.kill(other.pid, "SIGSTOP");
  let waiting: Promise<number | string>[];
  try {
    const began = performance.now();
    await endpoints.rollback("shade");
    expect(performance.now() - began).toBeLessThan(3_000);
    expect(await ask(one.url)).toBe(stable);
    waiting = Array.from({ length: 5 }, () => ask(other.url));
    await delay(50);
  } finally {
    process.kill(other.pid, "SIGCONT");
  }
  expect(await Promise.all(waiting)).toEqual(Array.from({ length: 5 }, () => stable));
});

test("a process that is killed keeps nobody from switching", { timeout: 60_000 }, async () => {
  const [one, other] = servers;
  if (one === undefined || other === undefined) throw new Error("there are two servers");
  await ask(other.url);
  await other.kill();
  const { endpoints } = createClient({ url: one.url });
  const began = performance.now();
  await endpoints.kill("shade");
  expect(performance.now() - began).toBeLessThan(3_000);
  expect(await ask(one.url)).toBe(0);
  await endpoints.revive("shade");
});

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0);
}
