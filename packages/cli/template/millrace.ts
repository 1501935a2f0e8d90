/** Which deliveries will be late: from the files in data/ to a model that answers over HTTP. */
import {
  atLeast,
  better,
  canary,
  champion,
  check,
  col,
  dataset,
  dayOfWeek,
  endpoint,
  errorRate,
  evaluate,
  featureService,
  float64,
  historicalFeatures,
  hour,
  int,
  int64,
  latency,
  Model,
  month,
  newData,
  pipeline,
  project,
  python,
  register,
  sameAsTrained,
  schema,
  splitByTime,
  string,
  Table,
  timestamp,
  trigger,
  validate,
} from "@millrace/sdk";

/** What a file must look like. Made with `millrace schema infer data/deliveries-2024-01.parquet`, then reviewed. */
export const deliverySchema = schema({
  name: "deliveries",
  columns: {
    ordered_at: timestamp({ maxNullShare: 0 }),
    city: string({ maxNullShare: 0, domain: ["Bergen", "Oslo", "Tromso"] }),
    km: float64({ maxNullShare: 0, min: 0, max: 100 }),
    items: int64({ maxNullShare: 0, min: 1, max: 50 }),
    late: int64({ maxNullShare: 0, min: 0, max: 1 }),
  },
  minRows: 100,
});

/** A new file in data/ is a new version. */
export const deliveries = dataset({
  name: "deliveries",
  watch: { folder: "data", pattern: "deliveries-*.parquet" },
  timestamp: "ordered_at",
  schema: deliverySchema,
});

/** What the model knows when an order comes in. The same definition serves training and prediction. */
export const deliveryFeatures = featureService({
  name: "delivery_features",
  request: { ordered_at: timestamp(), city: string(), km: float64("km"), items: int64() },
  timestamp: "ordered_at",
  views: [],
  compute: { hour: hour(col("ordered_at"), "Europe/Oslo"), weekday: dayOfWeek(col("ordered_at"), "Europe/Oslo") },
  features: ["city", "km", "items", "hour", "weekday"],
});

const train = python({
  script: "train.py",
  requirements: "requirements.lock",
  in: { train: Table, trees: int({ default: 50 }) },
  out: { model: Model },
});

export const late = pipeline({ name: "late", params: { until: month({ default: "latest" }), trees: int({ default: 50 }) } }, ({ until, trees }) => {
  const rows = historicalFeatures(validate(deliveries.upTo(until), deliverySchema), deliveryFeatures);
  const { train: before, test } = splitByTime(rows, { test: "7d" });
  const { model } = train({ train: before, trees });
  const report = evaluate(model, test, { label: "late", slices: ["city"], against: champion("late") });
  register(model, report, {
    name: "late",
    gates: [atLeast("auc", 0.6), better("auc", { by: 0 }), sameAsTrained({ within: 1e-4 }), latency({ p99: "100ms" })],
  });
});

export const lateEndpoint = endpoint({
  name: "late",
  model: "late",
  features: deliveryFeatures,
  rollout: canary({ steps: ["10%", "100%"], each: "1h", judge: [errorRate.below("1%", { minRequests: 50 })] }),
});

/** A new version of the data trains a new model, once a day at most. */
export const retrain = trigger({ name: "retrain_late", run: late, when: [newData(deliveries)], coolDown: "1d" });

/** What `millrace check` asks before a change is merged, beside what it asks of any pipeline. */
export const lateCheck = check({
  run: late,
  sample: 2_000,
  artifacts: {
    features: { rows: { columns: ["hour", "weekday"], noNulls: ["hour", "weekday"] } },
    train: { model: { files: ["model.onnx", "parity.parquet"] } },
  },
  metrics: { auc: { min: 0.6 } },
  falls: ["train_loss"],
  overfits: { step: "train", rows: 10, reaches: { train_loss: { max: 0.1 } } },
});

export default project({ name: "PROJECT_NAME", definitions: [retrain, lateEndpoint, lateCheck] });
