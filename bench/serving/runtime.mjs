/** ONNX Runtime alone in Node, as a reference: node bench/serving/runtime.mjs <model.onnx> <rows.json> <rows a run> <seconds>; prints a line of JSON. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [model, file, told, seconds] = process.argv.slice(2);
const { InferenceSession, Tensor } = createRequire(new URL("../../packages/server/package.json", import.meta.url))("onnxruntime-node");
const { rows } = JSON.parse(readFileSync(file, "utf8"));
const size = Number(told);
const session = await InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: "sequential" });
const features = new Tensor("float32", Float32Array.from(rows.slice(0, size).flat()), [size, rows[0].length]);
let runs = 0;
async function window(ms) {
  runs = 0;
  const began = performance.now();
  while (performance.now() - began < ms) {
    await session.run({ features }, ["probabilities"]);
    runs++;
  }
  return (performance.now() - began) / 1_000;
}
await window(300);
const took = await window(Number(seconds) * 1_000);
console.log(JSON.stringify({ rows: size, per_s: Math.round(runs / took) }));
