/** What `millrace check examples/flights` expects, beside what it asks of any pipeline. */
import { check } from "@millrace/sdk";
import { delay, fit } from "./pipelines/delay.js";

export const delayCheck = check({
  run: delay,
  params: { rounds: 60 },
  // The folder of arrivals is empty until a replay fills it.
  data: {
    flights: ["data/flights-2013-01.parquet", "data/flights-2013-02.parquet"],
    weather_hourly: ["data/weather-2013-01.parquet", "data/weather-2013-02.parquet"],
  },
  sample: { flights: 4_000, weather_hourly: "all", planes: "all" },
  artifacts: {
    "fit.features": { rows: { minRows: 3_000, columns: ["plane_age", "origin_late_24h"], noNulls: ["late", "month", "minute_of_day"] } },
    "fit.train": { model: { files: ["model.onnx", "parity.parquet", "booster.txt", "codes.json"] } },
  },
  metrics: { auc: { min: 0.55 } },
  falls: ["train_binary_logloss"],
  overfits: { step: "fit.train", rows: 10, reaches: { train_auc: { min: 0.99 }, train_binary_logloss: { max: 0.2 } }, params: { rounds: 200 } },
});

/** A part of the one above: what that has made is used again. */
export const fitCheck = check({ run: fit, params: { rounds: 60 } });
