/** What each feature gave to a prediction: exactly where the model is an ensemble of trees, else by sampling. */
import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { type Cell, isFloat, type ServedModel, type Tensor } from "../inference/index.js";
import { ApiError } from "../platform/index.js";
import { columnOf, type TreeModel } from "./exact.js";
import type { Scale } from "./links.js";
import type { Places } from "./places.js";
import { sampleShapley } from "./sampled.js";

export interface Explained {
  method: "exact" | "sampled";
  /** Which number of the answer; `index` where the output has several. */
  output: { name: string; index: number | null };
  scale: Scale;
  /** The explained row's, and the background's mean: the attributions sum to their difference. */
  value: number;
  base: number;
  /** By place. */
  attributions: { value: number; error: number | null }[];
  rows: number;
}

/** So many rows are predicted for a sampled explanation, at most. */
const mostRows = 20_000;

export async function explainRow(
  model: Pick<ServedModel, "run" | "outputs">,
  places: Places,
  row: readonly Cell[],
  background: readonly (readonly Cell[])[],
  trees: TreeModel | undefined,
): Promise<Explained> {
  const last = model.outputs?.at(-1)?.name;
  const run = async (rows: readonly (readonly Cell[])[]): Promise<Tensor> => {
    const found = (await model.run(places.tensors(rows), last === undefined ? {} : { outputs: [last] })).at(-1);
    if (found === undefined) throw new Error("the model gave no output");
    return found;
  };
  const answer = await run([row]);
  const column = explained(answer);
  const output = { name: answer.name, index: answer.data.length === 1 ? null : column };

  const exact = await trees?.explain(places, row, background, answer.name, column);
  if (exact !== undefined) {
    const { link, value, base, values, rows } = exact;
    return { method: "exact", output, scale: link.scale, value, base, rows, attributions: values.map((one) => ({ value: one, error: null })) };
  }
  const differ = background.map((from) => row.filter((cell, at) => !isDeepStrictEqual(cell, from[at])).length);
  const draws = Math.max(10, Math.floor(mostRows / (2 * Math.max(1, ...differ))));
  const used = background.slice(0, draws);
  const sampled = await sampleShapley(row, used, {
    predict: async (rows) => columnOf(await run(rows), rows.length, column),
    // The same prediction is explained in the same way whenever it is asked for.
    seed: createHash("sha256")
      .update(JSON.stringify(row, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value)))
      .digest()
      .readUInt32LE(),
  });
  const attributions = sampled.values.map((value, at) => ({ value, error: sampled.errors[at] ?? null }));
  const value = columnOf(answer, 1, column)[0] ?? Number.NaN;
  return { method: "sampled", output, scale: "output", value, base: sampled.base, rows: used.length, attributions };
}

/** Of one number it, of two the second, as of a classifier's probabilities; of more the largest: why it is this class. */
function explained({ name, datatype, data }: Tensor): number {
  if (datatype === "BYTES" || data.length === 0)
    throw new ApiError(422, "NOT_EXPLAINABLE", `The prediction can't be explained: its output "${name}" is of ${datatype}, and has no numbers.`);
  if (data.length < 3) return data.length - 1;
  if (!isFloat(datatype)) return 0;
  let largest = 0;
  for (let at = 1; at < data.length; at++) if (Number(data[at]) > Number(data[largest])) largest = at;
  return largest;
}
