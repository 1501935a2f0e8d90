/**
 * A year of real flights through the whole loop. The platform's clock is replayed; requests, files, training and models are real.
 *   --exit         end after the summary instead of keeping the console up
 *   --until MONTH  the last month that is lived, default 2013-12
 *   --data-dir DIR where the platform keeps its data, default demo-data in the checkout; what an earlier demo left there is removed
 *   --port N       default 4600
 */
import { rm } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { DatasetVersion, DatasetVersionDetail, Endpoint, FeatureComparison, Run, Trigger } from "@millrace/sdk/api";
import { type Client, openClient } from "./client.js";
import { checkout, type Platform, startPlatform } from "./platform.js";
import { summary } from "./summary.js";
import { type InTheAir, liveHours, noTraffic } from "./traffic.js";
import { openWorld, type World } from "./world.js";

const { values: options } = parseArgs({
  options: {
    exit: { type: "boolean", default: false },
    until: { type: "string", default: "2013-12" },
    "data-dir": { type: "string", default: path.join(checkout, "demo-data") },
    port: { type: "string", default: "4600" },
  },
});

const project = fileURLToPath(new URL("..", import.meta.url));
/** A folder of this replay's own, which the project's datasets watch. */
process.env.FLIGHTS_ARRIVALS = `arrivals/replay-${options.port}`;
const arrivals = path.join(project, process.env.FLIGHTS_ARRIVALS);
const hour = 3_600_000;
const began = performance.now();
const say = (text: string) => process.stdout.write(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${text}\n`);

/** What is made to go wrong, and when. */
const script = {
  /** This month's file arrives damaged first, and whole a day later. */
  damaged: "2013-07",
  /** On this day somebody trains with shuffled labels. */
  spoiled: "2013-05-10",
  /** When this month's file arrives, the model is exported with a lookup that ends with the months seen so far. */
  faulty: "2013-08",
};

async function main(): Promise<void> {
  const last = /^2013-(0[3-9]|1[0-2])$/.test(options.until) ? options.until : fail(`--until takes a month from 2013-03 to 2013-12, not "${options.until}".`);
  const world = await openWorld();
  const platform = await startPlatform({ dataDir: options["data-dir"], port: Number(options.port), from: "2013-02-28T12:00:00Z" });
  say(`the platform is up at ${platform.url}`);
  try {
    await live(world, platform, last);
    if (options.exit) return;
    process.stdout.write(`\nThe console is at ${platform.url} until Ctrl-C.\n`);
    await platform.ended;
  } finally {
    await rm(arrivals, { recursive: true, force: true });
    await platform.stop();
  }
}

async function live(world: World, platform: Platform, last: string): Promise<void> {
  const client = openClient(platform.url);

  await rm(arrivals, { recursive: true, force: true });
  for (const month of ["2013-01", "2013-02"]) await deliver(world, month);
  await platform.cli(["apply", project]);
  await advance(client, "2013-02-28T13:00:00Z");
  await advance(client, "2013-02-28T14:00:00Z");
  say("January and February are ingested; the first model is trained");
  await runsFinished(client);
  for (const view of ["weather", "origin_delays", "carrier_delays", "plane"]) {
    await client.post(`/api/v1/feature-views/${view}/materialize`, {}, "2013-03-01T00:00:00Z");
  }
  const endpoint = await client.get<Endpoint>("/api/v1/endpoints/delay");
  if (endpoint.stable === null) fail("The first model was not deployed: see the run in the console.");
  say(`delay v${endpoint.stable} answers`);

  const counts = noTraffic();
  const pending: InTheAir = new Map();
  const comparisons: FeatureComparison[] = [];
  const end = monthAfter(last);
  for (let day = new Date("2013-03-01T00:00:00Z"); day < end; day = new Date(day.getTime() + 24 * hour)) {
    const date = day.toISOString().slice(0, 10);
    const previous = monthOf(new Date(day.getTime() - 24 * hour));
    if (date.endsWith("-01") && previous !== "2013-02") {
      await arrive(world, client, previous);
      if (previous !== script.damaged) comparisons.push(await compare(client, previous));
      say(`${previous} is over: ${counts.predictions.toLocaleString("en")} predictions so far, ${counts.failed} requests failed`);
    }
    if (date.endsWith("-02") && previous === monthOf(day) && script.damaged === monthOf(new Date(day.getTime() - 2 * 24 * hour))) {
      await deliver(world, script.damaged);
      say(`${script.damaged} arrives again, whole`);
    }
    if (date === script.spoiled) {
      await client.post("/api/v1/pipelines/delay/runs", { params: { fault: "shuffled_labels" } });
      await runsFinished(client);
    }
    for (let h = 0; h < 24; h += 12) {
      const to = new Date(day.getTime() + (h + 12) * hour);
      await liveHours(world, client, new Date(day.getTime() + h * hour), to, pending, counts);
      await advance(client, to.toISOString());
    }
    await runsFinished(client);
    await resumeAfterRollback(client);
  }
  await arrive(world, client, last);
  comparisons.push(await compare(client, last));

  await summary(client, platform, { counts, comparisons, last, seconds: (performance.now() - began) / 1000 });
  client.close();
}

async function deliver(world: World, month: string): Promise<void> {
  await world.deliver(`weather-${month}.parquet`, arrivals);
  await world.deliver(`flights-${month}.parquet`, arrivals);
}

/** A month's files appear in the watched folder, and what follows from it happens. */
async function arrive(world: World, client: Client, month: string): Promise<void> {
  if (month === script.damaged) {
    await world.deliver(`weather-${month}.parquet`, arrivals);
    await world.deliverDamaged(`flights-${month}.parquet`, arrivals);
    await look(client);
    const refused = await client.get<{ items: DatasetVersion[] }>("/api/v1/datasets/flights/versions?status=quarantined");
    const version = refused.items[0];
    if (version === undefined) fail(`${month} arrived damaged, and nobody noticed`);
    const { report } = await client.get<DatasetVersionDetail>(`/api/v1/datasets/flights/versions/${version.version}`);
    say(`${month} arrives damaged and is refused:`);
    for (const anomaly of report?.anomalies ?? []) say(`    ${anomaly.severity} ${anomaly.kind}: ${anomaly.message}`);
    return;
  }
  if (month === script.faulty) {
    await client.post("/api/v1/triggers/retrain/pause");
    await deliver(world, month);
    await look(client);
    await client.post<Run>("/api/v1/pipelines/delay/runs", { params: { fault: "month_table" } });
    return runsFinished(client);
  }
  await deliver(world, month);
  await look(client);
  await runsFinished(client);
}

/** A watched file is taken once it has stopped growing: looked at twice, a minute apart. */
async function look(client: Client): Promise<void> {
  for (let i = 0; i < 2; i++) {
    const { now } = await client.get<{ now: string }>("/api/v1/clock");
    await advance(client, new Date(Date.parse(now) + 60_000).toISOString());
  }
}

const advance = (client: Client, to: string) => client.post("/api/v1/clock", { to });

/** The replay waits for runs, so that a model that takes seconds to train does not cost days of the year. */
async function runsFinished(client: Client): Promise<void> {
  const reported = new Set<string>();
  for (;;) {
    const { items } = await client.get<{ items: Run[] }>("/api/v1/runs?state=active");
    for (const run of items) reported.add(run.id);
    if (items.length === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  for (const id of reported) {
    const run = await client.get<Run>(`/api/v1/runs/${id}`);
    const seconds = ((run.durationMs ?? 0) / 1000).toFixed(1);
    say(
      `run ${id.slice(-6)} (${run.cause.reason ?? run.cause.kind}) ${run.state} in ${seconds} s${run.modelVersion === null ? "" : ` as ${run.modelVersion}`}${run.message === null ? "" : `: ${run.message.split("\n")[0]}`}`,
    );
  }
  if (reported.size > 0) await client.post("/api/v1/clock", { to: (await client.get<{ now: string }>("/api/v1/clock")).now });
}

/** The one who had paused retraining takes it up again when the faulty version is gone. */
async function resumeAfterRollback(client: Client): Promise<void> {
  const trigger = await client.get<Trigger>("/api/v1/triggers/retrain");
  if (!trigger.paused) return;
  const endpoint = await client.get<Endpoint>("/api/v1/endpoints/delay");
  if (endpoint.rollout?.state === "running") return;
  say(`rollout of v${endpoint.rollout?.candidate}: ${endpoint.rollout?.state} (${endpoint.rollout?.reason})`);
  await client.post("/api/v1/triggers/retrain/resume");
}

/** The features that were logged at prediction against the same flights' features joined offline. */
function compare(client: Client, month: string): Promise<FeatureComparison> {
  return client.post("/api/v1/feature-services/delay_features/check", {
    endpoint: "delay",
    sample: 200,
    from: `${month}-01T00:00:00.000Z`,
    to: monthAfter(month).toISOString(),
  });
}

const monthOf = (time: Date) => time.toISOString().slice(0, 7);
function monthAfter(month: string): Date {
  const [year, number] = month.split("-").map(Number);
  return new Date(Date.UTC(year ?? 0, number ?? 0, 1));
}
function fail(message: string): never {
  throw new Error(message);
}

main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
