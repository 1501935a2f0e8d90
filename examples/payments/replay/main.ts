/**
 * Weeks of a SIMULATED payment service through the whole loop, in which the rings change how they steal. The platform's clock is replayed; requests, files,
 * training and models are real.
 *   --exit         end after the summary instead of keeping the console up
 *   --users N      default 400
 *   --days N       how many are lived, default 35; on the eighth the rings change
 *   --data-dir DIR where the platform keeps its data, default a new folder in the system's temporary one, removed at the end
 *   --port N       default 4600
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import type { Event, FeatureComparison, MonitorCheck, Performance, Run } from "@millrace/sdk/api";
import { writeFiles } from "../simulation/files.js";
import { day, openWorld } from "../simulation/world.js";
import { openDays } from "./days.js";
import { type Http, openHttp } from "./http.js";
import { type Platform, project, startPlatform } from "./platform.js";

const { values: options } = parseArgs({
  options: {
    exit: { type: "boolean", default: false },
    users: { type: "string", default: "400" },
    days: { type: "string", default: "35" },
    "data-dir": { type: "string" },
    port: { type: "string", default: "4600" },
  },
});
const from = new Date("2026-01-01T00:00:00Z");
const today = new Date("2026-03-02T00:00:00Z");
const change = new Date(today.getTime() + 7 * day);
const arrivals = `arrivals/replay-${options.port}`;
const folder = path.join(project, arrivals);

const began = performance.now();
const print = (text: string) => process.stdout.write(`${text}\n`);
const say = (text: string) => print(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${text}`);
const dateOf = (date: Date) => date.toISOString().slice(0, 10);

async function main(): Promise<void> {
  const [users, days] = [Number(options.users), Number(options.days)];
  if (!Number.isInteger(users) || users < 100 || !Number.isInteger(days) || days < 1)
    throw new Error("--users takes a whole number from 100 on, --days one from 1 on.");
  const own = options["data-dir"] === undefined ? await mkdtemp(path.join(tmpdir(), "millrace-payments-")) : undefined;
  let platform: Platform | undefined;
  try {
    const world = openWorld({ users, from, change });
    await rm(folder, { recursive: true, force: true });
    const written = await writeFiles(world, { folder, label: "2026-03-01", from, first: from, end: today });
    say(`simulated: ${written.transactions.toLocaleString("en")} payments of two months, and what became of them`);
    const dataDir = own ?? options["data-dir"] ?? "";
    platform = await startPlatform({ dataDir, port: Number(options.port), from: today.toISOString(), arrivals });
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void platform?.stop());
    const http = openHttp(platform.url);
    await live(platform, http, world, days);
    http.close();
    if (options.exit) return;
    print(`\nThe console is at ${platform.url} until Ctrl-C.`);
    await platform.ended;
  } finally {
    await platform?.stop();
    await rm(folder, { recursive: true, force: true });
    if (own !== undefined) await rm(own, { recursive: true, force: true });
  }
}

async function live(platform: Platform, http: Http, world: ReturnType<typeof openWorld>, days: number): Promise<void> {
  const loop = openDays({ http, world, folder, from });
  await platform.cli(["apply", project]);
  await loop.look(today);
  await http.post("/api/v1/pipelines/fraud/runs", { params: {} });
  tell(await loop.runsOver());

  print("\nday         payments  scored by       input drift  AUC of a week ago");
  let told = (await newest(http)) ?? "0";
  for (let n = 0; n < days; n++) {
    const date = new Date(today.getTime() + n * day);
    if (date.getTime() === change.getTime()) say("from this day on the rings take over accounts, and a wallet comes");
    const lived = await loop.live(date);
    const runs = await loop.runsOver();
    // What a run has brought is taken into service with the next tick, not a day later.
    if (runs.length > 0) await loop.advance(new Date(Date.parse((await http.get<{ now: string }>("/api/v1/clock")).now) + 60_000));
    const [inputs, outcomes] = await Promise.all([check(http, "fraud_inputs"), check(http, "fraud_outcomes")]);
    const versions = [...lived.versions].map(([version, rows]) => `v${version} ${rows}`).join(", ");
    const drifted = inputs === undefined ? "" : `${inputs.features.filter((one) => one.drifted).length} of ${inputs.features.length}`;
    print(
      [lived.date, String(lived.payments).padStart(9), ` ${versions.padEnd(16)}`, drifted.padStart(10), ` ${outcomes?.metrics.auc?.toFixed(4) ?? "-"}`].join(
        " ",
      ),
    );
    told = await news(http, told);
    tell(runs);
  }
  await summary(http, days);
}

const check = async (http: Http, monitor: string): Promise<MonitorCheck | undefined> =>
  (await http.get<{ items: MonitorCheck[] }>(`/api/v1/monitors/${monitor}/checks?limit=1000`)).items.at(-1);
const newest = async (http: Http): Promise<string | undefined> => (await http.get<{ items: Event[] }>("/api/v1/events?newest=true&limit=1")).items.at(0)?.id;

/** Alerts, rollouts and files that were refused since the last look. */
async function news(http: Http, after: string): Promise<string> {
  const { items } = await http.get<{ items: Event[] }>(
    `/api/v1/events?after=${encodeURIComponent(after)}&types=monitor.alert,rollout.*,dataset.version_quarantined&limit=1000`,
  );
  for (const { type, subject, data } of items) {
    if (type === "rollout.advanced") continue;
    const candidate = data.candidate === undefined ? "" : ` v${String(data.candidate)}`;
    say(`${type} ${subject}${candidate}: ${String(data.reason ?? "")}`);
  }
  return items.at(-1)?.id ?? after;
}
function tell(runs: Run[]): void {
  for (const run of runs) {
    const seconds = ((run.durationMs ?? 0) / 1000).toFixed(1);
    const became = run.modelVersion === null ? "" : ` as ${run.modelVersion}`;
    say(
      `run of ${run.pipeline} (${run.cause.reason ?? run.cause.kind}) ${run.state} in ${seconds} s${became}${run.message === null ? "" : `: ${run.message.split("\n")[0]}`}`,
    );
  }
}

async function summary(http: Http, days: number): Promise<void> {
  const [loop, first] = await Promise.all([
    http.get<Performance[]>("/api/v1/monitors/fraud_outcomes/performance?by=day"),
    http.get<Performance[]>("/api/v1/monitors/fraud_outcomes/performance?by=day&version=1"),
  ]);
  print("\nday         labelled  AUC of what answered  AUC of v1, had it stayed");
  for (const { period, metrics } of loop) {
    const unchanged = first.find((one) => one.period === period)?.metrics.auc;
    print([period, String(metrics.rows).padStart(9), (metrics.auc?.toFixed(4) ?? "-").padStart(21), (unchanged?.toFixed(4) ?? "-").padStart(25)].join(" "));
  }
  const found = await http.post<FeatureComparison>("/api/v1/feature-services/fraud_features/check", {
    endpoint: "fraud",
    sample: 2_000,
    to: new Date(today.getTime() + days * day).toISOString(),
  });
  print(`\nfeatures at prediction equal to the offline ones in ${found.equal} of ${found.rows} sampled payments`);
  for (const one of found.features.filter((feature) => feature.different > 0).slice(0, 5))
    print(`    ${one.name}: ${one.different} differ, by ${one.maxDifference}`);
  print(`lived ${days} days to ${dateOf(new Date(today.getTime() + days * day))} in ${((performance.now() - began) / 1000).toFixed(0)} s`);
}

main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
