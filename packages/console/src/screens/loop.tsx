import type { Dataset, Endpoint, Event, FeatureView, Model, Monitor, MonitorCheck, Pipeline, Run, Trigger } from "@millrace/sdk/api";
import { useMemo } from "react";
import { type Listed, useApi, useClock } from "../api";
import { count, counted, day, number, relative, share } from "../format";
import { type Box, Graph, type Line } from "../graph";
import { eventColumns } from "../told";
import { Choose, Empty, Figure, Page, Panel, Read, Table } from "../ui";
import { useUrl } from "../url";

interface Parts {
  datasets: Dataset[];
  views: FeatureView[];
  pipelines: Pipeline[];
  models: Model[];
  endpoints: Endpoint[];
  monitors: Monitor[];
  triggers: Trigger[];
}
const shownTypes =
  "project.applied,dataset.version_accepted,dataset.version_quarantined,run.queued,run.finished,model_version.registered,alias.set,rollout.started,rollout.advanced,rollout.promoted,rollout.rolled_back,endpoint.killed,endpoint.revived,release.created,promotion.deployed,promotion.refused,promotion.failed,monitor.alert,trigger.fired";

/** The loop at a glance. */
export function Loop() {
  const [search] = useUrl();
  const { now } = useClock();
  const events = useApi<Listed<Event>>(`/events?newest=true&limit=60&types=${shownTypes}`, 10_000);
  const runs = useApi<Listed<Run>>("/runs?limit=200&state=active", 5_000);
  const datasets = useApi<Listed<Dataset>>("/datasets");
  const views = useApi<Listed<FeatureView>>("/feature-views");
  const pipelines = useApi<Listed<Pipeline>>("/pipelines");
  const models = useApi<Listed<Model>>("/models");
  const endpoints = useApi<Listed<Endpoint>>("/endpoints", 5_000);
  const monitors = useApi<Listed<Monitor>>("/monitors");
  const triggers = useApi<Listed<Trigger>>("/triggers");

  const all = [...(datasets.data?.items ?? []), ...(pipelines.data?.items ?? [])];
  const projects = [...new Set(all.map((one) => one.project))].sort();
  // The project in which most is alive, where the address names none.
  const busiest = endpoints.data?.items.toSorted((a, b) => b.predictions - a.predictions)[0]?.project;
  const project = search.project ?? busiest ?? projects[0];
  const parts = useMemo<Parts>(() => {
    const of = <T extends { project: string }>(list: Listed<T> | undefined): T[] => list?.items.filter((one) => one.project === project) ?? [];
    const mine = { pipelines: of(pipelines.data), endpoints: of(endpoints.data) };
    const named = new Set([...mine.endpoints.map((one) => one.model), ...mine.pipelines.flatMap((one) => registers(one))]);
    return {
      ...mine,
      datasets: of(datasets.data),
      views: of(views.data),
      models: models.data?.items.filter((one) => named.has(one.name)) ?? [],
      monitors: of(monitors.data),
      triggers: of(triggers.data),
    };
  }, [datasets.data, views.data, pipelines.data, models.data, endpoints.data, monitors.data, triggers.data, project]);
  const minute = Math.floor(now / 60_000) * 60_000;
  const { boxes, lines, height } = useMemo(() => draw(parts, minute), [parts, minute]);

  const predictions = parts.endpoints.reduce((sum, one) => sum + one.predictions, 0);
  const watched = parts.monitors.find((one) => one.last !== null);
  const last = watched?.last;
  // Labels come later than predictions: the newest check that had some says how good the service is.
  const since = last == null ? "" : new Date(Date.parse(last.at) - 14 * 86_400_000).toISOString();
  const checks = useApi<Listed<MonitorCheck>>(watched === undefined ? undefined : `/monitors/${watched.name}/checks?from=${since}`);
  const labelled = checks.data?.items.toSorted((a, b) => b.at.localeCompare(a.at)).find((check) => check.metrics.auc != null);
  const quarantined = parts.datasets.reduce((sum, one) => sum + one.quarantined, 0);
  return (
    <Page
      title="Loop"
      about={project === undefined ? "" : `${project}, from data to a watched service and round again`}
      actions={projects.length > 1 && <Choose label="Project" param="project" of={projects} all={busiest ?? projects[0] ?? ""} />}
    >
      <div className="grid grid-cols-5 gap-3">
        <Figure name="Runs at work" value={count(runs.data?.items.length)} note={lastRunNote(parts.pipelines, minute)} />
        <Figure
          name="Answering"
          value={parts.endpoints.map((one) => (one.stable === null ? "nothing yet" : `${one.model} ${one.stable}`)).join(", ") || "–"}
          note={parts.endpoints
            .map((one) => (one.candidate === null ? `champion of ${one.name}` : `version ${one.candidate} tried on ${share(one.weight, 0)}`))
            .join(", ")}
        />
        <Figure
          name="Predictions"
          value={count(predictions)}
          note={`${number(
            parts.endpoints.reduce((sum, one) => sum + one.requestsPerSecond, 0),
            3,
          )} requests/s in the last minute`}
        />
        <Figure
          name="AUC when labelled"
          value={number(labelled?.metrics.auc)}
          note={labelled === undefined ? "no check with labels yet" : `${count(labelled.labelled)} labels, to ${day(labelled.to)}`}
        />
        <Figure
          name="Drift"
          value={last?.driftShare == null ? "–" : `${share(last.driftShare, 0)} of features`}
          note={quarantined === 0 ? "no data in quarantine" : `${counted(quarantined, "arrival")} in quarantine`}
          {...(last?.drifted ? { tone: "warn" as const } : {})}
        />
      </div>
      <Panel flush>
        {datasets.isError ? (
          <Read query={datasets}>{() => null}</Read>
        ) : boxes.length === 0 ? (
          <Empty>{datasets.isPending ? "Loading…" : "Nothing is defined yet. In a project's folder: millrace apply"}</Empty>
        ) : (
          <Graph label="The loop" boxes={boxes} lines={lines} height={height} size={size} />
        )}
      </Panel>
      <Panel title="Recent events" flush>
        <Read query={events}>
          {(data) => (
            <Table label="Recent events" rows={data.items} columns={eventColumns} id={(event) => event.id} height={300} empty="Nothing has happened yet." />
          )}
        </Read>
      </Panel>
    </Page>
  );
}

const lastRunNote = (pipelines: Pipeline[], now: number): string => {
  const last = pipelines.flatMap((one) => (one.lastRun === null ? [] : [one.lastRun])).sort((a, b) => b.createdAt.localeCompare(a.createdAt))[0];
  return last === undefined ? "no run yet" : `last: ${last.pipeline} ${last.state}, ${relative(Date.parse(last.createdAt), now)}`;
};
const registers = ({ spec }: Pipeline): string[] => spec.nodes.flatMap((node) => (node.kind === "register" ? [node.config.model] : []));
const reads = ({ spec }: Pipeline): string[] => spec.nodes.flatMap((node) => (node.kind === "read_dataset" ? [node.config.dataset] : []));
/** Versions are numbered as they arrive, quarantined ones too. */
const newestRefused = ({ latest, versions, quarantined }: Dataset): boolean => quarantined > 0 && (latest?.version ?? 0) < versions + quarantined;
const says = (text: string, name: string): boolean => text.split(/[^\w-]+/).includes(name);

const size = { width: 212, height: 84 };
const step = { x: 306, y: 98 };

/** Data → pipelines → models → endpoints along the top; features, triggers and monitors lead back below. */
function draw(parts: Parts, now: number): { boxes: Box[]; lines: Line[]; height: number } {
  const boxes: Box[] = [];
  const lines: Line[] = [];
  const { datasets, views, pipelines, models, endpoints, monitors, triggers } = parts;
  const top = Math.max(datasets.length, pipelines.length, models.length, endpoints.length, 1);
  const below = Math.max(top * step.y + 26, 2 * step.y);
  const put = (column: number, row: number, box: Omit<Box, "at">, low = false) =>
    boxes.push({ ...box, at: { x: column * step.x, y: (low ? below : 0) + row * step.y } });
  const ago = (at: string) => relative(Date.parse(at), now);

  datasets.forEach((one, i) => {
    put(0, i, {
      id: `d ${one.name}`,
      kind: "dataset",
      title: one.name,
      state: newestRefused(one) ? "quarantined" : one.latest === null ? "empty" : "accepted",
      href: `/datasets/${one.name}`,
      lines:
        one.latest === null
          ? ["waits for its first file", one.mode]
          : [`version ${one.latest.version} · ${count(one.latest.rows)} rows`, one.latest.added.file],
    });
  });
  pipelines.forEach((one, i) => {
    const run = one.lastRun;
    put(1, i, {
      id: `p ${one.name}`,
      kind: "pipeline",
      title: one.name,
      state: run?.state ?? "never run",
      href: run === null ? `/pipelines/${one.name}` : `/runs/${run.id}`,
      lines: [counted(one.spec.nodes.length, "step"), run === null ? "" : `${run.modelVersion ?? run.cause.trigger ?? run.cause.kind} · ${ago(run.createdAt)}`],
    });
    for (const dataset of reads(one)) lines.push({ from: `d ${dataset}`, to: `p ${one.name}`, alive: run?.state === "running" });
    for (const model of registers(one)) lines.push({ from: `p ${one.name}`, to: `m ${model}`, alive: run?.state === "running" });
  });
  models.forEach((one, i) => {
    put(2, i, {
      id: `m ${one.name}`,
      kind: "model",
      title: one.name,
      state:
        one.latest === null ? "none yet" : one.latest.aliases.includes("challenger") && !one.latest.aliases.includes("champion") ? "challenger" : "accepted",
      href: `/models/${one.name}`,
      lines: [
        Object.entries(one.aliases)
          .sort(([a], [b]) => Number(b === "champion") - Number(a === "champion"))
          .map(([alias, version]) => `${alias} ${version}`)
          .join(" · "),
        `${counted(one.versions, "version")} · AUC ${number(one.latest?.metrics.auc)}`,
      ],
    });
  });
  endpoints.forEach((one, i) => {
    put(3, i, {
      id: `e ${one.name}`,
      kind: "endpoint",
      title: one.name,
      state: one.stable === null ? "waits" : one.candidate === null ? "serving" : "rollout",
      href: `/endpoints/${one.name}`,
      lines: [
        one.candidate === null ? `version ${one.stable ?? "–"} answers` : `version ${one.stable ?? "–"}, ${one.candidate} on ${share(one.weight, 0)}`,
        `${count(one.predictions)} predictions`,
      ],
    });
    lines.push({ from: `m ${one.model}`, to: `e ${one.name}`, alive: one.candidate !== null });
  });
  // Of the views it is known whose project they are in, not which tables they read: what no pipeline reads feeds them.
  if (views.length > 0) {
    put(
      0,
      0,
      {
        id: "features",
        kind: "features, offline and online",
        title: counted(views.length, "feature view"),
        href: "/feature-views",
        lines: [`${count(views.reduce((sum, one) => sum + one.onlineRows, 0))} rows online`, views.map((one) => one.name).join(", ")],
      },
      true,
    );
    const last = datasets.at(-1);
    if (last !== undefined) lines.push({ from: `d ${last.name}`, to: "features", sides: ["bottom", "top"] });
    for (const one of pipelines)
      if (one.spec.nodes.some((node) => node.kind === "historical_features")) lines.push({ from: "features", to: `p ${one.name}`, sides: ["right", "left"] });
  }
  triggers.forEach((one, i) => {
    put(
      1,
      i,
      {
        id: `t ${one.name}`,
        kind: "trigger",
        title: one.name,
        state: one.paused ? "paused" : (one.lastFiring?.outcome ?? "waits"),
        href: `/triggers?trigger=${one.name}`,
        lines: [one.conditions.join(" · "), one.lastFiring === null ? "has not fired" : `fired ${ago(one.lastFiring.at)}`],
      },
      true,
    );
    // Beside the pipelines that stand between, not through them.
    lines.push({
      from: `t ${one.name}`,
      to: `p ${one.pipeline}`,
      sides: i === 0 && pipelines.at(-1)?.name === one.pipeline ? ["top", "bottom"] : ["left", "left"],
    });
  });
  monitors.forEach((one, i) => {
    put(
      3,
      i,
      {
        id: `w ${one.name}`,
        kind: `monitor, every ${one.every}`,
        title: one.name,
        state: one.last === null ? "no check" : one.last.alert !== null ? "alert" : one.last.drifted ? "drift" : "calm",
        href: `/monitors/${one.name}`,
        lines: one.last === null ? [] : [`drift in ${share(one.last.driftShare, 0)} of features`, `AUC ${number(one.last.metrics.auc)} · ${ago(one.last.at)}`],
      },
      true,
    );
    lines.push({ from: `e ${one.endpoint}`, to: `w ${one.name}`, sides: ["bottom", "top"] });
    for (const trigger of triggers)
      if (trigger.conditions.some((text) => says(text, one.name))) lines.push({ from: `w ${one.name}`, to: `t ${trigger.name}`, sides: ["left", "right"] });
  });
  const known = new Set(boxes.map((box) => box.id));
  const low = Math.max(views.length > 0 ? 1 : 0, triggers.length, monitors.length);
  return {
    boxes,
    lines: lines.filter((line) => known.has(line.from) && known.has(line.to)),
    height: boxes.length === 0 ? 0 : Math.min(620, (low === 0 ? top * step.y : below + low * step.y) + 34),
  };
}
