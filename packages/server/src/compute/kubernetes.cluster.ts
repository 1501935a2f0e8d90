import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { parseAllDocuments } from "yaml";
import type { KubernetesConfig } from "../platform/index.js";
import type { Backend, JobInput } from "./backend.js";
import type { Kubelet } from "./kubelet.testing.js";
import { kubernetesBackend } from "./kubernetes.js";
import { type Cluster, kubernetesCluster } from "./kubernetes-cluster.testing.js";
import { createCompute } from "./service.js";
import { putFile, runOn, type Served, type Step, serve, textOf } from "./testing.js";

const mib = 1024 ** 2;
let cluster: Cluster;
let served: Served;
let node: Kubelet;
let kubernetes: Backend;
const backends: Backend[] = [];
function backend(config: Partial<KubernetesConfig> = {}): Backend {
  const one = kubernetesBackend(served.platform, served.access, { from: "kubeconfig", ...config });
  backends.push(one);
  return one;
}
beforeAll(async () => {
  cluster = await kubernetesCluster();
  process.env.KUBECONFIG = cluster.kubeconfig;
  served = await serve();
  node = await cluster.addNode("one");
  kubernetes = backend();
});
afterAll(async () => {
  await Promise.all(backends.map((one) => one.stop?.()));
  await served?.close();
  await cluster?.close();
});
const run = (step: Step, rest: Parameters<typeof runOn>[3] = {}) => runOn(kubernetes, served.platform.objects, step, rest);
async function names(at: string): Promise<string[]> {
  const { body } = await cluster.ask("GET", at);
  return (body.items as { metadata: { name: string } }[]).flatMap((one) => (one.metadata.name.startsWith("millrace-") ? [one.metadata.name] : []));
}
const jobs = () => names("/apis/batch/v1/namespaces/default/jobs");
const secrets = () => names("/api/v1/namespaces/default/secrets");
const nothing = async () => {
  await expect.poll(jobs, { timeout: 30_000, interval: 500 }).toEqual([]);
  await expect.poll(secrets, { timeout: 30_000, interval: 500 }).toEqual([]);
};

test("a step gives on the cluster what it gives on this machine; its log comes while it runs, also when it breaks off; secrets are in a Secret, and nothing of it stays", async () => {
  const { objects } = served.platform;
  const inputs: Record<string, JobInput> = { note: { kind: "artifact", type: "json", files: [await putFile(objects, "note.json", '{"a": 1}')] } };
  const step: Step = {
    files: {
      "fit.py": `
import millrace, os, time
print("first", flush=True)
for i in range(1, 4):
    millrace.progress(i, 3); print("line", i, flush=True); time.sleep(1.5)
print("key", os.environ["KEY"])
millrace.output("report").write({"note": millrace.inputs()["note"].json()})
millrace.output("model").mkdir(); (millrace.output("model") / "m.bin").write_bytes(b"m" * 3_000_000)
`,
    },
    ...{ inputs, outputs: { report: { type: "json" }, model: { type: "model" } }, environment: { KEY: "s3cret" }, secretValues: ["s3cret"] },
  };
  let firstAfter = 0;
  let manifest = "";
  let kept: string[] = [];
  const began = performance.now();
  const there = await run(step, {
    onLine(text) {
      if (text === "first") {
        firstAfter = performance.now() - began;
        void cluster.ask("GET", "/apis/batch/v1/namespaces/default/jobs").then(async ({ body }) => {
          manifest = JSON.stringify(body);
          kept = await secrets();
        });
      }
      if (text === "line 2") node.cutLogs();
    },
  });
  const took = performance.now() - began;
  const here = await runOn(createCompute(served.platform).backend(), objects, step);
  expect(there.end.message).toBeNull();
  expect(there.end.outputs).toEqual(here.end.outputs);
  expect(await textOf(objects, there.end, "report")).toBe('{"note": {"a": 1}}');
  expect(there.lines.filter((line) => line.startsWith("stdout"))).toEqual([
    "stdout first",
    "stdout line 1",
    "stdout line 2",
    "stdout line 3",
    "stdout key ***",
  ]);
  expect(there.progress).toEqual(here.progress);
  expect(took - firstAfter).toBeGreaterThan(2_000);
  expect(there.usage).toBeGreaterThan(0);
  expect(kept).toHaveLength(1);
  expect(manifest).toContain("millrace/step");
  expect(manifest).not.toMatch(/s3cret|"name":"(KEY|MILLRACE_JOB_TOKEN)"/);
  console.log(`a step of 4.5 s: first line after ${(firstAfter / 1_000).toFixed(1)} s, end after ${(took / 1_000).toFixed(1)} s`);
  await nothing();
});

test("a failure and a limit of memory are told as on this machine, and so is the kernel's killer; a cancelled step ends with its pod", async () => {
  const failed = await run({ id: "run-2/step/1", files: { "a.py": "raise ValueError('no such column')" } });
  expect(failed.end).toMatchObject({ outcome: "failed", code: 1, message: "a.py ended with code 1: ValueError: no such column" });
  const hungry = {
    files: { "a.py": "import time\nprint('there', flush=True)\nx = bytearray(300_000_000)\ntime.sleep(60)" },
    resources: { memoryBytes: 150 * mib },
  };
  const ended = await run({ ...hungry, id: "run-2/step/2" });
  expect(ended.end).toMatchObject({ outcome: "out_of_memory", message: expect.stringContaining("more than its limit of 150 MiB") });
  const sleeping = { files: { "a.py": "import time\nprint('there', flush=True)\ntime.sleep(100)" } };
  const killed = await run(
    { ...sleeping, resources: { memoryBytes: 150 * mib }, id: "run-2/step/3" },
    { onLine: (text) => text === "there" && node.runOutOfMemory() },
  );
  expect(killed.end).toMatchObject({ outcome: "out_of_memory", message: "a.py was killed by the system: it used more memory than its limit of 150 MiB." });
  const cancelling = new AbortController();
  const cancelled = await run({ ...sleeping, id: "run-2/step/4" }, { signal: cancelling.signal, onLine: (text) => text === "there" && cancelling.abort() });
  expect(cancelled.end).toMatchObject({ outcome: "cancelled", message: "The step was cancelled." });
  expect(node.running()).toBe(0);
  await nothing();
});

test("what keeps a step from starting is told at once, in the cluster's words: no room, no image, no right, no place", async () => {
  const ask = async (one: Backend, step: Partial<Step>, until: RegExp) => {
    const cancelling = new AbortController();
    const onLine = (text: string) => until.test(text) && cancelling.abort();
    const { end, lines } = await runOn(one, served.platform.objects, { files: { "a.py": "" }, ...step }, { signal: cancelling.signal, onLine });
    expect(lines.join("\n")).toMatch(until);
    expect(end.outcome).toBe("cancelled");
  };
  await ask(
    kubernetes,
    { id: "run-3/a/1", resources: { cpus: 1_000, gpus: 1 } },
    /no room yet for 1000 CPUs, 1 GPU: 0\/1 nodes are available: .*Insufficient cpu/,
  );
  await ask(backend({ image: "registry.invalid/none:1" }), { id: "run-3/b/1" }, /The image can't be had \(ImagePullBackOff\): Back-off pulling/);
  await ask(backend({ serviceAccount: "nobody" }), { id: "run-3/c/1" }, /makes no pod for the Job: .*serviceaccount "nobody" not found/);
  const nowhere = await runOn(backend({ namespace: "nowhere" }), served.platform.objects, { id: "run-3/d/1", files: { "a.py": "" } });
  expect(nowhere.end).toMatchObject({ outcome: "failed", message: expect.stringMatching(/refused the Job \(404\): namespaces "nowhere" not found/) });
  await nothing();
});

test("who asks again for a step whose worker is gone finds its Job, and starts none", async () => {
  const step: Step = {
    files: { "a.py": "import time, millrace\nprint('there', flush=True)\ntime.sleep(4)\nmillrace.output('r').write(1)" },
    outputs: { r: { type: "json" } },
  };
  // The first one is left alone, as a worker that is killed leaves it: nothing that it does is waited for.
  const first = backend();
  let following: Promise<unknown> = Promise.resolve();
  await new Promise<void>((resolve) => {
    following = runOn(first, served.platform.objects, { ...step, id: "run-4/step/1" }, { onLine: (text) => text === "there" && resolve() });
  });
  const { end, lines } = await run({ ...step, id: "run-4/step/2" });
  expect(end).toMatchObject({ outcome: "succeeded", message: null });
  expect(lines[0]).toMatch(/is there already/);
  expect(lines).toContain("stdout there");
  await following;
  await nothing();
});

test("a pod that is evicted, and a node that dies, lose the step: it gives the same on another node", async () => {
  const step: Step = {
    files: { "a.py": "import time, millrace\nprint('there', flush=True)\ntime.sleep(3)\nmillrace.output('r').write({'of': [1, 2, 3]})" },
    outputs: { r: { type: "json" } },
  };
  const evict = async () => {
    const [name = ""] = await names("/api/v1/namespaces/default/pods?fieldSelector=status.phase%3DRunning");
    const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name, namespace: "default" } };
    await cluster.ask("POST", `/api/v1/namespaces/default/pods/${name}/eviction`, eviction);
  };
  const evicted = await run({ ...step, id: "run-5/step/1" }, { onLine: (text) => text === "there" && void evict() });
  expect(evicted.end.outcome).toBe("lost");
  await cluster.ask("PATCH", "/api/v1/nodes/one", { spec: { unschedulable: true } });
  const dying = await cluster.addNode("two", { "nvidia.com/gpu": "1" });
  let killed = 0;
  const first = await run(
    { ...step, id: "run-5/step/2", resources: { gpus: 1 } },
    {
      onLine(text) {
        if (text !== "there") return;
        killed = performance.now();
        void dying.kill();
      },
    },
  );
  expect(first.end).toMatchObject({ outcome: "lost", message: expect.stringContaining("two") });
  const parts = "6 s until the cluster misses it (by default 40), 10 s in which its pods stay, 20 s of their grace, and 10 s that are waited beyond it";
  console.log(`known as lost ${((performance.now() - killed) / 1_000).toFixed(1)} s after the node was killed: ${parts}`);
  await cluster.ask("PATCH", "/api/v1/nodes/one", { spec: { unschedulable: null } });
  const again = await run({ ...step, id: "run-5/step/3" });
  const here = await runOn(createCompute(served.platform).backend(), served.platform.objects, step);
  expect(again.end.message).toBeNull();
  expect(again.end.outputs).toEqual(here.end.outputs);
});

test("the manifests that `millrace render kubernetes` prints are taken by a cluster, and give just the rights that steps need", async () => {
  const cli = fileURLToPath(new URL("../../../cli/src/main.ts", import.meta.url));
  const args = [
    "--conditions=millrace-source",
    "--import",
    "tsx",
    cli,
    "render",
    "kubernetes",
    "--image",
    "registry.example/millrace:1",
    "--namespace",
    "loop",
  ];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const all = parseAllDocuments(stdout).map((one) => one.toJS() as { apiVersion: string; kind: string; metadata: { name: string; namespace?: string } });
  expect(all.map((one) => one.kind).sort()).toEqual(
    ["ConfigMap", "Deployment", "Deployment", "Namespace", "Role", "RoleBinding", "Secret", "Service", "ServiceAccount"].sort(),
  );
  for (const one of all) {
    const base = one.apiVersion === "v1" ? "/api/v1" : `/apis/${one.apiVersion}`;
    const within = one.metadata.namespace === undefined ? "" : `/namespaces/${one.metadata.namespace}`;
    const at = `${base}${within}/${one.kind.toLowerCase()}s?fieldValidation=Strict`;
    const tried = await cluster.ask("POST", `${at}&dryRun=All`, one);
    expect([one.kind, tried.status, tried.body.message]).toEqual([one.kind, 201, undefined]);
    // What starts pods is only tried.
    if (one.kind !== "Deployment") expect((await cluster.ask("POST", at, one)).status).toBe(201);
  }
  await vi.waitFor(async () => expect((await cluster.ask("GET", "/api/v1/namespaces/loop/serviceaccounts/default")).status).toBe(200), { timeout: 30_000 });
  process.env.KUBECONFIG = await cluster.kubeconfigOf({ namespace: "loop", name: "millrace" });
  const allowed = backend();
  const step: Step = { id: "run-6/step/1", files: { "a.py": "import millrace; millrace.output('r').write(1)" }, outputs: { r: { type: "json" } } };
  const { end } = await runOn(allowed, served.platform.objects, step);
  expect(end).toMatchObject({ outcome: "succeeded", message: null });
  const elsewhere = await runOn(backend({ namespace: "default" }), served.platform.objects, { ...step, id: "run-6/step/2" });
  expect(elsewhere.end).toMatchObject({ outcome: "failed", message: expect.stringMatching(/\(403\): .*`millrace render kubernetes` shows what/) });
});
