import type { Artifact, LogLine, LogPage, RunDetail, Step } from "@millrace/sdk/api";
import type { NodeSpec } from "@millrace/sdk/spec";
import { useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useEffect, useMemo, useRef, useState } from "react";
import { send, useApi, useOther } from "../api";
import { Chart } from "../chart";
import { bytes, count, duration, number, value, words } from "../format";
import { type Box, Graph, type Line } from "../graph";
import { Ask, Badge, Empty, Facts, Page, Panel, Read, State, Table, Tabs, Time } from "../ui";
import { useUrl } from "../url";
import { StepReport } from "../validation/step-report";
import { causeOf, ModelLink } from "./runs";

const isActive = (state: string) => state === "queued" || state === "running";

export function Run() {
  const { id = "" } = useParams({ strict: false });
  const run = useApi<RunDetail>(`/runs/${encodeURIComponent(id)}`, 5_000);
  return <Read query={run}>{(data) => <RunView run={data} />}</Read>;
}

function RunView({ run }: { run: RunDetail }) {
  const [search] = useUrl();
  const client = useQueryClient();
  // What a reader looks for first: what failed, what runs, then how it ended.
  const first = run.steps.find((step) => step.state === "failed" || step.state === "refused") ?? run.steps.find((step) => step.state === "running");
  const selected = run.steps.find((step) => step.id === search.step) ?? first ?? run.steps.findLast((step) => step.state !== "skipped");
  const boxes = useMemo<Box[]>(
    () =>
      run.steps.map((step) => ({
        id: step.id,
        kind: words(step.kind),
        title: step.id,
        state: step.state,
        lines: [step.durationMs === null ? "" : `${duration(step.durationMs)}${step.attempt > 1 ? ` · attempt ${step.attempt}` : ""}`],
        href: `/runs/${run.id}?${new URLSearchParams({ ...(search.tab === undefined ? {} : { tab: search.tab }), step: step.id })}`,
        selected: step.id === selected?.id,
      })),
    [run, selected?.id, search.tab],
  );
  const lines = useMemo<Line[]>(() => linesOf(run), [run]);
  return (
    <Page
      title={`${run.pipeline} · ${run.id.slice(-8)}`}
      about={<State state={run.state} />}
      actions={
        isActive(run.state) && (
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
        )
      }
    >
      {run.message !== null && (
        <p
          role="status"
          className={`rounded-md border px-3 py-1.5 ${run.state === "failed" ? "border-bad/40 bg-bad/8 text-bad" : "border-warn/40 bg-warn/8 text-warn"}`}
        >
          {run.message}
        </p>
      )}
      <Panel flush>
        <Graph label="Steps of the run" boxes={boxes} lines={lines} height={Math.min(360, 130 + 50 * widest(run))} />
      </Panel>
      <div className="grid grid-cols-[minmax(0,1fr)_21rem] items-start gap-3">
        <div className="space-y-3">
          {selected === undefined ? <Empty>No step has begun.</Empty> : <StepView run={run} step={selected} />}
          {run.trackingRunId !== null && <Curves runId={run.trackingRunId} />}
        </div>
        <div className="space-y-3">
          <Panel title="Run">
            <Facts
              of={[
                [
                  "id",
                  <code key="id" className="text-[12px]">
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
                ["created", <Time key="created" at={run.createdAt} />],
                ["took", duration(run.durationMs)],
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
                ["model", <ModelLink key="model" of={run.modelVersion} />],
                ["tracked as", run.trackingRunId === null ? "–" : <TrackedAs key="tracked" runId={run.trackingRunId} />],
                ...Object.entries(run.params).map(([name, param]) => [name, <code key={name}>{value(param)}</code>] as const),
              ]}
            />
          </Panel>
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

function linesOf({ spec, steps }: RunDetail): Line[] {
  const state = new Map(steps.map((step) => [step.id, step.state]));
  const pairs = new Set(spec.nodes.flatMap((node) => Object.values(node.inputs).flatMap((from) => ("node" in from ? [`${from.node} ${node.id}`] : []))));
  return [...pairs].map((pair) => {
    const [from = "", to = ""] = pair.split(" ");
    return { from, to, alive: state.get(to) === "running" };
  });
}
/** About how many steps stand side by side. */
function widest({ spec }: RunDetail): number {
  const depth = new Map<string, number>();
  for (const node of spec.nodes)
    depth.set(node.id, Math.max(0, ...Object.values(node.inputs).map((from) => ("node" in from ? (depth.get(from.node) ?? 0) + 1 : 0))));
  const at = new Map<number, number>();
  for (const one of depth.values()) at.set(one, (at.get(one) ?? 0) + 1);
  return Math.max(1, ...at.values());
}

function StepView({ run, step }: { run: RunDetail; step: Step }) {
  const [{ tab }] = useUrl();
  const report = Object.entries(step.outputs).find(([, artifact]) => artifact.type === "report" && step.kind === "validate")?.[0];
  const node = run.spec.nodes.find((one) => one.id === step.id);
  return (
    <Panel
      title={
        <span className="flex items-center gap-2">
          {step.id} <State state={step.state} />
        </span>
      }
      actions={<span className="text-muted">{node?.definedAt}</span>}
    >
      <Tabs
        param="tab"
        of={[
          ["log", "Log"],
          ["outputs", `Outputs (${Object.keys(step.outputs).length})`],
          ...(report === undefined ? [] : [["report", "Report"] as const]),
          ["step", "Step"],
        ]}
      />
      <div className="pt-2">
        {step.error !== null && <p className="mb-2 whitespace-pre-wrap rounded bg-bad/8 px-2 py-1 text-bad">{step.error}</p>}
        {tab === "report" && report !== undefined ? (
          <StepReport run={run.id} step={step.id} output={report} />
        ) : tab === "outputs" ? (
          <Outputs run={run.id} step={step} />
        ) : tab === "step" ? (
          <StepFacts step={step} node={node} />
        ) : (
          <Log key={`${run.id} ${step.id} ${step.attempt}`} run={run.id} step={step} />
        )}
      </div>
    </Panel>
  );
}

const StepFacts = ({ step, node }: { step: Step; node: NodeSpec | undefined }) => (
  <Facts
    of={[
      ["kind", words(step.kind)],
      ["attempt", step.attempt],
      ["started", <Time key="started" at={step.startedAt} />],
      ["took", duration(step.durationMs)],
      [
        "cache key",
        <code key="cache" className="text-[12px]">
          {step.cacheKey ?? "–"}
        </code>,
      ],
      ["cached from run", step.cachedFrom ?? "–"],
      ...Object.entries(node?.inputs ?? {}).map(
        ([name, from]) =>
          [
            `input ${name}`,
            "node" in from
              ? `${from.output} of ${from.node}`
              : "param" in from
                ? `param ${from.param}`
                : "item" in from
                  ? `item of ${from.item}`
                  : value(from.literal),
          ] as const,
      ),
      [
        "config",
        <pre key="config" className="overflow-auto whitespace-pre-wrap font-mono text-[12px]">
          {JSON.stringify(node?.config, null, 2)}
        </pre>,
      ],
    ]}
  />
);

function Outputs({ run, step }: { run: string; step: Step }) {
  const outputs: [string, Artifact][] = Object.entries(step.outputs);
  if (outputs.length === 0) return <Empty>This step has given nothing{isActive(step.state) ? " yet" : ""}.</Empty>;
  return outputs.map(([name, artifact]) => (
    <div key={name} className="mb-3">
      <h3 className="flex items-center gap-2 font-semibold">
        {name} <Badge>{words(artifact.type)}</Badge> <code className="truncate text-[11px] font-normal text-muted">{artifact.digest}</code>
      </h3>
      <p className="text-muted">
        {Object.entries(artifact.meta)
          .filter(([, fact]) => typeof fact !== "object" || fact === null)
          .map(([key, fact]) => `${words(key)} ${typeof fact === "number" ? number(fact) : value(fact)}`)
          .join(" · ")}
      </p>
      <Table
        label={`Files of ${name}`}
        rows={artifact.files}
        id={(file) => file.path}
        height={220}
        columns={[
          {
            head: "File",
            wide: true,
            cell: (file) => (
              <a
                className="link"
                href={`/api/v1/runs/${run}/steps/${step.id}/artifacts/${name}/files/${file.path.split("/").map(encodeURIComponent).join("/")}`}
              >
                {file.path}
              </a>
            ),
          },
          { head: "Size", right: true, cell: (file) => bytes(file.size) },
        ]}
      />
    </div>
  ));
}

const kept = 5_000;
/** The log so far, and what is added while the step runs. */
function Log({ run, step }: { run: string; step: Step }) {
  const [lines, setLines] = useState<LogLine[]>([]);
  const [failure, setFailure] = useState<string>();
  const [read, setRead] = useState(false);
  const box = useRef<HTMLPreElement>(null);
  useEffect(() => {
    const stop = new AbortController();
    let from = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async () => {
      const response = await fetch(`/api/v1/runs/${run}/steps/${step.id}/log?from=${from}`, { signal: stop.signal });
      if (!response.ok) throw new Error(`The log could not be read (${response.status}).`);
      const page: LogPage = await response.json();
      const more = page.next > from && page.lines.length > 0;
      from = page.next;
      setRead(true);
      setFailure(undefined);
      if (more) setLines((old) => [...old, ...page.lines].slice(-kept));
      if (!page.done || more) timer = setTimeout(again, more ? 0 : 1_000);
    };
    const again = () => {
      ask().catch((error: unknown) => {
        if (stop.signal.aborted) return;
        setFailure(error instanceof Error ? error.message : String(error));
        timer = setTimeout(again, 5_000);
      });
    };
    again();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [run, step.id]);
  const running = step.state === "running";
  // biome-ignore lint/correctness/useExhaustiveDependencies: every new line moves the end into sight while the step runs
  useEffect(() => {
    if (running && box.current !== null) box.current.scrollTop = box.current.scrollHeight;
  }, [lines, running]);
  if (failure !== undefined && lines.length === 0) return <Empty>{failure}</Empty>;
  if (lines.length === 0)
    return (
      <Empty>{!read ? "Loading…" : step.state === "cached" ? "Nothing ran here: the outputs of an earlier run were used." : "This step wrote no lines."}</Empty>
    );
  return (
    <>
      <pre
        ref={box}
        role="log"
        aria-label={`Log of ${step.id}`}
        className="max-h-[420px] overflow-auto rounded bg-sunken p-2 font-mono text-[12px] leading-[18px]"
      >
        {lines.map((line) => (
          <div key={line.n} className={`whitespace-pre-wrap break-all ${line.stream === "stderr" ? "text-warn" : ""}`}>
            <span aria-hidden className="mr-3 inline-block w-8 select-none text-right text-muted">
              {line.n}
            </span>
            {line.text}
          </div>
        ))}
      </pre>
      <p className="pt-1 text-[12px] text-muted">
        {count(lines.length)} lines{lines.length === kept ? ", the last ones" : ""}
        {running ? ", more as they come" : ""}
      </p>
    </>
  );
}

interface TrackingRun {
  run: { info: { run_name: string; experiment_id: string }; data: { metrics?: { key: string }[] } };
}
interface History {
  metrics?: { value: number; step: number }[];
}
const useTracked = (runId: string) => useOther<TrackingRun>(`/api/2.0/mlflow/runs/get?run_id=${encodeURIComponent(runId)}`);
function TrackedAs({ runId }: { runId: string }) {
  const tracked = useTracked(runId).data?.run.info;
  if (tracked === undefined) return <code className="text-[12px]">{runId.slice(0, 8)}</code>;
  return (
    <Link className="link" to="/experiments/$id/runs/$runId" params={{ id: tracked.experiment_id, runId }}>
      {tracked.run_name || runId.slice(0, 8)}
    </Link>
  );
}
/** Metrics that a script logged several times: its training curves. */
function Curves({ runId }: { runId: string }) {
  const tracked = useTracked(runId);
  const keys = tracked.data?.run.data.metrics?.map((metric) => metric.key) ?? [];
  return (
    <div className="grid grid-cols-2 gap-3">
      {keys.slice(0, 24).map((key) => (
        <Curve key={key} runId={runId} metric={key} />
      ))}
    </div>
  );
}
function Curve({ runId, metric }: { runId: string; metric: string }) {
  const history = useOther<History>(`/api/2.0/mlflow/metrics/get-history?run_id=${encodeURIComponent(runId)}&metric_key=${encodeURIComponent(metric)}`);
  const points = history.data?.metrics ?? [];
  if (points.length < 2) return null;
  return (
    <Panel
      title={
        <>
          {words(metric)} <span className="font-normal text-muted">by step of training</span>
        </>
      }
    >
      <Chart
        label={`${metric} by step of training`}
        x={points.map((point) => Number(point.step))}
        series={[{ name: metric, values: points.map((point) => point.value) }]}
        height={190}
        along="step"
        plain
      />
    </Panel>
  );
}
