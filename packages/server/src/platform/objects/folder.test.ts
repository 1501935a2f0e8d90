import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, rename, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Digest, openFolderStore } from "./index.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-objects-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const longAgo = new Date("2001-01-01");
const place = (digest: Digest) => path.join(folder, digest.slice(7, 9), digest.slice(9));
const agoMs = 60_000;
const recently = () => new Date(Date.now() - agoMs);

test("what is in the store is listed with the moment at which it was last put or renewed", async () => {
  const store = await openFolderStore(folder);
  const one = await store.put(Buffer.from("one"));
  const two = await store.put(Buffer.from("two"));
  const file = path.join(folder, "three.txt");
  await writeFile(file, "three");
  await utimes(file, longAgo, longAgo);
  const three = await store.putFile(file);
  for (const { digest } of [one, two]) await utimes(place(digest), longAgo, longAgo);
  const listed = async () => {
    const found = new Map<string, { size: number; old: boolean }>();
    for await (const { digest, size, modified } of store.list()) found.set(digest, { size, old: modified < recently() });
    return found;
  };
  expect(await listed()).toEqual(
    new Map([
      [one.digest, { size: 3, old: true }],
      [two.digest, { size: 3, old: true }],
      [three.digest, { size: 5, old: false }],
    ]),
  );
  await store.put(Buffer.from("one"));
  expect(await store.renew(two.digest)).toMatchObject(two);
  expect([...(await listed()).keys()]).toEqual([one, two, three].map(({ digest }) => digest).sort());
  expect([...(await listed()).values()].map(({ old }) => old)).toEqual([false, false, false]);
  expect(await store.renew(`sha256:${"0".repeat(64)}`)).toBeUndefined();
});

test("an old object is deleted, and not one that was put again while it was", async () => {
  const store = await openFolderStore(folder);
  const { digest } = await store.put(Buffer.from("left over"));
  expect(await store.deleteOlder(digest, recently())).toBe(false);
  await utimes(place(digest), longAgo, longAgo);
  expect(await store.deleteOlder(digest, recently())).toBe(true);
  expect(await store.stat(digest)).toBeUndefined();
  expect(await store.deleteOlder(digest, recently())).toBe(false);

  // Two at it at once: however they meet, what was put last is there.
  for (let round = 0; round < 20; round++) {
    await store.put(Buffer.from("wanted"));
    const wanted: Digest = `sha256:${createHash("sha256").update("wanted").digest("hex")}`;
    await utimes(place(wanted), longAgo, longAgo);
    await Promise.all([store.put(Buffer.from("wanted")), store.deleteOlder(wanted, recently())]);
    expect(await text(await store.read(wanted))).toBe("wanted");
  }
  expect(await readdir(path.join(folder, "tmp"))).toEqual([]);
});

test("a deletion that was cut off is undone by the next start", async () => {
  const { digest } = await (await openFolderStore(folder)).put(Buffer.from("half deleted"));
  await mkdir(path.join(folder, "tmp"), { recursive: true });
  await rename(place(digest), path.join(folder, "tmp", `leaving-${digest.slice(7)}`));
  expect(await text(await (await openFolderStore(folder)).read(digest))).toBe("half deleted");
});
