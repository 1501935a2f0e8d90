import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openLog } from "../log.js";
import { checkDatabase } from "./check.js";
import { startEmbedded } from "./embedded.js";

let folder: string;
const log = openLog("silent");
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function ask(url: string, text: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  try {
    return (await client.query(text)).rows[0];
  } finally {
    await client.end();
  }
}

test("two that start on a new private folder at once: one owns it, the other is told who does", async () => {
  const hidden = path.join(folder, "private");
  await mkdir(hidden, { mode: 0o700 });
  const place = path.join(hidden, "data", "postgres");
  const started = await Promise.allSettled([startEmbedded(place, log), startEmbedded(place, log)]);
  const owners = started.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  expect(owners).toHaveLength(1);
  expect(started.find((one) => one.status === "rejected")?.reason.message).toBe(
    `The data folder ${hidden}/data is in use by another server, process ${process.pid}. Stop it, or choose another folder.`,
  );
  await ask(owners[0]?.url ?? "", "select 1");
  await owners[0]?.stop();
  expect((await stat(hidden)).mode & 0o777).toBe(0o700);
});

test("a PostgreSQL that is killed comes back where it was, with all that was committed", async () => {
  const place = path.join(folder, "killed");
  const postgres = await startEmbedded(place, log);
  await ask(postgres.url, "create table fact (id int)");
  await ask(postgres.url, "insert into fact values (7)");
  const pid = Number((await readFile(path.join(place, "cluster", "postmaster.pid"), "utf8")).split("\n")[0]);
  process.kill(pid, "SIGKILL");
  await expect.poll(() => ask(postgres.url, "select id from fact").catch(() => undefined), { timeout: 20_000 }).toEqual({ id: 7 });
  await postgres.stop();
});

test("a data folder that can't be used and a DATABASE_URL that leads nowhere are told with what to do", async () => {
  const place = path.join(folder, "older");
  await mkdir(path.join(place, "cluster"), { recursive: true });
  await writeFile(path.join(place, "cluster", "PG_VERSION"), "16\n");
  await expect(startEmbedded(place, log)).rejects.toThrow("is of PostgreSQL 16, and this Millrace brings 18");
  await expect(checkDatabase("localhost:5432")).rejects.toThrow("write postgres://user:password@host:5432/database");
  await expect(checkDatabase("postgres://anna:secret@127.0.0.1:1/facts")).rejects.toThrow(
    /^No PostgreSQL answers at 127\.0\.0\.1:1\. DATABASE_URL says where it is\.$/,
  );
  const postgres = await startEmbedded(path.join(folder, "external"), log);
  const wrong = new URL(postgres.url);
  wrong.password = "secret";
  await expect(checkDatabase(wrong.href)).rejects.toThrow('does not let "millrace" in');
  wrong.href = `${postgres.url.replace(/postgres$/, "facts")}`;
  await expect(checkDatabase(wrong.href)).rejects.toThrow('has no database "facts"');
  await checkDatabase(postgres.url);
  await postgres.stop();
});
