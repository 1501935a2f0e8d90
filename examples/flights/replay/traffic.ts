/** What clients of the endpoint do: ask before a flight leaves, tell when it has landed. */
import type { Client } from "./client.js";
import type { Flight, Rows, World } from "./world.js";

const hour = 3_600_000;
/** A client asks so often, for the flights that were to leave since it asked last. */
const interval = 600_000;
/** Requests under way at once. */
const atOnce = 32;

export interface TrafficCounts {
  predictions: number;
  requests: number;
  /** Requests that were not answered with a prediction. */
  failed: number;
  firstFailure: string | null;
  labels: number;
  versions: Map<number, number>;
  /** Predictions of each month. */
  months: Map<string, number>;
}
export const noTraffic = (): TrafficCounts => ({
  predictions: 0,
  requests: 0,
  failed: 0,
  firstFailure: null,
  labels: 0,
  versions: new Map(),
  months: new Map(),
});

interface Inference {
  parameters?: { version?: number };
  outputs: { name: string; data: unknown[] }[];
}

/** Labels that become known, by the hour in which they do. */
export type InTheAir = Map<number, { id: string; label: boolean }[]>;

/**
 * Some hours of the world. What becomes known in them is sent at once: a value carries the moment from which it holds, and a prediction
 * sees only what holds at its own.
 */
export async function liveHours(world: World, client: Client, from: Date, to: Date, pending: InTheAir, counts: TrafficCounts): Promise<void> {
  const [weather, landings, departures] = await Promise.all([world.weather(from, to), world.landings(from, to), world.departures(from, to)]);
  await Promise.all([push(client, "weather", weather, from), push(client, "origin_delays", landings, to), push(client, "carrier_delays", landings, to)]);

  const slots = new Map<string, Flight[]>();
  for (const flight of departures) {
    const asked = new Date(Math.floor(Date.parse(flight.sched_dep) / interval) * interval + interval).toISOString();
    const slot = slots.get(asked);
    if (slot === undefined) slots.set(asked, [flight]);
    else slot.push(flight);
  }
  const queue = [...slots.entries()];
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) await predict(client, next[0], next[1], pending, counts);
    }),
  );

  const known: { id: string; label: boolean }[] = [];
  for (const [at, labels] of pending) {
    if (at >= to.getTime()) continue;
    known.push(...labels);
    pending.delete(at);
  }
  if (known.length > 0) await client.post("/api/v1/endpoints/delay/labels", { labels: known }, to.toISOString());
  counts.labels += known.length;
}

async function push(client: Client, view: string, rows: Rows, at: Date): Promise<void> {
  const first = Object.values(rows)[0];
  if (first === undefined || first.length === 0) return;
  await client.post(`/api/v1/feature-views/${view}/push`, { columns: rows }, at.toISOString());
}

/** Each flight as of its own scheduled departure, which the service takes for the moment of its features. */
async function predict(client: Client, moment: string, flights: Flight[], pending: InTheAir, counts: TrafficCounts): Promise<void> {
  const text = (name: "sched_dep" | "carrier" | "origin" | "dest" | "tailnum") => ({
    name,
    datatype: "BYTES",
    shape: [flights.length],
    data: flights.map((f) => f[name]),
  });
  const id = moment.slice(0, 16);
  counts.requests++;
  const { status, body } = await client.request<Inference>(
    "POST",
    "/v2/models/delay/infer",
    {
      id,
      inputs: [
        text("sched_dep"),
        text("carrier"),
        text("origin"),
        text("dest"),
        text("tailnum"),
        { name: "distance", datatype: "FP64", shape: [flights.length], data: flights.map((f) => f.distance) },
      ],
    },
    moment,
  );
  const ids = status === 200 ? body.outputs.find((o) => o.name === "prediction_id")?.data : undefined;
  if (ids === undefined || ids.length !== flights.length) {
    counts.failed++;
    counts.firstFailure ??= `${status}: ${JSON.stringify(body).slice(0, 300)}`;
    return;
  }
  counts.predictions += flights.length;
  const month = moment.slice(0, 7);
  counts.months.set(month, (counts.months.get(month) ?? 0) + flights.length);
  const version = Number(body.parameters?.version);
  counts.versions.set(version, (counts.versions.get(version) ?? 0) + flights.length);
  flights.forEach((flight, i) => {
    if (flight.landed_at === null || flight.late === null) return;
    const due = Math.max(Math.floor(Date.parse(flight.landed_at) / hour) * hour, Math.floor(Date.parse(moment) / hour) * hour + hour);
    const list = pending.get(due);
    const label = { id: String(ids[i]), label: flight.late };
    if (list === undefined) pending.set(due, [label]);
    else list.push(label);
  });
}
