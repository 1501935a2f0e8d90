import { count, metrics, print, printJson, table, time } from "../output.js";
import { connect, isNotFound, type ServerOptions } from "../server.js";

export async function status(options: ServerOptions & { json?: boolean }): Promise<void> {
  const client = connect(options);
  const clock = await client.clock.get();
  const [projects, datasets, pipelines, active, models, endpoints, monitors, triggers] = await Promise.all([
    all(client.projects.list()),
    all(client.datasets.list()),
    all(client.pipelines.list()),
    all(client.runs.list({ state: "active" })),
    all(client.models.list()),
    all(client.endpoints.list()),
    all(client.monitors.list()),
    all(client.triggers.list()),
  ]);
  if (options.json) return printJson({ clock, projects, datasets, pipelines, active, models, endpoints, monitors, triggers });

  print(`${client.url}  ${time(clock.now)}${clock.kind === "replay" ? " (replayed)" : ""}`);
  if (projects.length === 0) return print("There is no project yet. Make one with: millrace init <folder>, and apply it with: millrace apply <folder>");
  section(
    ["project", "version", "commit", "applied"],
    projects.map((one) => [one.project, String(one.version), `${one.commit?.slice(0, 7) ?? "-"}${one.dirty ? "+" : ""}`, time(one.appliedAt)]),
  );
  section(
    ["dataset", "version", "rows", "refused"],
    datasets.map((one) => [one.name, String(one.latest?.version ?? "-"), one.latest === null ? "-" : count(one.latest.rows), String(one.quarantined)]),
  );
  section(
    ["pipeline", "last run", "ended", "result"],
    pipelines.map(({ name, lastRun }) => [
      name,
      lastRun?.state ?? "-",
      time(lastRun?.finishedAt),
      lastRun?.modelVersion ?? (lastRun === null ? "" : metrics(lastRun.metrics)),
    ]),
  );
  section(
    ["running", "pipeline", "since"],
    active.map((run) => [run.id, run.pipeline, time(run.startedAt ?? run.createdAt)]),
  );
  section(
    ["model", "versions", "aliases"],
    models.map((one) => [
      one.name,
      String(one.versions),
      Object.entries(one.aliases)
        .map(([alias, version]) => `${alias} v${version}`)
        .join(", "),
    ]),
  );
  section(
    ["endpoint", "stable", "candidate", "predictions", "errors", "p99"],
    endpoints.map((one) => [
      one.name,
      one.stable === null ? "-" : `v${one.stable}`,
      one.candidate === null ? "-" : `v${one.candidate} at ${Math.round(one.weight * 100)}%`,
      count(one.predictions),
      count(one.errors),
      one.latency.p99Ms === null ? "-" : `${one.latency.p99Ms.toFixed(1)} ms`,
    ]),
  );
  section(
    ["monitor", "checked", "drift", "metrics", "alert"],
    monitors.map(({ name, last }) => [
      name,
      time(last?.at),
      last === null ? "-" : last.drifted ? "yes" : "no",
      last === null ? "" : metrics(last.metrics),
      last?.alert ?? "",
    ]),
  );
  section(
    ["trigger", "pipeline", "state", "next by the clock", "last"],
    triggers.map((one) => [
      one.name,
      one.pipeline,
      one.paused ? "paused" : "on",
      time(one.nextCron),
      one.lastFiring === null ? "-" : `${one.lastFiring.outcome} ${time(one.lastFiring.at)}: ${one.lastFiring.reason}`,
    ]),
  );
}

/** The first page of a list; nothing where the server has no such list. */
async function all<T>(list: Promise<{ items: T[] }>): Promise<T[]> {
  try {
    return (await list).items;
  } catch (error) {
    if (isNotFound(error)) return [];
    throw error;
  }
}

function section(heading: string[], rows: string[][]): void {
  if (rows.length > 0) print(`\n${table(heading, rows)}`);
}
