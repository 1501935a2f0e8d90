import type { Backfill, Pipeline as PipelineOf, Run, Schedule, Secret, StepAverage, SweepRun, Trigger } from "@millrace/sdk/api";
import type { NodeSpec } from "@millrace/sdk/spec";
import { Link, useParams } from "@tanstack/react-router";
import { type ReactNode, useCallback, useMemo } from "react";
import { type Listed, Refused, useApi } from "../api";
import { count, duration, value, words } from "../format";
import { PipelineGraph } from "../pipelines/graph";
import { type Outline, outlineOf } from "../pipelines/outline";
import { StartRun } from "../pipelines/start-run";
import { Badge, Empty, Page, Panel, Read, State, Table, Tabs, Time } from "../ui";
import { type Search, useUrl } from "../url";
import { RunMetrics, RunTable } from "./runs";

export function Pipeline() {
  const { name = "" } = useParams({ strict: false });
  const pipeline = useApi<PipelineOf>(`/pipelines/${encodeURIComponent(name)}`);
  return <Read query={pipeline}>{(of) => <PipelineView of={of} />}</Read>;
}

function PipelineView({ of }: { of: PipelineOf }) {
  const [search] = useUrl();
  const path = encodeURIComponent(of.name);
  const outline = useMemo(() => outlineOf(of.spec), [of.spec]);
  const open = useMemo(() => new Set(search.open?.split(",").filter((id) => id !== "")), [search.open]);
  const runs = useApi<Listed<Run>>(`/runs?limit=200&pipeline=${path}`);
  const averages = useApi<Listed<StepAverage>>(`/pipelines/${path}/steps`, 30_000);
  const byNode = useMemo(() => new Map(averages.data?.items.map((one) => [one.node, one])), [averages.data]);
  const address = useCallback(
    (patch: Search) => {
      const { step, of: inner, item: _, ...rest } = patch;
      const id = inner ?? step;
      const maps = id === undefined || outline.places.get(id)?.node.kind !== "map" ? {} : { open: [...open, id].join(",") };
      const next = Object.entries({ ...search, ...rest, ...maps, ...(id === undefined ? {} : { step: id }) }).flatMap(([key, one]) =>
        one === undefined || one === "" ? [] : [[key, one]],
      );
      return `/pipelines/${path}?${new URLSearchParams(next)}`;
    },
    [search, path, outline, open],
  );
  const about = useCallback(
    (node: NodeSpec) => {
      const median = byNode.get(node.id)?.medianMs;
      return median == null ? (node.definedAt ?? "") : `about ${duration(median)}`;
    },
    [byNode],
  );
  return (
    <Page
      title={of.name}
      about={of.spec.description ?? `${of.project} version ${of.projectVersion}`}
      actions={
        <>
          <span className="text-muted">{of.spec.definedAt}</span>
          <StartRun button="Run" main pipeline={of.name} spec={of.spec} />
        </>
      }
    >
      <Panel flush>
        <PipelineGraph label={`Steps of ${of.name}`} outline={outline} open={open} address={address} selected={search.step} about={about} height={340} />
      </Panel>
      <Panel>
        <Tabs
          param="tab"
          of={[
            ["runs", "Runs"],
            ["steps", "Steps"],
            ["starts", "What starts it"],
            ["params", `Params (${of.spec.params.length})`],
            ["secrets", "Secrets"],
            ["metrics", "Metrics of runs"],
          ]}
        />
        <div className="pt-3">
          {search.tab === "steps" ? (
            <Steps outline={outline} averages={byNode} selected={search.step} />
          ) : search.tab === "starts" ? (
            <Starts of={of.name} />
          ) : search.tab === "params" ? (
            <Params of={of} />
          ) : search.tab === "secrets" ? (
            <Secrets outline={outline} />
          ) : (
            <Read query={runs}>
              {({ items }) =>
                search.tab === "metrics" ? (
                  <RunMetrics runs={items} />
                ) : items.length === 0 ? (
                  <Empty>No run yet. Start one here, or with: millrace run {of.name}</Empty>
                ) : (
                  <RunTable runs={items} height={440} />
                )
              }
            </Read>
          )}
        </div>
      </Panel>
    </Page>
  );
}

function Steps({ outline, averages, selected }: { outline: Outline; averages: Map<string, StepAverage>; selected: string | undefined }) {
  const longest = Math.max(1, ...[...averages.values()].map((one) => one.medianMs ?? 0));
  return (
    <Table
      label="Steps"
      rows={outline.nodes}
      id={(node) => node.id}
      selected={selected}
      height={460}
      columns={[
        {
          head: "Step",
          cell: (node) => (
            <span style={{ paddingLeft: 14 * (outline.places.get(node.id)?.within.length ?? 0) }} className="font-medium">
              {node.id}
            </span>
          ),
        },
        { head: "Kind", cell: (node) => words(node.kind) },
        { head: "Median", right: true, cell: (node) => duration(averages.get(node.id)?.medianMs) },
        {
          head: "",
          cell: (node) => (
            <span className="block h-2.5 w-40 rounded bg-sunken">
              <span className="block h-2.5 rounded bg-accent" style={{ width: `${(100 * (averages.get(node.id)?.medianMs ?? 0)) / longest}%` }} />
            </span>
          ),
        },
        { head: "Mean", right: true, cell: (node) => duration(averages.get(node.id)?.meanMs) },
        { head: "Longest", right: true, cell: (node) => duration(averages.get(node.id)?.longestMs) },
        { head: "Ran", right: true, cell: (node) => count(averages.get(node.id)?.ran) },
        { head: "Cached", right: true, cell: (node) => count(averages.get(node.id)?.cached) },
        { head: "Failed", right: true, cell: (node) => count(averages.get(node.id)?.failed) },
        { head: "Defined at", wide: true, cell: (node) => <span className="text-muted">{node.definedAt}</span> },
      ]}
    />
  );
}

function Params({ of }: { of: PipelineOf }) {
  return (
    <Table
      label="Params"
      rows={of.spec.params}
      id={(param) => param.name}
      height={400}
      empty="It takes no params."
      columns={[
        { head: "Param", cell: (param) => <span className="font-medium">{param.name}</span> },
        { head: "Type", cell: (param) => param.type },
        {
          head: "Default",
          cell: (param) => (
            <code className="line-clamp-1 max-w-96 break-all text-[12px]">{param.default === undefined ? "none: it must be given" : value(param.default)}</code>
          ),
        },
        {
          head: "Values",
          cell: (param) =>
            param.values?.join(", ") ?? [param.min === undefined ? "" : `from ${param.min}`, param.max === undefined ? "" : `to ${param.max}`].join(" "),
        },
        { head: "About", wide: true, cell: (param) => <span className="text-muted">{param.description}</span> },
      ]}
    />
  );
}

interface Start {
  key: string;
  kind: string;
  name: ReactNode;
  when: string;
  state: string;
  next: string | null;
}
/** All that starts runs of it without a person. */
function Starts({ of }: { of: string }) {
  const schedules = useApi<Listed<Schedule>>("/schedules");
  const triggers = useApi<Listed<Trigger>>("/triggers");
  const sweeps = useApi<Listed<SweepRun>>("/sweeps?limit=200");
  const backfills = useApi<Listed<Backfill>>(`/backfills?limit=50&pipeline=${encodeURIComponent(of)}`);
  const mine = <T extends { pipeline: string }>(list: Listed<T> | undefined) => list?.items.filter((one) => one.pipeline === of) ?? [];
  const rows: Start[] = [
    ...mine(schedules.data).map((one) => ({
      ...{ key: `schedule ${one.name}`, kind: "schedule", when: `${one.cron} (${one.zone})`, state: one.paused ? "paused" : "active", next: one.next },
      name: (
        <Link className="link" to="/schedules" search={{ schedule: one.name }}>
          {one.name}
        </Link>
      ),
    })),
    ...mine(triggers.data).map((one) => ({
      ...{ key: `trigger ${one.name}`, kind: "trigger", when: one.conditions.join("; "), state: one.paused ? "paused" : "active", next: one.nextCron },
      name: (
        <Link className="link" to="/triggers" search={{ trigger: one.name }}>
          {one.name}
        </Link>
      ),
    })),
    ...mine(sweeps.data).map((one) => ({
      ...{ key: `sweep ${one.id}`, kind: "sweep", when: `${one.search}, to ${one.goal.direction} ${one.goal.metric}`, state: one.state, next: null },
      name: (
        <Link className="link" to="/sweeps" search={{ sweep: one.id }}>
          {one.sweep ?? one.id.slice(-12)}
        </Link>
      ),
    })),
    ...mine(backfills.data).map((one) => ({
      ...{ key: `backfill ${one.id}`, kind: "backfill", when: `${one.param} from ${value(one.first)} to ${value(one.last)}`, state: one.state, next: null },
      name: (
        <Link className="link" to="/backfills" search={{ backfill: one.id }}>
          {one.id.slice(-12)}
        </Link>
      ),
    })),
  ];
  return (
    <Table
      label="What starts it"
      rows={rows}
      id={(row) => row.key}
      height={400}
      empty="Nothing starts it but people: no schedule, trigger, sweep or backfill."
      columns={[
        { head: "Kind", cell: (row) => row.kind },
        { head: "Name", cell: (row) => row.name },
        { head: "State", cell: (row) => <State state={row.state} /> },
        { head: "Next", cell: (row) => <Time at={row.next} /> },
        { head: "When", wide: true, cell: (row) => <span className="text-muted">{row.when}</span> },
      ]}
    />
  );
}

/** What it needs, and whether it is there. Values are never shown. */
function Secrets({ outline }: { outline: Outline }) {
  const needed = new Map<string, string[]>();
  for (const node of outline.nodes) if ("secrets" in node) for (const name of node.secrets ?? []) needed.set(name, [...(needed.get(name) ?? []), node.id]);
  const secrets = useApi<Listed<Secret>>(needed.size === 0 ? undefined : "/secrets");
  const hidden = secrets.error instanceof Refused && secrets.error.status === 403;
  if (needed.size === 0) return <Empty>Its steps need no secrets.</Empty>;
  return (
    <Table
      label="Secrets"
      rows={[...needed]}
      id={([name]) => name}
      height={300}
      columns={[
        { head: "Secret", cell: ([name]) => <code>{name}</code> },
        {
          head: "State",
          cell: ([name]) => {
            const found = secrets.data?.items.find((one) => one.name === name);
            if (secrets.data === undefined) return <span className="text-muted">{hidden ? "only administrators see whether it is set" : "…"}</span>;
            return found === undefined ? <Badge tone="bad">not set: millrace secret set {name}</Badge> : <Badge tone="ok">set</Badge>;
          },
        },
        { head: "Set by", cell: ([name]) => secrets.data?.items.find((one) => one.name === name)?.setBy ?? "" },
        { head: "Set", cell: ([name]) => <Time at={secrets.data?.items.find((one) => one.name === name)?.setAt} /> },
        { head: "Needed by", wide: true, cell: ([, nodes]) => nodes.join(", ") },
      ]}
    />
  );
}
