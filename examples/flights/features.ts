/** What the model knows at a flight's scheduled departure. The same definitions serve training and prediction. */
import {
  add,
  col,
  dayOfWeek,
  entity,
  featureService,
  featureView,
  float64,
  hour,
  int64,
  minute,
  month,
  multiply,
  share,
  sql,
  string,
  subtract,
  timestamp,
  window,
  year,
} from "@millrace/sdk";
import { flights, planes, weather as weatherHourly } from "./datasets.js";

const newYork = "America/New_York";

/**
 * When a flight had landed, in UTC: departure as scheduled, its delay, the time in the air and the time on the ground at both ends.
 * The last is what the local clock times leave over, for which the zone of the destination does not matter: it is taken modulo an hour.
 */
export const landedAtSql = `time_hour + to_minutes((minute + dep_delay + air_time
  + (((arr_time // 100 * 60 + arr_time % 100) - (dep_time // 100 * 60 + dep_time % 100) - air_time) % 60 + 60) % 60)::int)`;
export const landingsSql = `select origin, carrier, ${landedAtSql} as landed_at, arr_delay > 15 as late from flights where arr_delay is not null`;
export const weatherSql = "select origin, time_hour, temp, wind_speed, precip, visib, pressure from weather_hourly";

export const origin = entity({ name: "origin", keys: { origin: string() } });
export const carrier = entity({ name: "carrier", keys: { carrier: string() } });
export const aircraft = entity({ name: "aircraft", keys: { tailnum: string() } });

export const weather = featureView({
  name: "weather",
  entity: origin,
  source: sql(weatherHourly, weatherSql),
  timestamp: "time_hour",
  ttl: "6h",
  features: { temp: float64("F"), wind_speed: float64("mph"), precip: float64("inches"), visib: float64("miles"), pressure: float64("millibars") },
});

export const originDelays = window({
  name: "origin_delays",
  description: "Share of flights from the same airport that came in late, of those that had landed",
  entity: origin,
  events: sql(flights, landingsSql),
  timestamp: "landed_at",
  features: { origin_late_3h: share("late").over("3h"), origin_late_24h: share("late").over("24h"), origin_late_7d: share("late").over("7d") },
});

export const carrierDelays = window({
  name: "carrier_delays",
  description: "Share of flights of the same carrier that came in late, of those that had landed",
  entity: carrier,
  events: sql(flights, landingsSql),
  timestamp: "landed_at",
  features: { carrier_late_3h: share("late").over("3h"), carrier_late_24h: share("late").over("24h"), carrier_late_7d: share("late").over("7d") },
});

export const plane = featureView({
  name: "plane",
  entity: aircraft,
  source: sql(planes, "select tailnum, year as plane_year from planes"),
  features: { plane_year: int64("year of manufacture") },
});

export const delayFeatures = featureService({
  name: "delay_features",
  request: { sched_dep: timestamp(), carrier: string(), origin: string(), dest: string(), tailnum: string(), distance: float64("miles") },
  timestamp: "sched_dep",
  views: [weather, originDelays, carrierDelays, plane],
  compute: {
    month: month(col("sched_dep"), newYork),
    weekday: dayOfWeek(col("sched_dep"), newYork),
    minute_of_day: add(multiply(hour(col("sched_dep"), newYork), 60), minute(col("sched_dep"), newYork)),
    plane_age: subtract(year(col("sched_dep"), newYork), col("plane_year")),
  },
  features: [
    "carrier",
    "origin",
    "dest",
    "month",
    "weekday",
    "minute_of_day",
    "distance",
    "plane_age",
    "temp",
    "wind_speed",
    "precip",
    "visib",
    "pressure",
    "origin_late_3h",
    "origin_late_24h",
    "origin_late_7d",
    "carrier_late_3h",
    "carrier_late_24h",
    "carrier_late_7d",
  ],
});
