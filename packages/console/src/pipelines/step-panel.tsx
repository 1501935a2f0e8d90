/** All of one step: its state and why, its attempts, what it says, what it took and gave. */
import type { RunDetail, Step, StepAttempt, StepDetail } from "@millrace/sdk/api";
import type { NodeSpec } from "@millrace/sdk/spec";
import { Link } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import { useApi } from "../api";
import { bytes, count, duration, number, value, words } from "../format";
import { Badge, Empty, Facts, Panel, State, Table, Tabs, Time } from "../ui";
import { useUrl } from "../url";
import { StepReport } from "../validation/step-report";
import { Approve } from "./approval";
import { Digest, Inputs, Outputs } from "./artifacts";
import type { Counts } from "./graph";
import { Items } from "./items";
import { Log } from "./log";
import { type Outline, takenFrom } from "./outline";
import { StartRun } from "./start-run";

export const isActive = (state: string): boolean => state === "queued" || state === "running";
const isUnderWay = (state: string): boolean => state === "running" || state === "ready" || state === "waiting" || state === "asking";

export function StepPanel({ run, id, outline, counts }: { run: RunDetail; id: string; outline: Outline; counts: Map<string, Counts> }) {
  const known = run.steps.find((one) => one.id === id);
  const detail = useApi<StepDetail>(`/runs/${encodeURIComponent(run.id)}/steps/${encodeURIComponent(id)}`, (step) =>
    isActive(run.state) && (step === undefined || isUnderWay(step.state)) ? 1_000 : 60_000,
  );
  const step = detail.data ?? known;
  if (step === undefined) return <Panel title={id}>{detail.isError ? <Empty>{detail.error.message}</Empty> : <Empty>Loading…</Empty>}</Panel>;
  return <StepView key={id} run={run} step={step} detail={detail.data} outline={outline} counts={counts} />;
}

function StepView({
  run,
  step,
  detail,
  outline,
  counts,
}: {
  run: RunDetail;
  step: Step;
  detail: StepDetail | undefined;
  outline: Outline;
  counts: Map<string, Counts>;
}) {
  const [{ tab, open: opened }] = useUrl();
  const node = outline.places.get(step.node)?.node;
  const isMap = node?.kind === "map";
  // What only waits or chooses says nothing, and nothing works on it.
  const talks = step.kind !== "approval" && step.kind !== "wait_event" && step.kind !== "choose";
  const report = Object.entries(step.outputs).find(([, artifact]) => artifact.type === "report" && step.kind === "validate")?.[0];
  const attempts = detail?.attempts ?? [];
  const open = new Set(opened?.split(",").filter((one) => one !== ""));
  return (
    <Panel
      title={
        <span className="flex items-center gap-2">
          {step.id} <State state={step.state} />
          {step.parent !== null && (
            <span className="font-normal text-muted">
              item <code className="text-[12px]">{value(step.item).slice(0, 80)}</code> of{" "}
              <Link className="link" to="." search={(old) => ({ ...old, step: step.parent ?? undefined, item: undefined, tab: undefined })} replace>
                {step.parent}
              </Link>
            </span>
          )}
        </span>
      }
      actions={
        <>
          <span className="text-muted">{node?.definedAt}</span>
          {isMap && (
            <Link
              className="button"
              to="."
              search={(old) => ({ ...old, open: (open.has(step.id) ? [...open].filter((one) => one !== step.id) : [...open, step.id]).join(",") || undefined })}
              replace
            >
              {open.has(step.id) ? "Close in the graph" : "Open in the graph"}
            </Link>
          )}
          {!isActive(run.state) && (
            <StartRun button="Run again from here" pipeline={run.pipeline} spec={run.spec} params={run.params} from={step.node} of={run.id} />
          )}
        </>
      }
    >
      <Summary run={run} step={step} node={node} />
      <Tabs
        param="tab"
        of={[
          ...(isMap
            ? [["items", `Items${step.items ? ` (${count(step.items.done)} of ${count(step.items.total)})` : ""}`] as const]
            : talks
              ? [["log", "Log"] as const]
              : []),
          ["outputs", `Outputs (${Object.keys(step.outputs).length})`],
          ["inputs", `Inputs (${Object.keys(node?.inputs ?? {}).length})`],
          ...(report === undefined ? [] : [["report", "Report"] as const]),
          ...(isMap || !talks ? [] : [["attempts", `Attempts (${attempts.length})`] as const]),
          ["step", "Step"],
        ]}
      />
      <div className="pt-2">
        {tab === "report" && report !== undefined ? (
          <StepReport run={run.id} step={step.id} output={report} />
        ) : tab === "outputs" || (tab === undefined && !talks) ? (
          <Outputs run={run.id} step={step} />
        ) : tab === "inputs" ? (
          detail === undefined ? (
            <Empty>Loading…</Empty>
          ) : (
            <Inputs step={detail} node={node} />
          )
        ) : tab === "attempts" ? (
          <Attempts of={attempts} />
        ) : tab === "step" ? (
          <StepFacts step={step} detail={detail} node={node} />
        ) : isMap && node.kind === "map" ? (
          <Items run={run.id} map={step} nodes={node.config.body.map((one) => one.id)} counts={counts} active={isActive(run.state)} />
        ) : (
          <Log key={`${run.id} ${step.id} ${step.attempt}`} run={run.id} step={step} />
        )}
      </div>
    </Panel>
  );
}

/** Why, how far, how much: what is looked for before anything else. */
function Summary({ run, step, node }: { run: RunDetail; step: Step; node: NodeSpec | undefined }) {
  const facts = [
    ...(step.durationMs === null ? [] : [`took ${duration(step.durationMs)}`]),
    ...(step.attempt > 1 ? [`attempt ${step.attempt}`] : []),
    ...(step.host === null ? [] : [`on ${step.host}${step.backend === null ? "" : `, ${step.backend}`}`]),
    ...(step.usage === null || step.state === "running"
      ? []
      : [
          ...(step.usage.memoryBytes === null ? [] : [`at most ${bytes(step.usage.memoryBytes)}`]),
          ...(step.usage.cpuSeconds === null ? [] : [`${number(step.usage.cpuSeconds, 2)} s of processor`]),
        ]),
  ];
  return (
    <div className="space-y-2 pb-2">
      <p className="text-muted">
        <Why step={step} needs={node === undefined ? [] : [...takenFrom(node)]} />
        {facts.length > 0 && ` · ${facts.join(" · ")}`}
      </p>
      {step.state === "running" && <Progress step={step} />}
      {step.state === "running" && (
        <Usage key={step.attempt} step={step} limit={node !== undefined && "resources" in node ? node.resources?.memory : undefined} />
      )}
      {step.state === "asking" && node?.kind === "approval" && <Approve run={run.id} step={step} question={node.config.question} />}
      {step.state === "asking" && node?.kind === "wait_event" && (
        <p className="rounded-lg border border-warn/50 bg-warn/8 px-3 py-2">
          Waits for the event <code>{node.config.type}</code>
          {node.config.subject === undefined ? "" : ` of ${node.config.subject}`}
          {node.timeout === undefined ? "." : `, for ${node.timeout} at most.`}
        </p>
      )}
      {step.error !== null && <Failed run={run.id} step={step} />}
    </div>
  );
}

function Why({ step, needs }: { step: Step; needs: string[] }) {
  const reason = step.reason ?? "";
  if (step.state === "cached")
    return (
      <>
        Not run: what it gave
        {step.cachedFrom === null ? " before" : " in "}
        {step.cachedFrom !== null && (
          <Link className="link" to="/runs/$id" params={{ id: step.cachedFrom }} search={{ step: step.id }}>
            run {step.cachedFrom.slice(-8)}
          </Link>
        )}{" "}
        is used again{reason === "" ? "" : `: ${reason}`}
      </>
    );
  if (step.state === "skipped") return <>Skipped{reason === "" ? ": the run ended before it" : `: ${reason}`}</>;
  if (step.state === "waiting") return <>Waits{reason !== "" ? `: ${reason}` : needs.length > 0 ? ` for ${needs.join(", ")}` : ""}</>;
  if (step.state === "ready") return <>{reason === "" ? "Waits for a worker that has room" : `Is to run: ${reason}`}</>;
  if (step.state === "asking") return <>{reason === "" ? "Waits" : reason}</>;
  return <>{reason === "" ? words(step.kind) : `Ran because ${reason}`}</>;
}

function Progress({ step: { id, progress } }: { step: Step }) {
  const { done, total, message } = progress ?? {};
  const seen = useRef<{ at: number; done: number }[]>([]);
  if (done !== undefined && seen.current.at(-1)?.done !== done) seen.current = [...seen.current, { at: Date.now(), done }].slice(-30);
  if (done === undefined && message === undefined) return null;
  const [first] = seen.current;
  const last = seen.current.at(-1);
  const rate = first !== undefined && last !== undefined && last.at > first.at ? ((last.done - first.done) / (last.at - first.at)) * 1_000 : 0;
  const left = rate > 0 && total !== undefined && done !== undefined ? ((total - done) / rate) * 1_000 : undefined;
  return (
    <div className="flex items-center gap-3">
      {done !== undefined && total !== undefined && total > 0 && (
        <progress className="h-2 min-w-40 grow" max={total} value={done} aria-label={`Progress of ${id}`} />
      )}
      <span className="text-muted">
        {done === undefined ? "" : `${number(done)}${total === undefined ? "" : ` of ${number(total)}`}`}
        {message === undefined ? "" : `${done === undefined ? "" : " · "}${message}`}
        {rate > 0 && ` · ${number(rate, 2)}/s`}
        {left !== undefined && left > 0 && ` · about ${duration(left)} left`}
      </span>
    </div>
  );
}

interface Sample {
  at: number;
  memory: number | null;
  cpu: number | null;
}
/** From what was polled since this was opened. */
function Usage({ step, limit }: { step: Step; limit: string | undefined }) {
  const [samples, setSamples] = useState<Sample[]>([]);
  const { memoryBytes: memory = null, cpuSeconds: cpu = null } = step.usage ?? {};
  useEffect(() => {
    if (memory !== null || cpu !== null) setSamples((old) => [...old, { at: Date.now(), memory, cpu }].slice(-180));
  }, [memory, cpu]);
  if (memory === null && cpu === null) return null;
  const cores = samples.slice(1).flatMap((sample, i) => {
    const before = samples[i];
    return before === undefined || sample.cpu === null || before.cpu === null || sample.at <= before.at
      ? []
      : [Math.max(0, (sample.cpu - before.cpu) / ((sample.at - before.at) / 1_000))];
  });
  return (
    <div className="flex flex-wrap gap-6 text-muted">
      <span className="flex items-center gap-2">
        memory <strong className="font-medium text-ink">{bytes(memory)}</strong>
        {limit === undefined ? "" : `of ${limit}`}
        <Sparkline label="Memory" values={samples.flatMap((sample) => sample.memory ?? [])} />
      </span>
      <span className="flex items-center gap-2">
        processor <strong className="font-medium text-ink">{cores.length === 0 ? "–" : `${number(cores.at(-1), 2)} cores`}</strong> {number(cpu, 1)} s
        <Sparkline label="Processor" values={cores} />
      </span>
    </div>
  );
}
function Sparkline({ label, values }: { label: string; values: number[] }) {
  const most = Math.max(...values, 1e-9);
  const points = values.map((one, i) => `${(118 * i) / Math.max(1, values.length - 1) + 1},${23 - (22 * one) / most}`);
  return (
    <svg role="img" aria-label={`${label} since this was opened`} width={120} height={24} className="rounded bg-sunken">
      {values.length > 1 && <polyline points={points.join(" ")} fill="none" stroke="var(--accent)" strokeWidth={1.4} />}
    </svg>
  );
}

function Failed({ run, step }: { run: string; step: Step }) {
  const [copied, setCopied] = useState(false);
  const command = `millrace debug ${run} ${/[[\]]/.test(step.id) ? `'${step.id}'` : step.id}`;
  return (
    <div className={`rounded-md border px-3 py-2 ${step.state === "refused" ? "border-warn/40 bg-warn/8" : "border-bad/40 bg-bad/8"}`}>
      <pre className={`max-h-60 overflow-auto whitespace-pre-wrap break-words font-mono text-[12px] ${step.state === "refused" ? "text-warn" : "text-bad"}`}>
        {step.error}
      </pre>
      {(step.kind === "python" || step.kind === "command" || step.kind === "typescript") && (
        <p className="mt-2 flex flex-wrap items-center gap-2 text-muted">
          Run it here again with the same inputs:
          <code className="rounded bg-panel px-1.5 py-0.5 text-ink">{command}</code>
          <button
            type="button"
            className="button"
            onClick={() => {
              void navigator.clipboard.writeText(command).then(() => setCopied(true));
            }}
          >
            {copied ? "Copied" : "Copy"}
          </button>
        </p>
      )}
    </div>
  );
}

function Attempts({ of }: { of: StepAttempt[] }) {
  return (
    <Table
      label="Attempts"
      rows={of}
      id={(one) => String(one.attempt)}
      height={300}
      empty="Nothing was tried: it has not begun, or needs no process."
      columns={[
        { head: "#", right: true, cell: (one) => one.attempt },
        { head: "Outcome", cell: (one) => (one.outcome === null ? <State state="running" /> : <State state={one.outcome} />) },
        { head: "Exit", cell: (one) => (one.signal !== null ? one.signal : one.exitCode === null ? "–" : `code ${one.exitCode}`) },
        { head: "Took", right: true, cell: (one) => duration(one.durationMs) },
        { head: "Peak memory", right: true, cell: (one) => bytes(one.peakMemoryBytes) },
        { head: "Processor", right: true, cell: (one) => (one.cpuSeconds === null ? "–" : `${number(one.cpuSeconds, 2)} s`) },
        { head: "Host", cell: (one) => one.host },
        { head: "Backend", cell: (one) => one.backend ?? "–" },
        {
          head: "Worker",
          cell: (one) => (
            <code title={one.worker} className="text-[12px]">
              {one.worker.slice(0, 8)}
            </code>
          ),
        },
        { head: "Begun", cell: (one) => <Time at={one.startedAt} /> },
        {
          head: "Cause",
          wide: true,
          cell: (one) => (
            <span className="line-clamp-2 whitespace-normal text-muted" title={one.message ?? ""}>
              {one.message}
            </span>
          ),
        },
      ]}
    />
  );
}

const StepFacts = ({ step, detail, node }: { step: Step; detail: StepDetail | undefined; node: NodeSpec | undefined }) => (
  <Facts
    of={[
      ["kind", words(step.kind)],
      ["started", <Time key="started" at={step.startedAt} />],
      ["finished", <Time key="finished" at={step.finishedAt} />],
      ["cache key", step.cacheKey === null ? "–" : <Digest key="cache" of={step.cacheKey} />],
      ["code", detail?.codeDigest == null ? "–" : <Digest key="code" of={detail.codeDigest} />],
      ["environment", detail?.environmentDigest == null ? "–" : <Digest key="environment" of={detail.environmentDigest} />],
      ...(node?.when === undefined
        ? []
        : [
            [
              "runs where",
              node.when
                .map(
                  (when) =>
                    `${"param" in when.of ? when.of.param : "node" in when.of ? `${when.of.node} ${when.path ?? ""}` : "it"} is ${words(when.is)} to ${when.value}`,
                )
                .join(", "),
            ] as const,
          ]),
      ...(node?.timeout === undefined ? [] : [["at most for", node.timeout] as const]),
      ...(node?.retries === undefined
        ? []
        : [["tried again", `${node.retries.times} times${node.retries.on === undefined ? "" : ` after ${node.retries.on.map(words).join(", ")}`}`] as const]),
      ...(node?.cache === undefined ? [] : [["cache", typeof node.cache === "boolean" ? (node.cache ? "always" : "never") : `for ${node.cache.for}`] as const]),
      ...(node !== undefined && "resources" in node && node.resources !== undefined
        ? [
            [
              "needs",
              Object.entries(node.resources)
                .map(([name, one]) => `${name} ${one}`)
                .join(", "),
            ] as const,
          ]
        : []),
      ...(node !== undefined && "secrets" in node && node.secrets !== undefined ? [["secrets", node.secrets.join(", ")] as const] : []),
      ...(node !== undefined && "group" in node && node.group !== undefined ? [["group", `${node.group.name}, ${node.group.limit} at a time`] as const] : []),
      ...(node !== undefined && "code" in node && node.code !== undefined && node.code.length > 0
        ? [
            [
              "depends on",
              <span key="files" className="flex flex-wrap gap-1">
                {node.code.map((file) => (
                  <Badge key={file}>{file}</Badge>
                ))}
              </span>,
            ] as const,
          ]
        : []),
      [
        "config",
        <pre key="config" className="max-h-80 overflow-auto whitespace-pre-wrap font-mono text-[12px]">
          {JSON.stringify(node?.config, null, 2)}
        </pre>,
      ],
    ]}
  />
);
