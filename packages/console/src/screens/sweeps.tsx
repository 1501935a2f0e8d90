import type { SweepDetail, SweepPlots, SweepRun, Trial } from "@millrace/sdk/api";
import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { type Listed, reasonOf, send, useApi } from "../api";
import { Chart } from "../chart";
import { factsOf } from "../compare/facts";
import { ParallelCoordinates } from "../compare/parallel";
import { Scatter } from "../compare/scatter";
import { number, value } from "../format";
import { Ask, Empty, Facts, Figure, NotDone, Page, Panel, Read, State, Table, Tabs, Time } from "../ui";
import { useUrl } from "../url";
import { RunLink } from "./schedules";

const liveMs = 3_000;
const paramsOf = (params: Trial["params"]): string =>
  Object.entries(params)
    .map(([name, one]) => `${name} ${typeof one === "number" ? number(one) : value(one)}`)
    .join(", ");

export function Sweeps() {
  const [search] = useUrl();
  const sweeps = useApi<Listed<SweepRun>>("/sweeps?limit=200", liveMs);
  return (
    <Page title="Sweeps" about="A pipeline tried with many values of its params">
      <Read query={sweeps}>
        {({ items }) => {
          const chosen = items.find((one) => one.id === search.sweep) ?? items[0];
          if (chosen === undefined)
            return (
              <Panel>
                <Empty>There is no sweep yet. Start one: millrace sweep delay --over depth=3..8 --metric auc</Empty>
              </Panel>
            );
          return (
            <>
              <Panel flush>
                <Table
                  label="Sweeps"
                  rows={items}
                  id={(one) => one.id}
                  selected={chosen.id}
                  height={220}
                  columns={[
                    {
                      head: "Sweep",
                      cell: (one) => (
                        <Link className="link font-medium" to="." search={(old) => ({ ...old, sweep: one.id })} replace>
                          {one.sweep ?? one.id.slice(-12)}
                        </Link>
                      ),
                    },
                    { head: "State", cell: (one) => <State state={one.state} /> },
                    { head: "Pipeline", cell: (one) => one.pipeline },
                    { head: "Search", cell: (one) => one.search },
                    {
                      head: "Trials",
                      right: true,
                      cell: ({ progress: { total, running, ...over } }) => `${Object.values(over).reduce((a, b) => a + b, 0)} of ${total}`,
                    },
                    { head: "Goal", cell: (one) => `${one.goal.direction} ${one.goal.metric}` },
                    { head: "Best", right: true, cell: (one) => number(one.best?.value) },
                    { head: "With", wide: true, cell: (one) => <span className="text-muted">{one.best === null ? "" : paramsOf(one.best.params)}</span> },
                    { head: "Begun", cell: (one) => <Time at={one.createdAt} /> },
                  ]}
                />
              </Panel>
              <SweepView key={chosen.id} of={chosen} />
            </>
          );
        }}
      </Read>
    </Page>
  );
}

function SweepView({ of }: { of: SweepRun }) {
  const [{ part = "history" }] = useUrl();
  const client = useQueryClient();
  const [failure, setFailure] = useState<string>();
  const detail = useApi<SweepDetail>(`/sweeps/${of.id}`, liveMs);
  const plots = useApi<SweepPlots>(`/sweeps/${of.id}/plots`, liveMs);
  const act = (what: string) =>
    send("POST", `/sweeps/${of.id}/${what}`).then(
      () => client.invalidateQueries(),
      (error: unknown) => setFailure(reasonOf(error)),
    );
  const { progress, best, goal } = of;
  return (
    <>
      <div className="grid grid-cols-5 gap-3">
        <Figure name={`Best ${goal.metric}`} value={number(best?.value)} note={best === null ? "" : `trial ${best.n}`} />
        <Figure name="Succeeded" value={progress.succeeded} note={`of ${progress.total}`} />
        <Figure name="Running" value={progress.running} note={`at most ${of.atOnce} at once`} />
        <Figure name="Stopped early" value={progress.stopped} note={of.stop?.kind ?? "no rule"} />
        <Figure name="Failed" value={progress.failed} note={`at most ${of.maxFailed}`} tone={progress.failed > 0 ? "warn" : "none"} />
      </div>
      <div className="grid grid-cols-[22rem_minmax(0,1fr)] items-start gap-3">
        <Panel
          title={of.sweep ?? of.id.slice(-12)}
          actions={
            <>
              {of.state === "running" && (
                <button type="button" className="button" onClick={() => void act("pause")}>
                  Pause
                </button>
              )}
              {of.state === "paused" && (
                <button type="button" className="button" onClick={() => void act("resume")}>
                  Resume
                </button>
              )}
              {(of.state === "running" || of.state === "paused") && (
                <Ask button="Cancel" title="Cancel this sweep?" run={() => act("cancel")}>
                  The runs of its trials are ended, and no other is begun.
                </Ask>
              )}
            </>
          }
        >
          <NotDone why={failure} className="pb-2" />
          <Facts
            of={[
              ["state", <State key="state" state={of.state} />],
              ...(of.message === null ? [] : [["why", of.message] as const]),
              ["best", best === null ? "none yet" : paramsOf(best.params)],
              ["goal", `${goal.direction} ${goal.metric}`],
              ["search", `${of.search}, seed ${of.seed}`],
              [
                "stop",
                of.stop === null
                  ? "never early"
                  : Object.entries(of.stop)
                      .map(([name, one]) => (name === "kind" ? one : `${name} ${one}`))
                      .join(", "),
              ],
              ...Object.entries(of.over).map(
                ([name, range]) =>
                  [
                    name,
                    range.kind === "choice"
                      ? range.values.map((one) => value(one)).join(", ")
                      : `${range.from} to ${range.to}${range.log ? ", by magnitude" : ""}`,
                  ] as const,
              ),
              [
                "with",
                Object.entries(of.params)
                  .map(([name, one]) => `${name} = ${value(one)}`)
                  .join(", ") || "the other defaults",
              ],
              [
                "tracked as",
                of.trackingRunId === null || of.experimentId === null ? (
                  "–"
                ) : (
                  <Link key="run" className="link" to="/experiments/$id/runs/$runId" params={{ id: of.experimentId, runId: of.trackingRunId }}>
                    {of.trackingRunId.slice(0, 8)}
                  </Link>
                ),
              ],
              ["finished", <Time key="end" at={of.finishedAt} />],
            ]}
          />
        </Panel>
        <Panel>
          <Tabs
            param="part"
            of={[
              ["history", "History"],
              ["trials", "Trials"],
              ["parallel", "Parallel coordinates"],
              ["scatter", "Scatter"],
              ["curves", "Curves"],
              ["importance", "Importance"],
            ]}
          />
          <div className="pt-3">
            <Read query={detail}>{(sweep) => <Read query={plots}>{(drawn) => <Part part={part} sweep={sweep} plots={drawn} />}</Read>}</Read>
          </div>
        </Panel>
      </div>
    </>
  );
}

function Part({ part, sweep, plots }: { part: string; sweep: SweepDetail; plots: SweepPlots }) {
  const { goal } = sweep;
  const rows = useMemo(() => asRuns(sweep), [sweep]);
  const facts = useMemo(() => factsOf(rows).filter(({ id }) => id !== "attributes.user" && id !== "attributes.start"), [rows]);
  if (part === "trials") return <Trials of={sweep} />;
  if (sweep.trials.length === 0) return <Empty>No trial has begun yet.</Empty>;
  if (part === "parallel") return <ParallelCoordinates runs={rows} facts={facts} />;
  if (part === "scatter") return <Scatter runs={rows} facts={facts} />;
  if (part === "importance") return <Importance of={plots} />;
  if (part === "curves") {
    const shown = plots.curves.slice(-6);
    if (shown.length === 0) return <Empty>No trial has said more than one value of {goal.metric}. Log it by step.</Empty>;
    const steps = [...new Set(shown.flatMap(({ points }) => points.map(([step]) => step)))].sort((a, b) => a - b);
    const series = shown.map(({ n, points }) => {
      const at = new Map(points);
      return { name: `trial ${n}`, values: steps.map((step) => at.get(step) ?? null) };
    });
    return <Chart label={`${goal.metric} by step of the newest trials`} along="step" x={steps} series={series} height={360} />;
  }
  if (plots.history.length === 0) return <Empty>No trial has told a value yet.</Empty>;
  return (
    <Chart
      label={`${goal.metric} of each trial, and the best so far`}
      along="trial"
      x={plots.history.map(({ n }) => n)}
      series={[
        { name: "best so far", values: plots.history.map(({ best }) => best) },
        { name: "trial", points: true, values: plots.history.map(({ value: one, stopped }) => (stopped ? null : one)) },
        { name: "stopped", points: true, values: plots.history.map(({ value: one, stopped }) => (stopped ? one : null)) },
      ]}
      height={360}
    />
  );
}

function Trials({ of }: { of: SweepDetail }) {
  return (
    <Table
      label="Trials"
      rows={of.trials}
      id={(one) => String(one.n)}
      selected={of.best === null ? undefined : String(of.best.n)}
      height={520}
      empty="No trial has begun yet."
      columns={[
        { head: "Trial", right: true, cell: (one) => one.n },
        { head: "State", cell: (one) => <State state={one.state} /> },
        { head: of.goal.metric, right: true, cell: (one) => number(one.value, 5) },
        ...Object.keys(of.over).map((name) => ({
          head: name,
          right: true,
          cell: ({ params }: Trial) => {
            const one = params[name];
            return typeof one === "number" ? number(one) : value(one);
          },
        })),
        { head: "Step", right: true, cell: (one) => one.step ?? "–" },
        { head: "Run", cell: (one) => <RunLink id={one.runId} /> },
        {
          head: "Message",
          wide: true,
          cell: (one) => (
            <span className="line-clamp-1 text-muted" title={one.message ?? ""}>
              {one.message}
            </span>
          ),
        },
      ]}
    />
  );
}

function Importance({ of: { importance } }: { of: SweepPlots }) {
  if (importance.length === 0) return <Empty>With fewer than three trials nothing can be said.</Empty>;
  return (
    <div className="space-y-2">
      <ul aria-label="Importance of params" className="space-y-1.5">
        {importance.map((one) => (
          <li key={one.param} className="grid grid-cols-[10rem_minmax(0,1fr)_4rem] items-center gap-3">
            <span className="truncate font-medium">{one.param}</span>
            <span className="h-3 rounded bg-sunken">
              <span className="block h-3 rounded bg-accent" style={{ width: `${100 * one.importance}%` }} />
            </span>
            <span className="text-right" title={one.method === "spearman" ? "Spearman's rank correlation" : "correlation ratio of the ranks"}>
              {number(one.importance, 2)}
            </span>
          </li>
        ))}
      </ul>
      <p className="text-muted">
        How far the order of the values follows the param alone, from 0 to 1: the size of Spearman's rank correlation for numbers, the correlation ratio of the
        ranks for choices. What params do together is not in it.
      </p>
    </div>
  );
}

/** Trials as the charts of compared runs take them. */
function asRuns({ trials, goal, experimentId }: SweepDetail) {
  return trials.map((trial) => ({
    id: trial.trackingRunId ?? trial.runId,
    experimentId: experimentId ?? "0",
    name: `trial ${trial.n}`,
    status: trial.state,
    user: "",
    startTime: Date.parse(trial.startedAt),
    endTime: trial.finishedAt === null ? null : Date.parse(trial.finishedAt),
    stage: "active",
    metrics: trial.value === null ? {} : { [goal.metric]: trial.value },
    params: Object.fromEntries(Object.entries(trial.params).map(([name, one]) => [name, String(one)])),
    tags: {},
  }));
}
