import { expect, it } from "vitest";
import type { ServedModel } from "../inference/index.js";
import { openDeployments } from "./deployments.js";

/** Models of 10 bytes each; those of a name with "slow" in it take a run until `release`. */
function deployments(memoryBytes: number, graceMs = 0) {
  const open = new Set<string>();
  let most = 0;
  const closed: string[] = [];
  const releases: (() => void)[] = [];
  const registered = async (model: string, version: number) => ({
    ...{ model, version, digest: "", service: null, runId: "" },
    files: [{ path: "model.onnx", digest: `sha256:${Buffer.from(model.padEnd(32)).toString("hex")}`, size: 1 }],
  });
  const made = openDeployments(
    {
      registry: { registered },
      objects: { localPath: async (digest) => Buffer.from(digest.slice("sha256:".length), "hex").toString().trim() },
      projects: { list: async () => [] },
      inference: {
        async open(source): Promise<ServedModel> {
          const name = "onnx" in source ? source.onnx : "";
          open.add(name);
          most = Math.max(most, open.size);
          return {
            ...{ platform: "onnxruntime_onnx", inputs: null, outputs: null, batches: true, bytes: 10 },
            async run(inputs) {
              if (name.startsWith("slow")) await new Promise<void>((resolve) => releases.push(resolve));
              if (!open.has(name)) throw new Error("it was closed");
              return [...inputs];
            },
            async close() {
              open.delete(name);
              closed.push(name);
            },
          };
        },
      },
    },
    { memoryBytes, graceMs },
  );
  return { made, open, closed, most: () => most, releases };
}
const row = [{ name: "x", datatype: "FP32" as const, shape: [1], data: Float32Array.of(1) }];

it("of a thousand models fifty stay in memory, those that were used last, and each answers", async () => {
  const { made, open, closed, most } = deployments(500);
  await (await made.open("always", 1)).run(row);
  for (let i = 0; i < 1_000; i++) {
    await (await made.open(`model-${i}`, 1)).run(row);
    await (await made.open("always", 1)).run(row);
  }
  await expect.poll(() => open.size).toBe(50);
  expect(most()).toBeLessThanOrEqual(52);
  expect([...open]).toEqual(["always", ...Array.from({ length: 49 }, (_, i) => `model-${951 + i}`)]);
  expect(closed.slice(0, 3)).toEqual(["model-0", "model-1", "model-2"]);
  await (await made.open("model-0", 1)).run(row);
  expect(open.has("model-0")).toBe(true);
  await made.close();
  expect(open.size).toBe(0);
});

it("what is running ends before its model is closed, and what stays for a switch is closed last", async () => {
  const { made, open, closed, releases } = deployments(30);
  made.keep([{ model: "kept", version: 1 }]);
  await (await made.open("kept", 1)).run(row);
  const running = (await made.open("slow", 1)).run(row);
  await expect.poll(() => releases.length).toBe(1);
  for (let i = 0; i < 5; i++) await (await made.open(`model-${i}`, 1)).run(row);
  expect(open.has("kept")).toBe(true);
  expect(closed).not.toContain("slow");
  releases[0]?.();
  expect(await running).toHaveLength(1);
  await expect.poll(() => closed).toContain("slow");
  await made.close();
});

it("a model that is larger than the limit answers too", async () => {
  const { made, open } = deployments(5, 500);
  expect(await (await made.open("large", 1)).run(row)).toHaveLength(1);
  await made.close();
  expect(open.size).toBe(0);
});
