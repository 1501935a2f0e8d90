import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { isAlive, runProcess } from "./process.js";

const node = (code: string, rest: { timeoutMs?: number; signal?: AbortSignal; maxLogBytes?: number; stdin?: string } = {}) => {
  const lines: string[] = [];
  const ended = runProcess({
    command: process.execPath,
    args: ["-e", code],
    cwd: "/",
    env: {},
    timeoutMs: 20_000,
    signal: new AbortController().signal,
    maxLogBytes: 10_000,
    onLine: (stream, text) => lines.push(`${stream} ${text}`),
    ...rest,
  });
  return { lines, ended };
};
test("what a process reads and says passes through, within limits", async () => {
  const { lines, ended } = node("process.stdin.on('data', (d) => console.log(String(d))); console.error('x'.repeat(200)); process.exitCode = 3", {
    stdin: "hello",
    maxLogBytes: 100,
  });
  expect(await ended).toMatchObject({ code: 3, signal: null, ended: null });
  expect(lines).toContain("stderr … what comes after 100 bytes is dropped.");
  expect(lines.join("")).not.toContain("xx");
});

test("a process that goes on for too long ends with all that it started, even where it won't", async () => {
  const stubborn = "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000);";
  const { lines, ended } = node(
    `const child = require('child_process').spawn(process.execPath, ['-e', ${JSON.stringify(stubborn)}], { stdio: 'inherit' });
    ${stubborn} console.log(child.pid);`,
    { timeoutMs: 1_000 },
  );
  expect(await ended).toMatchObject({ code: null, signal: "SIGKILL", ended: "timeout" });
  const pid = Number(lines[0]?.replace("stdout ", ""));
  expect(pid).toBeGreaterThan(0);
  await expect.poll(() => isAlive(pid)).toBe(false);
});

test("a command that is not there is told as such", async () => {
  const nothing = { args: [], cwd: "/", env: {}, timeoutMs: 1_000, signal: new AbortController().signal, maxLogBytes: 1, onLine: () => {} };
  await expect(runProcess({ ...nothing, command: "/nowhere/python" })).rejects.toThrow("ENOENT");
});

test.runIf(process.platform !== "win32")("a process, and what it started, does not outlive the server that started it", async () => {
  const code = `
    const child = "const { pid } = require('child_process').spawn('sleep', ['1000']); console.log(pid); setInterval(() => {}, 1000)";
    const { runProcess } = await import(${JSON.stringify(new URL("process.ts", import.meta.url).href)});
    await runProcess({ command: process.execPath, args: ["-e", child], cwd: "/", env: {}, timeoutMs: 60_000,
      signal: new AbortController().signal, maxLogBytes: 1_000, onLine: (_stream, text) => console.log(text) });`;
  const server = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", code], { stdio: ["ignore", "pipe", "inherit"] });
  const pid = Number((await once(createInterface({ input: server.stdout }), "line"))[0]);
  expect(isAlive(pid)).toBe(true);
  server.kill("SIGKILL");
  await expect.poll(() => isAlive(pid)).toBe(false);
});
