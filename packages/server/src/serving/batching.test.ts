import { describe, expect, it } from "vitest";
import type { RunOptions, ServedModel, Tensor } from "../inference/index.js";
import { batched } from "./batching.js";

const tensor = (values: number[], width = 1, name = "x"): Tensor => ({
  ...{ name, datatype: "FP32", shape: width === 1 ? [values.length] : [values.length / width, width] },
  data: Float32Array.from(values),
});

/** A model that doubles; a run ends when `release` is called, where it is held, and fails on values below 0. */
function doubling({ held = false, batches = true, runsAtOnce = 1 } = {}) {
  const runs: { inputs: readonly Tensor[]; options: RunOptions | undefined }[] = [];
  const ends: (() => void)[] = [];
  const model: ServedModel = {
    ...{ platform: "onnxruntime_onnx", inputs: null, outputs: null, batches, bytes: 1, runsAtOnce },
    async run(inputs, options) {
      runs.push({ inputs, options });
      if (held) await new Promise<void>((resolve) => ends.push(resolve));
      return inputs.map((input) => {
        const values = Array.from(input.data, Number);
        if (values.some((value) => value < 0)) throw new Error("below 0");
        return { ...input, name: `${input.name}2`, data: Float32Array.from(values, (value) => 2 * value) };
      });
    },
    close: async () => {},
  };
  const release = async () => {
    await expect.poll(() => ends.length).toBeGreaterThan(0);
    ends.shift()?.();
  };
  return { model, runs, release };
}
const values = (outputs: Tensor[]) => outputs.map(({ shape, data }) => [shape, Array.from(data, Number)]);

describe("batching", () => {
  it("runs what comes in the same turn together, and gives each its own rows", async () => {
    const { model, runs } = doubling();
    const { run } = batched(model);
    const found = await Promise.all([run([tensor([1])]), run([tensor([2, 3])]), run([tensor([4])])]);
    expect(found.map(values)).toEqual([[[[1], [2]]], [[[2], [4, 6]]], [[[1], [8]]]]);
    expect(runs.map(({ inputs }) => inputs[0]?.shape)).toEqual([[4]]);
  });

  it("keeps apart what differs in names, datatypes, widths or wanted outputs, and what comes from a model of single requests", async () => {
    const { model, runs } = doubling();
    const { run } = batched(model);
    const halves: Tensor = { name: "x", datatype: "FP64", shape: [1], data: Float64Array.of(1) };
    await Promise.all([
      run([tensor([1])]),
      run([tensor([1, 2], 2)]),
      run([tensor([1], 1, "y")]),
      run([halves]),
      run([tensor([5])], { outputs: ["x2"] }),
      run([tensor([7])]),
    ]);
    expect(runs.map(({ inputs, options }) => [inputs[0]?.name, inputs[0]?.datatype, inputs[0]?.shape, options?.outputs])).toEqual([
      ["x", "FP32", [2], undefined],
      ["x", "FP32", [1, 2], undefined],
      ["y", "FP32", [1], undefined],
      ["x", "FP64", [1], undefined],
      ["x", "FP32", [1], ["x2"]],
    ]);
    const single = doubling({ batches: false });
    const alone = batched(single.model);
    await Promise.all([alone.run([tensor([1])]), alone.run([tensor([2])])]);
    expect(single.runs).toHaveLength(2);
  });

  it("joins texts and truth values as it joins numbers", async () => {
    const { run } = batched({ ...doubling().model, run: async (inputs) => [...inputs] });
    const texts = (data: (string | null)[]): Tensor[] => [
      { name: "t", datatype: "BYTES", shape: [data.length], data },
      { name: "b", datatype: "BOOL", shape: [data.length], data: Uint8Array.from(data, (one) => (one === null ? 0 : 1)) },
    ];
    const found = await Promise.all([run(texts(["a", null])), run(texts(["c"]))]);
    expect(found).toEqual([texts(["a", null]), texts(["c"])]);
  });

  it("runs each alone where they fail together", async () => {
    const { model, runs } = doubling();
    const { run } = batched(model);
    const found = await Promise.allSettled([run([tensor([1])]), run([tensor([-1])]), run([tensor([3])])]);
    expect(found.map((one) => (one.status === "fulfilled" ? values(one.value) : (one.reason as Error).message))).toEqual([
      [[[1], [2]]],
      "below 0",
      [[[1], [6]]],
    ]);
    expect(runs).toHaveLength(4);
  });

  it("gathers what comes while a run is under way, up to the rows of a run", async () => {
    const { model, runs, release } = doubling({ held: true });
    const { run } = batched(model, { rows: 3, waiting: 100, waitingRows: 100 });
    const first = run([tensor([1])]);
    await expect.poll(() => runs.length).toBe(1);
    const others = [run([tensor([2, 2])]), run([tensor([3])]), run([tensor([4])])];
    await release();
    await first;
    await release();
    await release();
    await Promise.all(others);
    expect(runs.map(({ inputs }) => inputs[0]?.shape[0])).toEqual([1, 3, 1]);
  });

  it("runs as many at once as the model takes", async () => {
    const { model, runs, release } = doubling({ held: true, runsAtOnce: 2 });
    const { run } = batched(model);
    const first = run([tensor([1])]);
    await expect.poll(() => runs.length).toBe(1);
    const second = run([tensor([2])]);
    await expect.poll(() => runs.length).toBe(2);
    const third = run([tensor([3])]);
    await release();
    await release();
    await release();
    await Promise.all([first, second, third]);
  });

  it("refuses at once what finds the queue full, by requests and by rows", async () => {
    const { model, runs, release } = doubling({ held: true });
    const { run, close } = batched(model, { rows: 10, waiting: 2, waitingRows: 5 });
    const first = run([tensor([1])]);
    await expect.poll(() => runs.length).toBe(1);
    const waiting = run([tensor([2, 2, 2])]);
    await expect(run([tensor([1, 1, 1])])).rejects.toMatchObject({ status: 429, code: "OVERLOADED" });
    const another = run([tensor([3])]);
    await expect(run([tensor([4])])).rejects.toMatchObject({ status: 429 });
    await release();
    await release();
    await Promise.all([first, waiting, another]);
    await close();
  });

  it("answers at its deadline who waits or is being run, and does not run what is past it", async () => {
    const { model, runs, release } = doubling({ held: true });
    const { run } = batched(model);
    const began = performance.now();
    const first = run([tensor([1])], { deadline: began + 60 });
    await expect.poll(() => runs.length).toBe(1);
    const second = run([tensor([2])], { deadline: began + 40 });
    await expect(run([tensor([3])], { deadline: began - 1 })).rejects.toMatchObject({ status: 504 });
    await expect(second).rejects.toMatchObject({ status: 504, code: "DEADLINE_EXCEEDED" });
    await expect(first).rejects.toMatchObject({ status: 504 });
    expect(performance.now() - began).toBeLessThan(2_000);
    const third = run([tensor([4])]);
    await release();
    await release();
    expect(values(await third)).toEqual([[[1], [8]]]);
    expect(runs.map(({ inputs }) => inputs[0]?.data)).toEqual([Float32Array.of(1), Float32Array.of(4)]);
  });

  it("lets a cancelled request leave the queue, also to make room", async () => {
    const { model, runs, release } = doubling({ held: true });
    const { run } = batched(model, { rows: 10, waiting: 1, waitingRows: 10 });
    const first = run([tensor([1])]);
    await expect.poll(() => runs.length).toBe(1);
    const leaving = new AbortController();
    const gone = run([tensor([2])], { signal: leaving.signal });
    leaving.abort();
    const next = run([tensor([3])]);
    await expect(gone).rejects.toMatchObject({ code: "CANCELLED" });
    await release();
    await release();
    await Promise.all([first, next]);
    expect(runs.map(({ inputs }) => inputs[0]?.data)).toEqual([Float32Array.of(1), Float32Array.of(3)]);
  });

  it("closes when what waits has been answered", async () => {
    const { model } = doubling();
    const { run, close } = batched(model);
    const asked = run([tensor([1])]);
    await close();
    expect(values(await asked)).toEqual([[[1], [2]]]);
  });
});
