/**
 * What the arriving files must look like. Made from January's with `millrace schema infer data/flights-2013-01.parquet`, then reviewed:
 * a comment stands where the inferred rule was changed.
 */
import { float64, int64, schema, string, timestamp } from "@millrace/sdk";

const carriers = ["9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"];
const origins = ["EWR", "JFK", "LGA"];

export const flightsSchema = schema({
  name: "flights",
  columns: {
    year: int64({ maxNullShare: 0 }),
    // Inferred as 1 to 1 from a file of one month.
    month: int64({ maxNullShare: 0, min: 1, max: 12 }),
    day: int64({ maxNullShare: 0, min: 1, max: 31 }),
    // Null where a flight was cancelled: 1.9% in January, more in a month of storms.
    dep_time: int64({ maxNullShare: 0.15, min: 1, max: 2400 }),
    sched_dep_time: int64({ maxNullShare: 0, min: 0, max: 2359 }),
    dep_delay: int64({ maxNullShare: 0.15, min: -60, max: 3000 }),
    arr_time: int64({ maxNullShare: 0.15, min: 1, max: 2400 }),
    sched_arr_time: int64({ maxNullShare: 0, min: 0, max: 2359 }),
    arr_delay: int64({ maxNullShare: 0.15, min: -120, max: 3000 }),
    carrier: string({ maxNullShare: 0, domain: carriers }),
    flight: int64({ maxNullShare: 0, min: 1, max: 9999 }),
    tailnum: string({ maxNullShare: 0.05 }),
    origin: string({ maxNullShare: 0, domain: origins }),
    dest: string({ maxNullShare: 0 }),
    air_time: int64({ maxNullShare: 0.15, min: 10, max: 800 }),
    // The farthest is Honolulu, 4,983 miles from JFK; one row in July says 17 miles.
    distance: int64({ maxNullShare: 0, min: 10, max: 5_000 }),
    hour: int64({ maxNullShare: 0, min: 0, max: 23 }),
    minute: int64({ maxNullShare: 0, min: 0, max: 59 }),
    time_hour: timestamp({ maxNullShare: 0 }),
  },
  minRows: 1_000,
  expectations: [
    // An aircraft of the sort that flies here needs at least a minute for ten miles.
    { name: "plausible_speed", sql: "air_time is null or distance / air_time < 10.5", maxFailing: 0.001 },
  ],
});

export const weatherSchema = schema({
  name: "weather_hourly",
  columns: {
    origin: string({ maxNullShare: 0, domain: origins }),
    year: int64({ maxNullShare: 0 }),
    month: int64({ maxNullShare: 0, min: 1, max: 12 }),
    day: int64({ maxNullShare: 0, min: 1, max: 31 }),
    hour: int64({ maxNullShare: 0, min: 0, max: 23 }),
    // January knew 10 to 65 degrees; the rest of a year in New York is wider.
    temp: float64({ maxNullShare: 0.02, min: -25, max: 115 }),
    dewp: float64({ maxNullShare: 0.02, min: -40, max: 90 }),
    humid: float64({ maxNullShare: 0.02, min: 0, max: 100 }),
    wind_dir: int64({ maxNullShare: 0.1, min: 0, max: 360 }),
    // February has an hour with 1,048 mph: known, told, and not worth a month's data.
    wind_speed: float64({ maxNullShare: 0.02, min: 0, max: 120, severity: "warn" }),
    wind_gust: float64({ min: 0, max: 150 }),
    precip: float64({ maxNullShare: 0.02, min: 0, max: 5 }),
    pressure: float64({ maxNullShare: 0.4, min: 950, max: 1060 }),
    visib: float64({ maxNullShare: 0.02, min: 0, max: 10 }),
    time_hour: timestamp({ maxNullShare: 0 }),
  },
  minRows: 300,
});
