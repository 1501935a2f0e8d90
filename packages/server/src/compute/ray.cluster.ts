import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { Backend, JobInput } from "./backend.js";
import { rayBackend } from "./ray.js";
import { type RayCluster, rayCluster } from "./ray-cluster.testing.js";
import { createCompute } from "./service.js";
import { putFile, runOn, type Served, type Step, serve, textOf } from "./testing.js";

const mib = 1024 ** 2;
let cluster: RayCluster;
let served: Served;
let ray: Backend;
beforeAll(async () => {
  cluster = await rayCluster();
  served = await serve({ host: cluster.gateway, compute: { ray: { address: cluster.address } } });
  ray = createCompute(served.platform, served).backend("ray");
  await cluster.addHost("one", ["--num-cpus=1"]);
  await vi.waitFor(async () => expect(await hosts()).toBe(2), { timeout: 60_000, interval: 500 });
});
afterAll(async () => {
  await served?.close();
  await cluster?.close();
});
const run = (step: Step, rest: Parameters<typeof runOn>[3] = {}) => runOn(ray, served.platform.objects, step, rest);
async function hosts(): Promise<number> {
  const { data } = (await cluster.ask("/api/v0/nodes").catch(() => ({ data: undefined }))) as { data?: { result: { result: { state: string }[] } } };
  return data?.result.result.filter((node) => node.state === "ALIVE").length ?? 0;
}
const jobs = async () => (await cluster.ask("/api/jobs/")) as { submission_id: string; status: string }[];

test("a step gives on the cluster what it gives on this machine; logs and progress come while it runs; nothing of it stays", async () => {
  const { objects } = served.platform;
  const inputs: Record<string, JobInput> = { note: { kind: "artifact", type: "json", files: [await putFile(objects, "note.json", '{"a": 1}')] } };
  const step: Step = {
    files: {
      "fit.py": `
import millrace, os, time, socket
print("first", flush=True)
for i in range(1, 4):
    millrace.progress(i, 3); time.sleep(0.7)
print("key", os.environ["KEY"])
millrace.output("report").write({"note": millrace.inputs()["note"].json()})
millrace.output("model").mkdir(); (millrace.output("model") / "m.bin").write_bytes(b"m" * 3_000_000)
`,
    },
    ...{ inputs, outputs: { report: { type: "json" }, model: { type: "model" } }, environment: { KEY: "s3cret" }, secretValues: ["s3cret"] },
  };
  let firstAfter = 0;
  const began = performance.now();
  const there = await run(step, {
    onLine(text) {
      if (text === "first") firstAfter = performance.now() - began;
    },
  });
  const took = performance.now() - began;
  const here = await runOn(createCompute(served.platform).backend(), objects, step);
  expect(there.end.message).toBeNull();
  expect(there.end.outputs).toEqual(here.end.outputs);
  expect(await textOf(objects, there.end, "report")).toBe('{"note": {"a": 1}}');
  expect(there.lines.filter((line) => line.startsWith("stdout"))).toEqual(["stdout first", "stdout key ***"]);
  expect(there.progress).toEqual(here.progress);
  expect(took - firstAfter).toBeGreaterThan(1_000);
  expect(there.usage).toBeGreaterThan(0);
  console.log(`a step of 2.1 s: first line after ${(firstAfter / 1_000).toFixed(1)} s, end after ${(took / 1_000).toFixed(1)} s`);
  await expect.poll(async () => (await jobs()).filter((job) => job.submission_id.startsWith("millrace-")), { timeout: 20_000, interval: 500 }).toEqual([]);
});

test("a failure, a limit of memory and a cancelled step are told as on this machine", async () => {
  const failed = await run({ id: "run-2/step/1", files: { "a.py": "raise ValueError('no such column')" } });
  expect(failed.end).toMatchObject({ outcome: "failed", code: 1, message: "a.py ended with code 1: ValueError: no such column" });
  const hungry = await run({
    id: "run-2/step/2",
    files: { "a.py": "import time\nx = bytearray(300_000_000)\ntime.sleep(60)" },
    resources: { memoryBytes: 150 * mib },
  });
  expect(hungry.end).toMatchObject({ outcome: "out_of_memory", message: expect.stringContaining("more than its limit of 150 MiB") });
  const cancelling = new AbortController();
  const cancelled = await run(
    { id: "run-2/step/3", files: { "a.py": "import time\nprint('there', flush=True)\ntime.sleep(100)" } },
    { signal: cancelling.signal, onLine: (text) => text === "there" && cancelling.abort() },
  );
  expect(cancelled.end.outcome).toBe("cancelled");
  await expect.poll(async () => (await jobs()).filter((job) => job.submission_id.startsWith("millrace-")), { timeout: 20_000, interval: 500 }).toEqual([]);
});

test("who asks again for a job that runs finds it, as after a restart of Millrace", async () => {
  // The first one reaches the cluster through a way that is cut.
  const way = await passage(cluster.address);
  const cut = rayBackend(served.platform, served.access, { address: way.address });
  const step: Step = {
    id: "run-3/step/1",
    files: { "a.py": "import time, millrace\nprint('there', flush=True)\ntime.sleep(4)\nmillrace.output('r').write(1)" },
    outputs: { r: { type: "json" } },
  };
  const gone = new AbortController();
  let first: Promise<unknown> = Promise.resolve();
  await new Promise<void>((resolve) => {
    first = runOn(cut, served.platform.objects, step, { signal: gone.signal, onLine: (text) => text === "there" && resolve() });
  });
  way.close();
  // The next attempt, as it is given where the worker of the first one is gone.
  const { end, lines } = await run({ ...step, id: "run-3/step/2" });
  expect(end).toMatchObject({ outcome: "succeeded", message: null });
  expect(lines.some((line) => line.includes("is there already"))).toBe(true);
  expect(lines).toContain("stdout there");
  gone.abort();
  await first;
});

test("a node that dies takes the job with it: it is told as lost, and gives the same on another node", async () => {
  const step: Step = {
    files: { "a.py": "import time, millrace\nprint('there', flush=True)\ntime.sleep(5)\nmillrace.output('r').write({'of': [1, 2, 3]})" },
    outputs: { r: { type: "json" } },
  };
  // A node of its own for this job, so that it is known which one to kill.
  const dying = await cluster.addHost("two", ["--num-cpus=2"]);
  await expect.poll(hosts, { timeout: 60_000 }).toBe(3);
  let killed = 0;
  const first = await run(
    { ...step, id: "run-4/step/1", resources: { cpus: 2 } },
    {
      onLine(text) {
        if (text !== "there" || killed > 0) return;
        killed = performance.now();
        void dying.kill();
      },
    },
  );
  expect(first.end).toMatchObject({ outcome: "lost", message: expect.stringContaining("The node that ran a.py is gone.") });
  console.log(`known as lost ${((performance.now() - killed) / 1_000).toFixed(1)} s after the node was killed`);
  const second = await run({ ...step, id: "run-4/step/2" });
  const here = await runOn(createCompute(served.platform).backend(), served.platform.objects, step);
  expect(second.end.message).toBeNull();
  expect(second.end.outputs).toEqual(here.end.outputs);
});

interface Passage {
  address: string;
  close(): void;
}
async function passage(to: string): Promise<Passage> {
  const target = new URL(to);
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    const on = connect(Number(target.port), target.hostname);
    for (const one of [socket, on]) {
      open.add(one);
      one.on("error", () => {});
      one.on("close", () => open.delete(one));
    }
    socket.pipe(on).pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const at = server.address();
  if (at === null || typeof at === "string") throw new Error("The passage has no port.");
  return {
    address: `http://127.0.0.1:${at.port}`,
    close() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}
