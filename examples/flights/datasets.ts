import { dataset } from "@millrace/sdk";
import { flightsSchema, weatherSchema } from "./schemas.js";

/** Months arrive as files in this folder. A replay that runs beside another takes one of its own. */
const arrivals = process.env.FLIGHTS_ARRIVALS ?? "arrivals";

/** Flights out of New York City: one file a month. */
export const flights = dataset({
  name: "flights",
  description: "Scheduled flights out of EWR, JFK and LGA, with what became of them",
  watch: { folder: arrivals, pattern: "flights-*.parquet" },
  timestamp: "time_hour",
  schema: flightsSchema,
});

/** Hourly observations at the three airports. */
export const weather = dataset({
  name: "weather_hourly",
  description: "Hourly weather at the origins",
  watch: { folder: arrivals, pattern: "weather-*.parquet" },
  timestamp: "time_hour",
  schema: weatherSchema,
});

/** The register of aircraft: a whole table, replaced when a new one comes. */
export const planes = dataset({
  name: "planes",
  description: "Aircraft by tail number",
  mode: "snapshot",
  watch: { folder: "data", pattern: "planes.parquet" },
});
