/** How late the airports were, each month: one step for each airport, side by side, and one that brings them together. */
import { json, list, many, map, month, pipeline, schedule, scheduled, step, Table, text } from "@millrace/sdk";
import { flights } from "../datasets.js";

interface Lateness {
  airport: string;
  flights: number;
  late: number;
}

const countLate = step({
  name: "count",
  in: { flights: Table, airport: text() },
  out: { lateness: json<Lateness>() },
  run: async ({ inputs, params }) => {
    const lateness = { airport: params.airport, flights: 0, late: 0 };
    for await (const rows of inputs.flights.batches()) {
      for (const row of rows) {
        if (row.origin !== params.airport || row.arr_delay === null) continue;
        lateness.flights += 1;
        if (Number(row.arr_delay) > 15) lateness.late += 1;
      }
    }
    return { lateness };
  },
});

const rank = step({
  name: "rank",
  in: { airports: many(json<Lateness>()) },
  out: { ranking: json<Lateness[]>() },
  run: async ({ inputs, log }) => {
    const airports = await Promise.all(inputs.airports.map((one) => one.json()));
    const ranking = airports.sort((a, b) => b.late / b.flights - a.late / a.flights);
    for (const { airport, flights, late } of ranking) log(`${airport}: ${((100 * late) / flights).toFixed(1)}% of ${flights} flights came in late`);
    return { ranking };
  },
});

export const lateness = pipeline(
  { name: "lateness", params: { until: month({ default: "latest" }), airports: list({ default: ["EWR", "JFK", "LGA"] }) } },
  ({ until, airports }) => {
    const rows = flights.upTo(until);
    const { lateness } = map(airports, (airport) => countLate({ flights: rows, airport }), { name: "airport", atOnce: 2 });
    rank({ airports: lateness });
  },
);

export const monthly = schedule({
  name: "monthly_lateness",
  run: lateness,
  cron: "0 7 3 * *",
  zone: "America/New_York",
  params: { until: scheduled("month", { minus: 1 }) },
});
