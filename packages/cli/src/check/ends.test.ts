/** A check that ends early leaves nothing behind. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { source } from "../testing.js";
import { check, project, sound } from "./testing.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-checked-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("whoever ends a check early finds neither its server nor its folder, and the next one removes what a killed one left", { timeout: 300_000 }, async () => {
  const place = await project(path.join(folder, "ended"), { "millrace.ts": sound });
  // What others check at the same time has other folders.
  const temporary = path.join(folder, "tmp");
  await mkdir(temporary);
  const running = async () => (await readdir(temporary)).filter((name) => name.startsWith("millrace-check-"));
  const begin = async () => {
    const child = spawn(process.execPath, [...source, "check", place, "--only", "fit"], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, TMPDIR: temporary },
    });
    child.stdout.resume();
    await expect.poll(async () => (await running()).length, { timeout: 60_000, interval: 20 }).toBe(1);
    return child;
  };
  const ended = (child: ChildProcess) => new Promise((resolve) => child.once("exit", (code, signal) => resolve(code ?? signal)));
  const asked = await begin();
  await expect
    .poll(async () => (await Promise.all((await running()).map((name) => readdir(path.join(temporary, name))))).flat(), { timeout: 60_000 })
    .toContain("data");
  asked.kill("SIGTERM");
  expect(await ended(asked)).toBe(4);
  expect(await running()).toEqual([]);

  const killed = await begin();
  killed.kill("SIGKILL");
  expect(await ended(killed)).toBe("SIGKILL");
  expect((await running()).length).toBe(1);
  const next = await check(place, ["--only", "fit"], { TMPDIR: temporary });
  expect(next).toMatchObject({ code: 0 });
  expect(await running()).toEqual([]);
});
