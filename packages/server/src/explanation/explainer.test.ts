import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Cell, createInference, type Feature } from "../inference/index.js";
import { clientPython } from "../tracking/testing.js";
import { openTrees } from "./exact.js";
import { type Explained, explainRow } from "./explainer.js";
import { placesOf } from "./places.js";
import { sampleShapley } from "./sampled.js";

const scripts = fileURLToPath(new URL("client/", import.meta.url));
interface Told {
  features: Feature[];
  rows: Cell[][];
  background: Cell[][];
  values: number[][];
  base: number[];
  scale: Explained["scale"];
  method: Explained["method"];
}
let folder: string;
let told: Record<string, Told>;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const python = await clientPython(path.join(scripts, "requirements.lock"), folder);
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: "1", NUMBA_CACHE_DIR: folder };
  const { stdout } = await promisify(execFile)(python, [path.join(scripts, "models.py"), folder], { env, maxBuffer: 64 * 1024 * 1024 });
  told = JSON.parse(stdout);
}, 600_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

async function explained(name: string, of: Told): Promise<Explained[]> {
  const inference = createInference();
  const file = path.join(folder, `${name}.onnx`);
  const model = await inference.open({ onnx: file });
  const places = placesOf(model, of.features);
  const trees = await openTrees(file, places, model.outputs?.at(-1)?.name ?? "", { inference, folder });
  try {
    const found: Explained[] = [];
    for (const row of of.rows) found.push(await explainRow(model, places, row, of.background, trees));
    return found;
  } finally {
    await trees?.close();
    await model.close();
  }
}
const sum = (values: readonly number[]) => values.reduce((total, one) => total + one, 0);

describe("attributions", () => {
  it.each([
    ...["boosted", "forest", "boosted_numbers", "forest_numbers", "light", "light_numbers"].map((name) => [name, "shap's TreeExplainer"]),
    ...["light_classes", "one_hot", "ordinal", "codes"].map((name) => [name, "all coalitions"]),
  ])("of %s are exactly those of %s", async (name) => {
    const of = told[name];
    if (of === undefined) throw new Error(`The script tells nothing of ${name}.`);
    for (const [row, found] of (await explained(name, of)).entries()) {
      expect(found).toMatchObject({ method: "exact", scale: of.scale, rows: of.background.length });
      expect(found.base).toBeCloseTo(of.base[row] ?? Number.NaN, 4);
      for (const [at, { value, error }] of found.attributions.entries()) {
        expect(value, `${name}, row ${row}, feature ${at}`).toBeCloseTo(of.values[row]?.[at] ?? Number.NaN, 4);
        expect(error).toBeNull();
      }
      expect(found.base + sum(found.attributions.map((one) => one.value))).toBeCloseTo(found.value, 8);
    }
  });

  it.each(["linear", "beside"])("of %s are sampled, with standard errors that hold, and sum to the output", async (name) => {
    const of = told[name];
    if (of === undefined) throw new Error(`The script tells nothing of ${name}.`);
    const found = await explained(name, of);
    for (const [row, one] of found.entries()) {
      expect(one).toMatchObject({ method: "sampled", scale: "output" });
      expect(one.base).toBeCloseTo(of.base[row] ?? Number.NaN, 5);
      expect(one.base + sum(one.attributions.map(({ value }) => value))).toBeCloseTo(one.value, 6);
      for (const [at, { value, error }] of one.attributions.entries()) {
        const wrong = Math.abs(value - (of.values[row]?.[at] ?? Number.NaN));
        expect(wrong, `${name}, row ${row}, feature ${at}: ${wrong} with a standard error of ${error}`).toBeLessThan(4 * (error ?? 0) + 1e-6);
      }
    }
    expect(await explained(name, of)).toEqual(found);
  });
});

describe("sampling", () => {
  it("gives the values of a game of two whole players as they are, and nothing to a player that changes nothing", async () => {
    const predict = async (rows: readonly (readonly number[])[]) => Float64Array.from(rows, ([a = 0, b = 0]) => a * b);
    const found = await sampleShapley(
      [2, 3, 5],
      [
        [0, 0, 0],
        [0, 0, 1],
      ],
      { predict, seed: 1 },
    );
    expect(found).toEqual({ base: 0, values: [3, 3, 0], errors: [0, 0, 0] });
  });

  it("has standard errors as large as what it is off by, over many seeds", async () => {
    // Interactions that change sign with the background: single draws differ.
    const score = (x: readonly number[]) => Math.tanh((x[0] ?? 0) * (x[1] ?? 0) + (x[2] ?? 0) * (x[3] ?? 0) * (x[0] ?? 0));
    const predict = async (rows: readonly (readonly number[])[]) => Float64Array.from(rows, score);
    const background = Array.from({ length: 40 }, (_, at) => [0, 1, 2, 3].map((player) => Math.sin(at * 7 + player * 3)));
    const row = [1.2, -0.7, 0.9, 1.5];
    const repeated = await sampleShapley(row, Array.from({ length: 50 }, () => background).flat(), { predict, seed: 99 });
    let off = 0;
    const seeds = 200;
    for (let seed = 0; seed < seeds; seed++) {
      const found = await sampleShapley(row, background, { predict, seed });
      off += found.values.filter((value, player) => Math.abs(value - (repeated.values[player] ?? 0)) > 2 * (found.errors[player] ?? 0)).length;
    }
    // Every background row is drawn once, so that it is rather less than the 5% of independent draws.
    expect(off / (4 * seeds)).toBeLessThan(0.05);
  });
});
