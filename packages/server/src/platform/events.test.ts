import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Platform } from "./index.js";
import { openPlatform } from "./open.js";

/** Two servers on one database: here in one process, which makes no difference to the database. */
let folder: string;
let one: Platform;
let two: Platform;
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const clock = { kind: "replay" as const, from: new Date("2024-01-01T00:00:00Z") };
  const config = { host: "127.0.0.1", port: 0, clock, logLevel: "silent" };
  const first = await openPlatform({ ...config, dataDir: path.join(folder, "one") });
  const second = await openPlatform({ ...config, dataDir: path.join(folder, "two"), databaseUrl: first.platform.databaseUrl });
  one = first.platform;
  two = second.platform;
  closing.push(second.close, first.close);
});
afterAll(async () => {
  for (const close of closing) await close();
  await rm(folder, { recursive: true, force: true });
});

const append = (platform: Platform, type: string, n: number) =>
  platform.db.transaction().execute((transaction) => platform.events.append(transaction, type, String(n), { n }));

test("of two servers one at a time is told, each event once and in order, also what a handler appends", async () => {
  const told: number[] = [];
  for (const platform of [one, two]) {
    platform.events.subscribe("test.first", ["test.began"], async ({ data }) => {
      told.push(Number(data.n));
      if (data.n === 30) await append(platform, "test.followed", 0);
    });
    platform.events.subscribe("test.second", ["test.follow*"], async () => void told.push(-1));
    await platform.events.start();
  }
  for (let n = 1; n <= 30; n++) await append(n % 2 === 0 ? one : two, "test.began", n);
  await Promise.all([one.events.settled(), two.events.settled()]);
  expect(told).toEqual([...Array.from({ length: 30 }, (_, i) => i + 1), -1]);
});

test("what an older transaction appends late is neither told twice nor missed, nor skipped by who reads on", async () => {
  const told: number[] = [];
  one.events.subscribe("test.late", ["test.late"], async ({ data }) => void told.push(Number(data.n)));
  const before = (await one.events.list({ limit: 1, newestFirst: true }))[0]?.id ?? "0";
  const older = await one.db.startTransaction().execute();
  await one.events.append(older, "test.late", "1", { n: 1 });
  await append(two, "test.late", 2);
  await one.events.append(older, "test.late", "3", { n: 3 });
  expect(await two.events.list({ after: before, limit: 10 })).toEqual([]);
  await older.commit().execute();
  await one.events.settled();
  expect(told).toEqual([1, 3, 2]);
  const listed = await two.events.list({ after: before, limit: 2 });
  expect(listed.map((event) => event.data.n)).toEqual([1, 3]);
  expect((await two.events.list({ after: listed[1]?.id ?? "", limit: 2 })).map((event) => event.data.n)).toEqual([2]);
});

test("a handler that fails is told again", async () => {
  let calls = 0;
  two.events.subscribe("test.failing", ["test.fragile"], async () => {
    if (++calls === 1) throw new Error("not yet");
  });
  await append(one, "test.fragile", 1);
  await expect.poll(() => calls, { timeout: 10_000 }).toBe(2);
});

test("a replayed clock that one server moves is moved for the other, and nobody moves it back", async () => {
  const ticks: string[] = [];
  one.clock.onTick("test", async (now) => void ticks.push(now.toISOString()));
  await one.clock.advance(new Date("2024-01-02T00:00:00Z"));
  expect(ticks).toEqual(["2024-01-02T00:00:00.000Z"]);
  await expect.poll(() => two.clock.now().toISOString()).toBe("2024-01-02T00:00:00.000Z");
  await expect(two.clock.advance(new Date("2024-01-01T12:00:00Z"))).rejects.toThrow("never goes back: it is 2024-01-02");
});
