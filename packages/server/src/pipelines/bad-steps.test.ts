/** Steps that behave badly, and steps that nobody can run: each is ended or explained, and nothing of it is left. */
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { NodeSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isAlive } from "../platform/index.js";
import { openApi, pythonNode, type ServerProcess, startServerProcess } from "./testing.js";

let folder: string;
let server: ServerProcess;
let api: ReturnType<typeof openApi>;
const pidFile = () => path.join(folder, "pid");

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  server = await startServerProcess(path.join(folder, "data"), { MILLRACE_GPUS: "1" }, "server", { folderBytes: 64 * 1024 ** 2 });
  api = openApi(server.url);
  const one = (name: string, node: NodeSpec) => ({ name, params: [], nodes: [node] });
  const given = { inputs: { pid: { literal: pidFile() } } };
  await api.apply(
    {
      "fill.py": `
with open("big", "wb") as file:
    for _ in range(2_000):
        file.write(b"x" * 1024 * 1024)
        file.flush()`,
      "child.py": `
import pathlib, subprocess, sys, time, millrace
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
pathlib.Path(millrace.params()["pid"]).write_text(str(child.pid))
print("forked", flush=True)`,
      "deaf.py": `
import os, pathlib, signal, time, millrace
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(millrace.params()["pid"]).write_text(str(os.getpid()))
print("deaf", flush=True)
while True:
    time.sleep(1)`,
      "nothing.py": "pass",
    },
    [
      one("filling", pythonNode("fill", "fill.py")),
      one("forking", pythonNode("fork", "child.py", given)),
      one("deaf", pythonNode("deaf", "deaf.py", { ...given, timeout: "1s" })),
      one("afar", pythonNode("far", "nothing.py", { backend: "slurm" })),
      one("greedy", pythonNode("train", "nothing.py", { resources: { gpus: 2 } })),
    ],
  );
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});
const said = async (pipeline: string) => api.untilOver((await api.start(pipeline)).id);
const gone = () => expect.poll(async () => isAlive(Number(await readFile(pidFile(), "utf8")))).toBe(false);

test("a step that writes without end is ended at the limit of its folder, and the folder is gone", async () => {
  const run = await said("filling");
  expect(run.message).toMatch(/The step "fill" failed: fill\.py .*64 MiB/);
  const work = path.join(folder, "data", "work");
  await expect.poll(async () => (await readdir(work, { recursive: true })).filter((name) => name.endsWith("big"))).toEqual([]);
});

test("what a step starts ends with the step, also where it left its group", async () => {
  expect((await said("forking")).state).toBe("succeeded");
  await gone();
});

test("a step that does not listen to SIGTERM is killed a while after its timeout", async () => {
  await rm(pidFile(), { force: true });
  const run = await said("deaf");
  expect(run.message).toMatch(/^The step "deaf" failed: deaf\.py ran for longer than its timeout of 1 s/);
  expect(existsSync(pidFile())).toBe(true);
  await gone();
});

test("a step for which no worker has the backend or the GPUs says so while it waits", async () => {
  const reason = async (pipeline: string) => {
    const { id } = await api.start(pipeline);
    const run = await api.until(id, (now) => now.steps[0]?.state === "ready");
    await api.call("POST", `/api/v1/runs/${id}/cancel`);
    return run.steps[0]?.reason;
  };
  expect(await reason("afar")).toContain(
    'waits for a worker with the backend "slurm": those that are alive have local. docs/compute.md says how to set one up',
  );
  expect(await reason("greedy")).toContain(
    "waits for a worker with 2 GPUs: those that are alive have at most 1. A worker says with MILLRACE_GPUS how many it has",
  );
});
