/** What may be tried when there is time: `millrace sweep tune --wait`. Nothing is registered by it. */
import { intRange, logUniform, sweep } from "@millrace/sdk";
import { fit } from "./pipelines/delay.js";

export const tune = sweep({
  name: "tune",
  run: fit,
  over: { leaves: intRange(7, 63, { log: true }), rate: logUniform(0.03, 0.3), rounds: intRange(50, 200, { step: 50 }) },
  search: "random",
  trials: 12,
  goal: { maximize: "auc" },
});
