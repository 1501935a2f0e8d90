import { monitorEventLoopDelay } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { createInference, type Tensor } from "../index.js";
import { costOf } from "./cost.js";

const matrix = fileURLToPath(new URL("../fixtures/matrix.onnx", import.meta.url));
const { open } = createInference();
const rows = (n: number): Tensor[] => [{ name: "X", datatype: "FP32", shape: [n, 2], data: Float32Array.from({ length: 2 * n }, (_, at) => at % 7) }];

describe("ONNX in this process", () => {
  it("gives the same answers in a thread and on the event loop, where short runs go once the model is asked often", async () => {
    const model = await open({ onnx: matrix });
    const first = await model.run(rows(3));
    expect(model.rowsTogether).toBeUndefined();
    const { bytes } = model;
    await expect
      .poll(async () => {
        expect(await model.run(rows(3))).toEqual(first);
        return model.rowsTogether;
      })
      .toBeGreaterThan(100);
    expect(model.bytes).toBe(2 * bytes);
    expect(await model.run(rows(3))).toEqual(first);
    await model.close();
  });

  it("does not hold up the event loop with a long run", async () => {
    const model = await open({ onnx: matrix });
    const many = rows(3_000_000);
    await model.run(rows(10));
    const delay = monitorEventLoopDelay({ resolution: 1 });
    const began = performance.now();
    const running = model.run(many);
    delay.enable();
    const [label] = await running;
    delay.disable();
    expect(label?.shape).toEqual([3_000_000]);
    expect(delay.percentile(90) / 1e6).toBeLessThan((performance.now() - began) / 2);
    await model.close();
  });

  it("learns that runs take longer than they did on zeros", () => {
    const cost = costOf({ baseMs: 0.1, valueMs: 0.001 });
    expect(cost.isShort(1_000)).toBe(true);
    for (let run = 0; run < 200; run++) cost.took(1_000, 3.3);
    expect(cost.isShort(1_000)).toBe(false);
    expect(cost.isShort(100)).toBe(true);
    const unknown = costOf(undefined);
    expect(unknown.isShort(1)).toBe(false);
    unknown.took(1_000, 0.5);
    expect(unknown.isShort(1_000)).toBe(true);
  });

  it("takes rows together of a model that has a row in each output for each of its inputs, whatever it says of their number", async () => {
    const model = await open({ onnx: fileURLToPath(new URL("../fixtures/one_label.onnx", import.meta.url)) });
    expect(model).toMatchObject({ batches: true, outputs: [{ name: "label", shape: [-1] }, { name: "probabilities" }] });
    expect((await model.run(rows(3)))[0]?.shape).toEqual([3]);
    await model.close();
  });

  it("closes when what is under way has ended, and says why a run failed", async () => {
    const model = await open({ onnx: matrix });
    const running = model.run(rows(50_000));
    const failing = model.run([{ name: "X", datatype: "FP32", shape: [1, 3], data: Float32Array.of(1, 2, 3) }]);
    await expect(failing).rejects.toThrow("the model failed:");
    await model.close();
    expect((await running)[0]?.shape).toEqual([50_000]);
  });
});
