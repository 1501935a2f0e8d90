/** From who came back and who did not to a model of who will not. */
import {
  atLeast,
  better,
  champion,
  evaluate,
  historicalFeatures,
  latency,
  Model,
  month,
  pipeline,
  python,
  register,
  sameAsTrained,
  splitByTime,
  Table,
  validate,
} from "@millrace/sdk";
import { lapses } from "../datasets.js";
import { profileFeatures } from "../features.js";
import { lapsesSchema } from "../schemas.js";

export const trainProfile = python({
  name: "train_profile",
  script: "training/profile.py",
  requirements: "requirements.lock",
  in: { train: Table },
  out: { model: Model },
});

export const profile = pipeline({ name: "profile", params: { until: month({ default: "latest" }) } }, ({ until }) => {
  const seen = validate(lapses.upTo(until), lapsesSchema);
  const rows = historicalFeatures(seen, profileFeatures, { select: 'select "at", user_id, lapsed from rows' });
  // The last Monday that is known.
  const { train, test } = splitByTime(rows, { test: "6d" });
  const { model } = trainProfile({ train });
  const report = evaluate(model, test, { label: "lapsed", against: champion("profile") });
  register(model, report, {
    name: "profile",
    gates: [atLeast("auc", 0.6), better("auc", { by: 0 }), sameAsTrained({ within: 1e-5 }), latency({ p99: "50ms" })],
  });
});
