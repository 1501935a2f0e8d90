import type { RunDetail, RunTimeline } from "@millrace/sdk/api";
import { useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useCallback, useMemo } from "react";
import { send, useApi } from "../api";
import { count, duration, number, value, words } from "../format";
import { Approve } from "../pipelines/approval";
import { countsOf, PipelineGraph } from "../pipelines/graph";
import { outlineOf } from "../pipelines/outline";
import { StartRun } from "../pipelines/start-run";
import { isActive, StepPanel } from "../pipelines/step-panel";
import { Timeline } from "../pipelines/timeline";
import { Curves, TrackedAs } from "../pipelines/tracked";
import { Ask, Empty, Facts, Page, Panel, Read, State, Tabs, Time } from "../ui";
import { type Search, useUrl } from "../url";
import { causeOf, ModelLink } from "./runs";

/** Of a large run all steps are a megabyte: it is asked for less often. */
const everyMs = (run: RunDetail | undefined): number => (run === undefined ? 2_000 : !isActive(run.state) ? 30_000 : run.stepCount > 300 ? 4_000 : 1_500);

export function Run() {
  const { id = "" } = useParams({ strict: false });
  const run = useApi<RunDetail>(`/runs/${encodeURIComponent(id)}`, everyMs);
  return <Read query={run}>{(data) => <RunView run={data} />}</Read>;
}

function RunView({ run }: { run: RunDetail }) {
  const [search] = useUrl();
  const outline = useMemo(() => outlineOf(run.spec), [run.spec]);
  const open = useMemo(() => new Set(search.open?.split(",").filter((id) => id !== "")), [search.open]);
  const partial = run.stepCount > run.steps.length;
  const timeline = useApi<RunTimeline>(
    search.view === "time" || partial ? `/runs/${encodeURIComponent(run.id)}/timeline` : undefined,
    isActive(run.state) ? (run.stepCount > 300 ? 4_000 : 1_500) : 60_000,
  );
  const counts = useMemo(() => countsOf(run.steps, timeline.data), [run.steps, timeline.data]);
  const top = useMemo(() => run.steps.filter((step) => step.parent === null), [run.steps]);
  // What a reader looks for first: what failed, what asks, what runs, then how it ended.
  const first =
    top.find((step) => step.state === "failed" || step.state === "refused") ??
    top.find((step) => step.state === "asking") ??
    top.find((step) => step.state === "running") ??
    top.findLast((step) => step.state !== "skipped" && step.state !== "waiting");
  const selected = search.step ?? first?.id;
  const address = useCallback(
    (patch: Search) => {
      const next = Object.entries({ ...search, ...patch }).flatMap(([key, one]) => (one === undefined || one === "" ? [] : [[key, one]]));
      return `/runs/${run.id}?${new URLSearchParams(next)}`;
    },
    [search, run.id],
  );
  const asking = run.steps.filter((step) => step.state === "asking" && step.id !== (search.item ?? selected));
  return (
    <Page title={`${run.pipeline} · ${run.id.slice(-8)}`} about={<State state={run.state} />} actions={<Actions run={run} />}>
      {run.message !== null && (
        <p
          role="status"
          className={`line-clamp-3 rounded-md border px-3 py-1.5 ${run.state === "failed" ? "border-bad/40 bg-bad/8 text-bad" : "border-warn/40 bg-warn/8 text-warn"}`}
        >
          {run.message.split("\n")[0]}
        </p>
      )}
      {asking.slice(0, 5).map((step) => {
        const node = outline.places.get(step.node)?.node;
        return node?.kind === "approval" ? <Approve key={step.id} run={run.id} step={step} question={node.config.question} /> : null;
      })}
      <Panel flush>
        <div className="px-3 pt-1">
          <Tabs
            param="view"
            of={[
              ["graph", "Graph"],
              ["time", "Time line"],
            ]}
          />
        </div>
        {search.view === "time" ? (
          <Read query={timeline}>{(data) => <Timeline run={run} timeline={data} outline={outline} open={open} />}</Read>
        ) : (
          <PipelineGraph
            label="Steps of the run"
            outline={outline}
            open={open}
            address={address}
            selected={search.of ?? selected}
            steps={run.steps}
            counts={counts}
          />
        )}
      </Panel>
      <div className="grid grid-cols-[minmax(0,1fr)_20rem] items-start gap-3">
        <div className="space-y-3">
          {search.item !== undefined && <StepPanel run={run} id={search.item} outline={outline} counts={counts} />}
          {search.item === undefined &&
            (selected === undefined ? (
              <Panel>
                <Empty>No step has begun.</Empty>
              </Panel>
            ) : (
              <StepPanel run={run} id={selected} outline={outline} counts={counts} />
            ))}
          {run.trackingRunId !== null && <Curves runId={run.trackingRunId} />}
        </div>
        <div className="space-y-3">
          <RunFacts run={run} />
          {Object.keys(run.metrics).length > 0 && (
            <Panel title="Metrics">
              <Facts of={Object.entries(run.metrics).map(([name, metric]) => [words(name), number(metric, 5)] as const)} />
            </Panel>
          )}
        </div>
      </div>
    </Page>
  );
}

function Actions({ run }: { run: RunDetail }) {
  const client = useQueryClient();
  const again = { pipeline: run.pipeline, spec: run.spec, params: run.params };
  const compare = (
    <Link className="button" to="/runs/compare" search={{ a: run.id }}>
      Compare
    </Link>
  );
  if (isActive(run.state))
    return (
      <>
        {compare}
        <Ask
          button="Cancel run"
          title="Cancel this run?"
          run={async () => {
            await send("POST", `/runs/${encodeURIComponent(run.id)}/cancel`);
            await client.invalidateQueries();
          }}
        >
          Its steps are stopped. What finished steps gave is kept, and a new run uses it again.
        </Ask>
      </>
    );
  return (
    <>
      {compare}
      <StartRun button="Run again" {...again} />
      {run.state !== "succeeded" && <StartRun button="Resume" main {...again} resume={run.id} />}
    </>
  );
}

const RunLink = ({ id }: { id: string }) => (
  <Link className="link" to="/runs/$id" params={{ id }}>
    {id.slice(-8)}
  </Link>
);

function RunFacts({ run }: { run: RunDetail }) {
  return (
    <Panel title="Run">
      <Facts
        of={[
          [
            "id",
            <code key="id" className="break-all text-[12px]">
              {run.id}
            </code>,
          ],
          [
            "cause",
            <span key="cause">
              {causeOf(run)}
              {run.cause.reason === undefined ? "" : `: ${run.cause.reason}`}
            </span>,
          ],
          ...(run.cause.by === undefined ? [] : [["by", run.cause.by] as const]),
          ...(run.cause.resume === undefined ? [] : [["resumes", <RunLink key="resume" id={run.cause.resume} />] as const]),
          ...(run.cause.from === undefined
            ? []
            : [
                [
                  "again from",
                  <span key="from">
                    {run.cause.from}
                    {run.cause.of === undefined ? "" : " of "}
                    {run.cause.of !== undefined && <RunLink id={run.cause.of} />}
                  </span>,
                ] as const,
              ]),
          ...(run.cause.cache === false ? [["cache", "not used"] as const] : []),
          ["created", <Time key="created" at={run.createdAt} />],
          ["took", duration(run.durationMs)],
          ["steps", count(run.stepCount)],
          [
            "pipeline",
            <Link key="pipeline" className="link" to="/pipelines/$name" params={{ name: run.pipeline }}>
              {run.pipeline}
            </Link>,
          ],
          ["project", `${run.project} version ${run.projectVersion}`],
          [
            "commit",
            run.commit === null ? (
              "–"
            ) : (
              <code key="commit" title={run.commit}>
                {run.commit.slice(0, 12)}
              </code>
            ),
          ],
          [
            "changes",
            <a key="diff" className="link" href={`/api/v1/runs/${encodeURIComponent(run.id)}/diff`} target="_blank" rel="noreferrer">
              what was not committed
            </a>,
          ],
          ["model", <ModelLink key="model" of={run.modelVersion} />],
          ["tracked as", run.trackingRunId === null ? "–" : <TrackedAs key="tracked" runId={run.trackingRunId} />],
          ...Object.entries(run.params).map(
            ([name, param]) =>
              [
                name,
                <code key={name} className="line-clamp-3 break-all text-[12px]" title={value(param).slice(0, 2_000)}>
                  {value(param).slice(0, 500)}
                </code>,
              ] as const,
          ),
        ]}
      />
    </Panel>
  );
}
