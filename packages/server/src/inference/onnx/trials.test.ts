/** Model files that want to harm whoever opens them. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createInference } from "../index.js";
import { createTrials } from "./trials.js";

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/${name}.onnx`, import.meta.url));
let dataDir: string;
beforeAll(async () => {
  dataDir = await mkdtemp(path.join(tmpdir(), "millrace-"));
});
afterAll(() => rm(dataDir, { recursive: true, force: true }));
const trials = () => createTrials({ config: { dataDir, host: "127.0.0.1", port: 0, clock: { kind: "system" }, logLevel: "silent" } });
const open = (file: string) => createInference({ trials: trials() }).open({ onnx: file });

test("a model that takes more memory than there is for it is refused, and this process is none the worse", async () => {
  const before = process.memoryUsage.rss();
  await expect(open(fixture("hungry"))).rejects.toMatchObject({ status: 422, message: expect.stringContaining("takes more than") });
  expect(process.memoryUsage.rss() - before).toBeLessThan(500e6);
  // It is no better the second time.
  await expect(open(fixture("hungry"))).rejects.toMatchObject({ status: 422 });
});

test("a file that is cut short, or is no model, is refused with the reason", async () => {
  const whole = await readFile(fixture("columns"));
  for (const [name, bytes, message] of [
    ["cut", whole.subarray(0, whole.length - 20), "The model can't be loaded"],
    ["empty", Buffer.alloc(0), "The file is not ONNX"],
    ["pickle", Buffer.from("\x80\x04 this was never a model"), "The file is not ONNX"],
    ["noise", Buffer.from(whole.map((byte, at) => (at > 10 ? (byte * 31 + at) & 0xff : byte))), "The model can't be loaded"],
  ] as const) {
    const file = path.join(dataDir, `${name}.onnx`);
    await writeFile(file, bytes);
    await expect(open(file), name).rejects.toMatchObject({ status: 422, message: expect.stringContaining(message) });
  }
});

test("what passed once is not tried again on this machine", async () => {
  await (await open(fixture("matrix"))).close();
  const marks = () => readdir(path.join(dataDir, "models", "tried"));
  const before = await marks();
  const began = performance.now();
  const again = await Promise.all(Array.from({ length: 5 }, () => trials()(fixture("matrix"))));
  expect(again).toHaveLength(5);
  expect(performance.now() - began).toBeLessThan(1_000);
  expect(await marks()).toEqual(before);
});
