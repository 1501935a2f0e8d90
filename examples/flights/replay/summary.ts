/** What the year brought, month by month, as the platform's own API tells it. */
import type { Event, FeatureComparison, MonitorCheck, Performance } from "@millrace/sdk/api";
import type { Client } from "./client.js";
import type { Platform } from "./platform.js";
import type { TrafficCounts } from "./traffic.js";

interface Outcome {
  counts: TrafficCounts;
  comparisons: FeatureComparison[];
  last: string;
  seconds: number;
}

export async function summary(client: Client, platform: Platform, { counts, comparisons, last, seconds }: Outcome): Promise<void> {
  const [loop, first, events, checks] = await Promise.all([
    client.get<Performance[]>("/api/v1/monitors/delay/performance?by=month"),
    client.get<Performance[]>("/api/v1/monitors/delay/performance?by=month&version=1"),
    all<Event>(client, "/api/v1/events?types=dataset.*,run.finished,model_version.*,rollout.*"),
    all<MonitorCheck>(client, "/api/v1/monitors/delay/checks"),
  ]);
  const print = (text: string) => process.stdout.write(`${text}\n`);
  const months = loop.map((p) => p.period).filter((m) => m >= "2013-03" && m <= last);

  print("\nmonth      flights  labelled  anomalies  champion   AUC loop  AUC v1   log loss  drift days  what happened");
  let champion = "–";
  for (const month of months) {
    const here = events.filter((e) => e.at.startsWith(month));
    const of = (type: string) => here.filter((e) => e.type === type);
    const promoted = of("rollout.promoted");
    const before = champion;
    for (const event of promoted) champion = `v${String(event.data.candidate)}`;
    if (champion === "–") champion = "v1";
    const anomalies = of("dataset.version_quarantined").reduce((sum, e) => sum + Number(e.data.anomalies ?? 0), 0);
    const performance = loop.find((p) => p.period === month)?.metrics;
    const unchanged = first.find((p) => p.period === month)?.metrics;
    const checked = checks.filter((c) => c.at.startsWith(month));
    const runs = of("run.finished");
    const count = (n: number, what: string) => (n === 0 ? [] : [`${n} ${what}`]);
    const happened = [
      ...count(of("dataset.version_quarantined").length, "file refused"),
      ...count(of("model_version.registered").length, "trained"),
      ...count(runs.filter((e) => e.data.state === "refused").length, "refused"),
      ...count(runs.filter((e) => e.data.state === "failed").length, "failed"),
      ...promoted.map((e) => `v${String(e.data.candidate)} promoted`),
      ...of("rollout.rolled_back").map((e) => `v${String(e.data.candidate)} rolled back`),
    ];
    const number = (value: number | null | undefined, width: number) => (value === null || value === undefined ? "–" : value.toFixed(4)).padStart(width);
    print(
      [
        month,
        String(counts.months.get(month) ?? 0).padStart(9),
        String(performance?.rows ?? 0).padStart(9),
        String(anomalies).padStart(10),
        (before === champion || before === "–" ? champion : `${before}→${champion}`).padStart(9),
        number(performance?.auc, 10),
        number(unchanged?.auc, 7),
        number(performance?.log_loss, 10),
        `${checked.filter((c) => c.drifted).length}/${checked.length}`.padStart(11),
        ` ${happened.join(", ")}`,
      ].join(" "),
    );
  }

  const rows = comparisons.reduce((sum, c) => sum + c.rows, 0);
  const equal = comparisons.reduce((sum, c) => sum + c.equal, 0);
  print(
    `\n${counts.predictions.toLocaleString("en")} flights predicted in ${counts.requests.toLocaleString("en")} requests, ${counts.failed} failed${counts.firstFailure === null ? "" : ` (${counts.firstFailure})`}; ${counts.labels.toLocaleString("en")} labels came`,
  );
  print(
    `answered by ${[...counts.versions]
      .sort((a, b) => a[0] - b[0])
      .map(([v, n]) => `v${v} ${n.toLocaleString("en")}`)
      .join(", ")}`,
  );
  print(`features at prediction equal to the offline ones in ${equal} of ${rows} sampled flights`);
  for (const feature of comparisons
    .flatMap((c) => c.features)
    .filter((f) => f.different > 0)
    .slice(0, 5))
    print(`    ${feature.name}: ${feature.different} differ, by ${feature.maxDifference}; ${JSON.stringify(feature.examples[0])}`);
  for (const event of events.filter((e) => e.type === "rollout.rolled_back"))
    print(`v${String(event.data.candidate)} was rolled back: ${String(event.data.reason)}`);
  for (const event of events.filter((e) => e.type === "run.finished" && e.data.state === "refused"))
    print(`refused on ${event.at.slice(0, 10)}: ${String(event.data.message).split("\n").join("; ")}`);

  const sample = events.length === 0 ? undefined : await lastPrediction(client);
  if (sample !== undefined) {
    print(`\nmillrace lineage ${sample}`);
    await platform.cli(["lineage", sample]);
  }
  print(`\n${seconds.toFixed(0)} s in all`);
}

/** Some prediction of the last check's day. */
async function lastPrediction(client: Client): Promise<string | undefined> {
  const { items } = await client.get<{ items: { id: string }[] }>("/api/v1/endpoints/delay/predictions?limit=1");
  return items[0]?.id;
}

async function all<T>(client: Client, path: string): Promise<T[]> {
  const items: T[] = [];
  let after: string | undefined;
  do {
    const page: { items: T[]; next?: string } = await client.get(
      `${path}${path.includes("?") ? "&" : "?"}limit=1000${after === undefined ? "" : `&after=${encodeURIComponent(after)}`}`,
    );
    items.push(...page.items);
    after = page.next;
  } while (after !== undefined);
  return items;
}
