import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openLog } from "../../log.js";
import type { Digest, ObjectStore } from "../store.js";
import { openS3Store } from "./index.js";
import { type S3Process, s3Server, startS3 } from "./testing.js";

const program = s3Server();
const none: Digest = `sha256:${"0".repeat(64)}`;
const log = openLog("silent");

describe.runIf(program !== undefined)("a store in a bucket", () => {
  let s3: S3Process;
  let folder: string;
  let store: ObjectStore;
  const closing: (() => void)[] = [];
  async function open(url = "s3://bucket/data", cacheBytes = 1e9): Promise<ObjectStore> {
    const opened = await openS3Store({ url, direct: true, cache: { folder: path.join(folder, "cache"), bytes: cacheBytes }, copyBytes: 12_000_000 }, log);
    closing.push(opened.close);
    return opened.store;
  }
  beforeAll(async () => {
    s3 = await startS3(program ?? "");
    folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
    store = await open();
  });
  afterAll(async () => {
    for (const close of closing) close();
    await s3.stop();
    await rm(folder, { recursive: true, force: true });
  });
  const files = async () =>
    (await readdir(path.join(s3.folder, "bucket"), { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => path.relative(path.join(s3.folder, "bucket"), path.join(entry.parentPath, entry.name)));
  const inBucket = (digest: Digest) => path.join(s3.folder, "bucket/data", digest.slice(7, 9), digest.slice(9));
  const all = async () => {
    const found = new Map<Digest, { size: number; modified: Date }>();
    for await (const { digest, size, modified } of store.list()) found.set(digest, { size, modified });
    return found;
  };

  it("keeps bytes under their digest, and gives them whole or in part", async () => {
    const { digest, size } = await store.put(Buffer.from("some bytes"));
    expect([digest, size]).toEqual([`sha256:${createHash("sha256").update("some bytes").digest("hex")}`, 10]);
    expect(await text(await store.read(digest))).toBe("some bytes");
    expect(await text(await store.read(digest, { start: 5, end: 7 }))).toBe("byt");
    expect(await store.stat(digest)).toEqual({ digest, size });
    const empty = await store.put(Readable.from([]));
    expect([empty.size, await text(await store.read(empty.digest))]).toEqual([0, ""]);
    expect(await store.stat(none)).toBeUndefined();
    await expect(store.read(none)).rejects.toMatchObject({ status: 404 });
    await expect(store.localPath(none)).rejects.toMatchObject({ status: 404 });
    await expect(store.put(Buffer.from("other"), { expect: none })).rejects.toMatchObject({ status: 400 });
    await store.delete(digest);
    expect(await store.stat(digest)).toBeUndefined();
  });

  it("takes large streams in parts and leaves nothing of them but the object, also of those that break off or are too large", async () => {
    const content = randomBytes(30_000_001);
    const chunks = () => Readable.from(Array.from({ length: 31 }, (_, i) => content.subarray(i * 1_000_000, (i + 1) * 1_000_000)));
    const [one, two] = await Promise.all([store.put(chunks()), store.put(chunks())]);
    expect(two).toEqual(one);
    expect(one.size).toBe(content.length);
    expect((await buffer(await store.read(one.digest))).equals(content)).toBe(true);
    expect((await buffer(await store.read(one.digest, { start: 17_000_000, end: 25_000_000 }))).equals(content.subarray(17_000_000, 25_000_001))).toBe(true);
    async function* broken() {
      yield content;
      throw new Error("The sender is gone.");
    }
    await expect(store.put(Readable.from(broken()))).rejects.toThrow("The sender is gone.");
    await expect(store.put(chunks(), { maxBytes: 20_000_000 })).rejects.toMatchObject({ status: 413 });
    expect((await files()).filter((file) => file.includes("staging"))).toEqual([]);
  });

  it("takes files, and has them on this machine", async () => {
    const content = randomBytes(9_000_000);
    const file = path.join(folder, "model.bin");
    await writeFile(file, content);
    const { digest } = await store.putFile(file);
    await expect(stat(file)).rejects.toThrow();
    const [place, again] = await Promise.all([store.localPath(digest), store.localPath(digest)]);
    expect(again).toBe(place);
    expect((await readFile(place)).equals(content)).toBe(true);
    await rm(place);
    const fetched = await Promise.all([store.localPath(digest), store.localPath(digest), store.localPath(digest)]);
    expect(new Set(fetched)).toEqual(new Set([place]));
    expect((await readFile(place)).equals(content)).toBe(true);
  });

  it("makes room for what is used next, and not of what was just used", async () => {
    const small = await open("s3://bucket/small", 2_500);
    const places: string[] = [];
    for (let n = 0; n < 4; n++) places.push(await small.localPath((await small.put(randomBytes(1_000))).digest));
    for (const place of places) expect((await stat(place)).size).toBe(1_000);
    const longAgo = new Date("2001-01-01");
    for (const place of places.slice(0, 3)) await utimes(place, longAgo, longAgo);
    await small.localPath((await small.put(randomBytes(1_000))).digest);
    await expect
      .poll(() =>
        Promise.all(
          places.map((place) =>
            stat(place).then(
              () => true,
              () => false,
            ),
          ),
        ),
      )
      .toEqual([false, false, false, true]);
  });

  it("does not give what the store has spoilt", async () => {
    const { digest } = await store.put(Buffer.from("right"));
    await writeFile(inBucket(digest), "wrong");
    await expect(store.localPath(digest)).rejects.toThrow();
    await store.put(Buffer.from("right"));
    expect(await readFile(await store.localPath(digest), "utf8")).toBe("right");
  });

  it("lists what there is, as new as it was put or renewed, and deletes what is old unless it is put again", async () => {
    const old = await store.put(Buffer.from("old"));
    const renewed = await store.put(Buffer.from("renewed"));
    const longAgo = new Date("2001-01-01");
    for (const { digest } of [old, renewed]) await utimes(inBucket(digest), longAgo, longAgo);
    expect(await store.renew(renewed.digest)).toEqual(renewed);
    expect(await store.renew(none)).toBeUndefined();
    const found = await all();
    const recently = new Date(Date.now() - 60_000);
    expect(found.get(old.digest)).toEqual({ size: 3, modified: longAgo });
    expect(found.get(renewed.digest)?.modified.getTime()).toBeGreaterThan(recently.getTime());
    expect(found.has(none)).toBe(false);
    expect(await store.deleteOlder(renewed.digest, recently)).toBe(false);
    expect(await store.deleteOlder(old.digest, recently)).toBe(true);
    expect(await store.deleteOlder(old.digest, recently)).toBe(false);
    expect(await store.stat(old.digest)).toBeUndefined();
    for (let round = 0; round < 8; round++) {
      await store.put(Buffer.from("wanted"));
      const wanted = (await store.put(Buffer.from("wanted"))).digest;
      await utimes(inBucket(wanted), longAgo, longAgo);
      await Promise.all([store.put(Buffer.from("wanted")), store.deleteOlder(wanted, recently)]);
      expect(await text(await store.read(wanted))).toBe("wanted");
    }
    expect((await files()).filter((file) => file.includes("leaving"))).toEqual([]);
  });

  it("sweeps away what uploads have left that ended a day ago", async () => {
    const left = path.join(s3.folder, "bucket/data/staging");
    const before = await files();
    const { digest } = await store.put(Buffer.from("left behind"));
    await mkdir(left, { recursive: true });
    const names = ["old", "new"].map((name) => path.join(left, name));
    for (const name of names) await writeFile(name, "half");
    await utimes(names[0] ?? "", new Date("2001-01-01"), new Date("2001-01-01"));
    await open();
    await expect.poll(async () => (await readdir(left)).sort()).toEqual(["new"]);
    await rm(names[1] ?? "");
    await store.delete(digest);
    expect((await files()).sort()).toEqual(before.sort());
  });

  it("says at the start what is wrong", async () => {
    const wrong = async (url: string, environment: Record<string, string> = {}) => {
      const before = { ...process.env };
      Object.assign(process.env, environment);
      try {
        await open(url);
        return "opened";
      } catch (error) {
        return error instanceof Error ? `${error.name}: ${error.message}` : "";
      } finally {
        process.env = before;
      }
    };
    expect(await wrong("s3://absent/x")).toContain("StartError: The object store s3://absent/x");
    expect(await wrong("s3://absent/x")).toContain("there is no such bucket");
    expect(await wrong("s3://bucket/x", { AWS_SECRET_ACCESS_KEY: "no" })).toContain("does not know these credentials");
    expect(await wrong("s3://bucket/x", { AWS_ACCESS_KEY_ID: "no" })).toContain("does not know these credentials");
    expect(await wrong("s3://bucket/x", { AWS_ENDPOINT_URL_S3: "http://127.0.0.1:1" })).toContain("can't be reached (ECONNREFUSED)");
    for (const url of ["bucket", "s3://", "s3://bucket/../x", "http://bucket", "s3://bucket/a b"])
      expect(await wrong(url)).toContain("write it as s3://bucket");
  });
});
