import { spawn } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isAlive } from "../platform/index.js";
import type { Backend, JobInput } from "./backend.js";
import { pythonCommand } from "./layout.js";
import { follow, prepare, readEnd, withoutEnd } from "./remote.js";
import { createCompute } from "./service.js";
import { putFile, runOn, type Served, type Step, serve, textOf } from "./testing.js";

const mib = 1024 ** 2;
let served: Served;
let node: string;
/** A node of a cluster, as far as a process of this machine with nothing but an address and a token is one. */
let remote: Pick<Backend, "run">;
let local: Backend;
beforeAll(async () => {
  served = await serve({ compute: { folderBytes: 20 * mib } });
  node = await mkdtemp(path.join(tmpdir(), "millrace-node-"));
  local = createCompute(served.platform, served).backend();
  remote = {
    async run(job, watch) {
      const { entrypoint, environment } = await prepare(served.platform, served.access, job);
      const follower = follow(job, watch);
      const child = spawn(entrypoint, {
        shell: "/bin/bash",
        env: { ...process.env, HOME: node, TMPDIR: node, ...environment },
        stdio: ["ignore", "pipe", "inherit"],
      });
      const stop = () => child.kill("SIGTERM");
      watch.signal.addEventListener("abort", stop);
      let log = "";
      for await (const part of child.stdout.setEncoding("utf8")) {
        log += part;
        follower.take(log);
      }
      const result = follower.result();
      return result === undefined ? withoutEnd("lost", "", follower) : readEnd(served.platform, job, result, follower);
    },
  };
});
afterAll(async () => {
  await served.close();
  await rm(node, { recursive: true, force: true });
});
const run = (step: Step, signal = new AbortController().signal) => runOn(remote, served.platform.objects, step, { signal });

test("a step gives on a node what it gives on this machine, and says as much", async () => {
  const { objects } = served.platform;
  const inputs: Record<string, JobInput> = {
    note: { kind: "artifact", type: "json", files: [await putFile(objects, "note.json", '{"a": 1}')] },
    models: {
      kind: "list",
      items: [{ kind: "artifact", type: "model", files: [await putFile(objects, "a/m.bin", "A"), await putFile(objects, "empty", "")] }],
    },
    depth: { kind: "value", value: 6 },
  };
  const step: Step = {
    files: {
      "steps/fit.py": `
import millrace, os
def fit(note: dict, models: list, depth: int):
    millrace.progress(1, 1); millrace.metrics({"auc": 0.5})
    print("secret is", os.environ["KEY"], sorted(k for k in os.environ if k.startswith("MILLRACE_JOB")))
    folder = millrace.output("model"); (folder / "ä").mkdir(parents=True); (folder / "ä" / "x").write_bytes(b"x" * 100); (folder / "b").write_bytes(b"")
    return {"report": {"note": note, "depth": depth, "files": len(os.listdir(models[0]))}}
`,
    },
    command: pythonCommand("steps.fit:fit"),
    ...{ inputs, outputs: { report: { type: "json" }, model: { type: "model" } }, params: { depth: 6 } },
    ...{ environment: { KEY: "s3cret" }, secretValues: ["s3cret"] },
  };
  const there = await run(step);
  const here = await runOn(local, objects, step);
  expect(there.end).toMatchObject({ outcome: "succeeded", code: 0, message: null });
  expect(JSON.parse(await textOf(objects, there.end, "report"))).toEqual({ note: { a: 1 }, depth: 6, files: 2 });
  expect(there.end.outputs).toEqual(here.end.outputs);
  expect([there.progress, there.metrics, there.lines]).toEqual([here.progress, here.metrics, here.lines]);
  expect(there.lines).toEqual(["stdout secret is *** []"]);
  expect(there.end.usage.peakMemoryBytes).toBeGreaterThan(5 * mib);
  // Of the step nothing stays on the node, but what is kept for the next ones.
  expect((await readdir(node)).filter((name) => name !== ".cache")).toEqual([]);
});

test("a step fails on a node as it does on this machine", async () => {
  const given: JobInput = { kind: "artifact", type: "model", files: [await putFile(served.platform.objects, "large", "x".repeat(25 * mib))] };
  const steps: Step[] = [
    { files: { "a.py": "raise ValueError('no such column')" } },
    { files: { "a.py": "raise MemoryError('Unable to allocate 8 TiB')" } },
    { files: { "a.py": "import time\ntime.sleep(60)" }, timeoutMs: 500 },
    { files: { "a.py": "" }, outputs: { model: { type: "model" } } },
    { files: { "a.py": "" }, command: ["no-such-program"] },
    { files: { "a.py": "" }, command: ["cp", "{inputs.nothing}"] },
    { files: { "a.py": "import os; os.kill(os.getpid(), 9)" } },
    { files: { "fill.py": "open('big', 'wb').truncate(30_000_000)" }, inputs: { given } },
  ];
  for (const step of steps) {
    const [there, here] = [await run(step), await runOn(local, served.platform.objects, step)];
    const { outcome, code, signal, message } = there.end;
    const used = (text: string | null) =>
      text
        ?.replace(/\(it had used .*\)/, "")
        .replace(/of the machine that runs the step|of \S+\.$/, "of here.")
        .replace("here..", "here.");
    expect({ outcome, code, signal, message: used(message) }).toEqual({
      ...{ outcome: here.end.outcome, code: here.end.code, signal: here.end.signal },
      message: used(here.end.message),
    });
    expect(there.end.outcome).not.toBe("succeeded");
  }
  const fits = await run({ files: { "fill.py": "open('big', 'wb').truncate(10_000_000)" }, inputs: { given } });
  expect(fits.end.outcome).toBe("succeeded");
  const { end } = await run({
    files: { "a.py": "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'x = bytearray(300_000_000); import time; time.sleep(60)'])" },
    resources: { memoryBytes: 150 * mib },
  });
  expect(end.message).toMatch(/^a\.py used \d+\.\d MiB of memory: more than its limit of 150 MiB, and was ended\.$/);
}, 60_000);

test("on a node too, all that a step started ends with it, also when it is cancelled", async () => {
  const files = {
    "a.py": "import subprocess, time\np = subprocess.Popen(['sleep', '100'], start_new_session=True)\nprint(p.pid, flush=True)\ntime.sleep(100)",
  };
  const cancelling = new AbortController();
  const told = await runOn(remote, served.platform.objects, { files }, { signal: cancelling.signal, onLine: () => cancelling.abort() });
  expect(told.end.outcome).toBe("cancelled");
  const pid = Number(told.lines[0]?.split(" ")[1]);
  expect(pid).toBeGreaterThan(0);
  await expect.poll(() => isAlive(pid)).toBe(false);
});

test("an environment of locked requirements is made on the node, once", async () => {
  const { objects } = served.platform;
  const lock = await objects.put(Buffer.from("iniconfig==2.0.0 --hash=sha256:b6a85871a79d2e3b22d2d1b94ac2824226a63c6b741c88f7ae975f18b6778374\n"));
  const step: Step = { files: { "a.py": "import iniconfig; print('there')" }, python: { requirements: { path: "requirements.lock", digest: lock.digest } } };
  const [one, two] = await Promise.all([run(step), run(step)]);
  expect([one.end.message, two.end.message]).toEqual([null, null]);
  expect([...one.lines, ...two.lines].filter((line) => line.includes("The environment is ready"))).toHaveLength(1);
  const wrong = await objects.put(Buffer.from(`iniconfig==2.0.0 --hash=sha256:${"0".repeat(64)}\n`));
  const failed = await run({ ...step, python: { requirements: { path: "requirements.lock", digest: wrong.digest } } });
  expect(failed.end.message).toMatch(/^The requirements can't be installed/);
}, 120_000);

test("a job's token lets in to objects, and to nothing else", async () => {
  const { objects } = served.platform;
  const { digest } = await objects.put(Buffer.from("there"));
  const ask = (token: string, method = "GET", body?: string) =>
    fetch(`${served.url}/api/v1/compute/objects/${digest}`, { method, headers: { authorization: `Bearer ${token}` }, ...(body === undefined ? {} : { body }) });
  const token = served.access.issueToken("job", ["compute:*"], 60_000);
  expect(await (await ask(token)).text()).toBe("there");
  expect((await ask(token, "PUT", "there")).status).toBe(200);
  expect((await ask(token, "PUT", "something else")).status).toBe(400);
  expect((await ask("nobody")).status).toBe(401);
  expect((await ask(served.access.issueToken("job", ["tracking:*"], 60_000))).status).toBe(403);
});
