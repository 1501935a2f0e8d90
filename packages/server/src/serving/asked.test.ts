import { expect, it } from "vitest";
import type { ServedModel, Tensor } from "../inference/index.js";
import { askTensors } from "./asked.js";
import { jsonTensor } from "./protocol/tensors.js";

/** What is logged of two rows that a model answers in this way, where its signature says one whole number a row. */
async function logged(output: Tensor): Promise<Record<string, unknown>[]> {
  const model: ServedModel = {
    ...{ platform: "mlflow_pyfunc", batches: true, bytes: 0 },
    inputs: [{ name: "x", datatype: "FP64", shape: [-1] }],
    outputs: [{ name: "output", datatype: "INT64", shape: [-1] }],
    run: async () => [output],
    close: async () => {},
  };
  const deployments = { open: async () => model, fitted: refuse, keep: refuse, unload: refuse, close: refuse };
  const inputs = [jsonTensor({ name: "x", datatype: "FP64", shape: [2] }, [0.5, 1])];
  const ran = await askTensors(deployments, "any", { id: undefined, inputs, moment: new Date(0) }).run(1);
  expect(ran).toMatchObject({ outputs: [output], rows: 2 });
  const isAsSaid = output.datatype === "INT64" && output.data.length === 2;
  expect(ran.packed === undefined).toBe(!isAsSaid);
  return [0, 1].map((row) => ({ ...ran.logged(row), prediction: ran.prediction(row) }));
}
const refuse = () => {
  throw new Error("not asked for");
};

it("an answer is logged by rows where it is what the model says, and left out where it is not", async () => {
  const output = (datatype: Tensor["datatype"], shape: number[], data: Tensor["data"]): Tensor => ({ name: "output", datatype, shape, data });
  expect(await logged(output("INT64", [2, 1], BigInt64Array.of(3n, 4n)))).toEqual([
    { i_x: 0.5, o_output: 3, prediction: 3 },
    { i_x: 1, o_output: 4, prediction: 4 },
  ]);
  // Probabilities of two classes, where the signature was made of the classes.
  expect(await logged(output("FP64", [2, 2], Float64Array.of(0.1, 0.9, 0.6, 0.4)))).toEqual([
    { i_x: 0.5, o_output: null, prediction: 0.9 },
    { i_x: 1, o_output: null, prediction: 0.4 },
  ]);
  for (const data of [BigInt64Array.of(1n, 2n, 3n), new BigInt64Array(0)])
    expect(await logged(output("INT64", [data.length], data))).toEqual([
      { i_x: 0.5, o_output: null, prediction: null },
      { i_x: 1, o_output: null, prediction: null },
    ]);
});
