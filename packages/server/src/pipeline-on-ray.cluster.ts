/** A whole pipeline on a real Ray cluster, with a node of it killed in the middle, beside the same on this machine. */
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { RunDetail } from "@millrace/sdk/api";
import { createClient } from "@millrace/sdk/client";
import type { NodeSpec, ProjectSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type Host, type RayCluster, rayCluster } from "./compute/ray-cluster.testing.js";
import { addUser, type RunningServer, startServer } from "./server.js";

let folder: string;
let cluster: RayCluster;
let server: RunningServer;
let client: ReturnType<typeof createClient>;
let dying: Host;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  cluster = await rayCluster();
  const compute = { ray: { address: cluster.address } };
  const config = { host: cluster.gateway, port: 0, dataDir: folder, clock: { kind: "system" as const }, logLevel: "error", compute };
  const token = await addUser(config, "anna", "admin");
  server = await startServer(config);
  client = createClient({ url: server.url, token });
  // The first steps have room on one host, and the others on both.
  dying = await cluster.addHost("dying", ["--num-cpus=2"]);
  await vi.waitFor(async () => expect(await hosts()).toBe(2), { timeout: 60_000, interval: 500 });
});
afterAll(async () => {
  await server?.stop();
  await cluster?.close();
  await rm(folder, { recursive: true, force: true });
});
async function hosts(): Promise<number> {
  const { data } = (await cluster.ask("/api/v0/nodes").catch(() => ({ data: undefined }))) as { data?: { result: { result: { state: string }[] } } };
  return data?.result.result.filter((node) => node.state === "ALIVE").length ?? 0;
}

const script = `import json, time, millrace
inputs = millrace.inputs()
by = inputs.pop("by").value
before = [one.json() for one in inputs.values()]
print("there", flush=True)
time.sleep(3)
millrace.output("made").write_text(json.dumps({"by": by, "before": before}, sort_keys=True))
`;
/** Two chains that are joined. */
function chains(backend: string): NodeSpec[] {
  const node = (id: string, after: string[]): NodeSpec => ({
    ...{ id, kind: "python", backend, cache: false, outputs: [{ name: "made", type: "json" }], config: { script: "work.py" } },
    inputs: { by: { literal: id }, ...Object.fromEntries(after.map((one) => [one, { node: one, output: "made" }])) },
  });
  return [node("a1", []), node("b1", []), node("a2", ["a1"]), node("b2", ["b1"]), node("end", ["a2", "b2"])];
}
const digests = (run: RunDetail) => Object.fromEntries(run.steps.map(({ id, outputs }) => [id, outputs.made?.digest]));

test("a pipeline gives on Ray what it gives here, also when a node that runs its steps dies: they are done again on another one", async () => {
  const bytes = Buffer.from(script);
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  await client.projects.upload(digest, bytes);
  const none = { datasets: [], schemas: [], entities: [], featureViews: [], featureServices: [], endpoints: [], monitors: [], triggers: [] };
  const pipelines = ["ray", "local"].map((backend) => ({ name: `on-${backend}`, params: [], nodes: chains(backend) }));
  const spec: ProjectSpec = {
    ...{ apiVersion: "millrace/v1", name: "test", ...none, pipelines, files: [{ path: "work.py", digest, size: bytes.length }], folder: "/nowhere" },
  };
  await client.projects.apply(spec);

  const { id } = await client.pipelines.start("on-ray");
  const said = async (step: string) => (await client.runs.log(id, step)).lines.some(({ text }) => text === "there");
  await expect.poll(async () => (await said("a2")) && (await said("b2")), { timeout: 120_000, interval: 200 }).toBe(true);
  const killed = performance.now();
  await dying.kill();
  await cluster.addHost("other", ["--num-cpus=2"]);
  await expect.poll(async () => (await client.runs.get(id)).state, { timeout: 200_000, interval: 500 }).not.toBe("running");
  console.log(`a run whose node was killed in its middle ends ${((performance.now() - killed) / 1_000).toFixed(1)} s later`);
  const there = await client.runs.get(id);
  expect(there).toMatchObject({ state: "succeeded", message: null });
  expect(there.steps.map((step) => [step.id, step.attempt])).toEqual([
    ["a1", 1],
    ["b1", 1],
    ["a2", 2],
    ["b2", 2],
    ["end", 1],
  ]);
  const { attempts } = await client.runs.step(id, "a2");
  expect(attempts.map(({ outcome }) => outcome)).toEqual(["lost", "succeeded"]);

  const local = (await client.pipelines.start("on-local")).id;
  await expect.poll(async () => (await client.runs.get(local)).state, { timeout: 60_000, interval: 200 }).toBe("succeeded");
  expect(digests(there)).toEqual(digests(await client.runs.get(local)));
});
