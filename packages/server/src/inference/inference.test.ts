import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { checkProviders, createInference } from "./index.js";

const fixture = (name: string) => fileURLToPath(new URL(`fixtures/${name}.onnx`, import.meta.url));
const { openModel } = createInference();
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

describe("inference", () => {
  it("gives each feature to the input of its name, with nulls as NaN and as the empty text", async () => {
    const model = await openModel({ onnx: fixture("columns") }, [
      { name: "color", type: "string" },
      { name: "unused", type: "float64" },
      { name: "x", type: "float64" },
    ]);
    const found = await model.predict({ color: ["red", "blue", null, "red"], x: [0, 0.5, 2, null], unused: [1, 1, 1, 1] }, 4);
    expect(found[0]).toBeCloseTo(sigmoid(1), 6);
    expect(found[1]).toBeCloseTo(sigmoid(-0.5), 6);
    expect(found[2]).toBeCloseTo(sigmoid(2), 6);
    expect(found[3]).toBeNaN();
    await model.close();
  });

  it("gives all features to a model of one matrix, and takes the second class", async () => {
    const model = await openModel({ onnx: fixture("matrix") }, [
      { name: "a", type: "float64" },
      { name: "b", type: "int64" },
    ]);
    const found = await model.predict({ a: [0.25, 0], b: [1, 0] }, 2);
    expect(found[0]).toBeCloseTo(sigmoid(2.5), 6);
    expect(found[1]).toBeCloseTo(0.5, 6);
    await model.close();
  });

  it("runs on the execution providers that it is told, and says which there are", async () => {
    expect(() => checkProviders(["abacus", "cpu"])).toThrow(/no execution provider "abacus" here. It has cpu/);
    const model = await createInference({ providers: ["cpu"] }).open({ onnx: fixture("matrix") });
    await model.close();
  });

  it("says what does not fit", async () => {
    await expect(openModel({ onnx: fixture("columns") }, [{ name: "x", type: "float64" }])).rejects.toThrow(
      'The model takes "color", which its service does not give.',
    );
    await expect(openModel({ onnx: fixture("matrix") }, [{ name: "a", type: "float64" }])).rejects.toThrow("takes 2 columns; its service has 1");
    const folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
    await writeFile(path.join(folder, "pickle.onnx"), "\x80\x04 this was never a model at all");
    await expect(openModel({ onnx: path.join(folder, "pickle.onnx") }, [])).rejects.toThrow("The file is not ONNX.");
    await rm(folder, { recursive: true });
  });
});
