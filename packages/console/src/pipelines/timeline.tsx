/** A run along time: a bar for each attempt, hatched where a step waited, the steps marked that decided how long it took. */
import type { Run, RunBar, RunTimeline } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef } from "react";
import { counted, duration } from "../format";
import { Empty, stateTone } from "../ui";
import { useUrl } from "../url";
import { criticalPath, lanesOf, ticksOf } from "./critical";
import { type Outline, takenFrom } from "./outline";

interface Row {
  key: string;
  title: string;
  step: string | undefined;
  depth: number;
  /** How many steps are folded away under it. */
  hidden: number;
  bars: RunBar[];
  waitedFrom: number | undefined;
  critical: boolean;
}
const fill = { ok: "bg-ok/80", warn: "bg-warn/80", bad: "bg-bad/80", info: "bg-info/80", none: "bg-muted/50" };
const high = 24;

export function Timeline({ run, timeline, outline, open }: { run: Run; timeline: RunTimeline; outline: Outline; open: ReadonlySet<string> }) {
  const [search, change] = useUrl();
  const byWorker = search.by === "worker";
  const end = Math.max(1, timeline.lengthMs);
  const path = useMemo(() => new Set(pathOf(timeline, outline)), [timeline, outline]);
  const rows = useMemo(() => (byWorker ? workerRows(timeline) : stepRows(timeline, outline, open, path)), [byWorker, timeline, outline, open, path]);
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: () => box.current, estimateSize: () => high, overscan: 20 });
  const left = (ms: number) => `${Math.min(100, (100 * ms) / end)}%`;
  const ticks = ticksOf(end);
  if (timeline.bars.length === 0) return <Empty>No step has begun{run.state === "queued" ? " yet" : ": what they gave was there already"}.</Empty>;
  return (
    <div className="px-3 pb-2">
      <div className="flex flex-wrap items-center gap-3 py-1.5 text-[12px] text-muted">
        <label className="flex items-center gap-1.5">
          Rows
          <select className="field" value={byWorker ? "worker" : ""} onChange={(event) => change({ by: event.target.value || undefined })}>
            <option value="">by step</option>
            <option value="worker">by worker</option>
          </select>
        </label>
        <span>
          <span aria-hidden className="mr-1 inline-block h-2.5 w-5 rounded-sm border border-line align-middle hatched" />
          waited
        </span>
        <span>
          <span aria-hidden className="mr-1 inline-block h-2.5 w-5 rounded-sm bg-ok/80 align-middle ring-2 ring-accent" />
          critical path: {counted(path.size, "step")} that decided the {duration(end)}
        </span>
        {timeline.more && <span className="text-warn">Only the first {timeline.bars.length} bars are drawn.</span>}
      </div>
      <div className="grid grid-cols-[13rem_minmax(0,1fr)] border-b border-line text-[11px] text-muted">
        <span>{byWorker ? "worker" : "step"}</span>
        <div className="relative h-4">
          {ticks.map((tick) => (
            <span key={tick} className="absolute -translate-x-1/2 first:translate-x-0" style={{ left: left(tick) }}>
              {tick === 0 ? "0" : duration(tick)}
            </span>
          ))}
        </div>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <section ref={box} tabIndex={0} aria-label="Time line of the run" className="overflow-y-auto" style={{ maxHeight: 360 }}>
        <ul className="relative" style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map(({ index, start }) => {
            const row = rows[index];
            if (row === undefined) return null;
            return (
              <li
                key={row.key}
                className={`absolute grid w-full grid-cols-[13rem_minmax(0,1fr)] items-center ${row.step !== undefined && (search.item ?? search.step) === row.step ? "bg-accent/8" : "hover:bg-sunken/60"}`}
                style={{ top: start, height: high }}
              >
                <span className="flex min-w-0 items-center gap-1 pr-2 text-[12px]" style={{ paddingLeft: 12 * row.depth }}>
                  {row.step === undefined ? (
                    <span className="truncate">{row.title}</span>
                  ) : (
                    <StepLink step={row.step} critical={row.critical}>
                      {row.title}
                    </StepLink>
                  )}
                  {row.hidden > 0 && (
                    <button type="button" className="link text-[11px]" onClick={() => change({ open: [...open, row.title].join(",") })}>
                      +{row.hidden}
                    </button>
                  )}
                  {row.step !== undefined && open.has(row.title) && (
                    <button
                      type="button"
                      className="link text-[11px]"
                      onClick={() => change({ open: [...open].filter((one) => one !== row.title).join(",") || undefined })}
                    >
                      close
                    </button>
                  )}
                </span>
                <span className="relative h-full border-l border-line">
                  {ticks.slice(1).map((tick) => (
                    <span key={tick} aria-hidden className="absolute inset-y-0 border-l border-line/60" style={{ left: left(tick) }} />
                  ))}
                  {row.waitedFrom !== undefined && row.bars[0] !== undefined && row.bars[0].fromMs > row.waitedFrom && (
                    <span
                      title={`waited ${duration(row.bars[0].fromMs - row.waitedFrom)} for room`}
                      className="absolute inset-y-[7px] border-y border-line hatched"
                      style={{ left: left(row.waitedFrom), width: left(row.bars[0].fromMs - row.waitedFrom) }}
                    />
                  )}
                  {row.bars.map((bar) => (
                    <Bar key={`${bar.step} ${bar.attempt}`} bar={bar} end={end} critical={path.has(bar.step)} />
                  ))}
                </span>
              </li>
            );
          })}
        </ul>
      </section>
    </div>
  );
}

const stepSearch = (step: string) => (old: Record<string, string | undefined>) => {
  const map = step.split("[")[0];
  return step.includes("[") ? { ...old, step: map, item: step, of: undefined } : { ...old, step, item: undefined, of: undefined };
};
export const StepLink = ({ step, critical = false, children }: { step: string; critical?: boolean; children: string }) => (
  <Link to="." search={stepSearch(step)} replace className={`truncate hover:underline ${critical ? "font-semibold text-accent" : ""}`} title={step}>
    {children}
  </Link>
);

function Bar({ bar, end, critical }: { bar: RunBar; end: number; critical: boolean }) {
  const to = bar.toMs ?? end;
  const outcome = bar.outcome ?? bar.state;
  const about = [
    `${bar.step}${bar.attempt > 1 ? ` · attempt ${bar.attempt}` : ""}: ${outcome}`,
    `${duration(to - bar.fromMs)} from ${duration(bar.fromMs)}`,
    ...(bar.worker === null ? [] : [`worker ${bar.worker.slice(0, 8)} on ${bar.host ?? ""}${bar.backend === null ? "" : `, ${bar.backend}`}`]),
  ].join("\n");
  const quiet = bar.attempt === 0;
  return (
    <Link
      to="."
      search={stepSearch(bar.step)}
      replace
      title={about}
      aria-label={about}
      tabIndex={-1}
      className={`absolute rounded-sm ${quiet ? "inset-y-[8px] border border-muted/60 hatched" : `inset-y-[4px] ${fill[stateTone(outcome)]}`} ${critical ? "ring-2 ring-accent" : ""} ${bar.toMs === null ? "alive" : ""}`}
      style={{ left: `${(100 * bar.fromMs) / end}%`, width: `max(3px, ${(100 * (to - bar.fromMs)) / end}%)` }}
    />
  );
}

function pathOf(timeline: RunTimeline, outline: Outline): string[] {
  const spans = new Map<string, { id: string; from: number; to: number; needs: string[] }>();
  for (const bar of timeline.bars) {
    if (bar.parent !== null) continue;
    const node = outline.places.get(bar.node)?.node;
    const to = bar.toMs ?? timeline.lengthMs;
    const before = spans.get(bar.step);
    spans.set(bar.step, {
      id: bar.step,
      from: before?.from ?? bar.fromMs,
      to: Math.max(to, before?.to ?? 0),
      needs: node === undefined ? [] : [...takenFrom(node)],
    });
  }
  return criticalPath(through([...spans.values()], outline));
}
/** Steps without a bar, as choices, lead on to what they take from. */
function through(spans: { id: string; from: number; to: number; needs: string[] }[], outline: Outline) {
  const there = new Set(spans.map((span) => span.id));
  const real = (id: string, seen: Set<string>): string[] => {
    if (there.has(id) || seen.has(id)) return there.has(id) ? [id] : [];
    seen.add(id);
    const node = outline.places.get(id)?.node;
    return node === undefined ? [] : [...takenFrom(node)].flatMap((one) => real(one, seen));
  };
  return spans.map((span) => ({ ...span, needs: span.needs.flatMap((id) => real(id, new Set())) }));
}

function stepRows(timeline: RunTimeline, outline: Outline, open: ReadonlySet<string>, path: ReadonlySet<string>): Row[] {
  const byStep = new Map<string, RunBar[]>();
  const children = new Map<string, string[]>();
  for (const bar of timeline.bars) {
    const bars = byStep.get(bar.step);
    if (bars !== undefined) bars.push(bar);
    else {
      byStep.set(bar.step, [bar]);
      const parent = bar.parent ?? "";
      const beside = children.get(parent);
      if (beside === undefined) children.set(parent, [bar.step]);
      else beside.push(bar.step);
    }
  }
  const endOf = (step: string): number | undefined => {
    const bars = byStep.get(step);
    return bars === undefined ? undefined : Math.max(...bars.map((bar) => bar.toMs ?? timeline.lengthMs));
  };
  const rows: Row[] = [];
  const add = (step: string, depth: number): void => {
    const bars = byStep.get(step) ?? [];
    const node = outline.places.get(bars[0]?.node ?? "")?.node;
    const under = children.get(step) ?? [];
    const isOpen = open.has(step);
    const needs = depth > 0 || node === undefined ? [] : [...takenFrom(node)].flatMap((id) => endOf(id) ?? []);
    const ready = depth > 0 ? undefined : Math.max(0, ...needs);
    // A beat of the scheduler is no wait.
    const waited = ready !== undefined && bars[0] !== undefined && bars[0].fromMs - ready > 50;
    rows.push({
      ...{ key: step, title: step, step, depth, hidden: isOpen ? 0 : under.length, bars, critical: path.has(step) },
      waitedFrom: waited ? ready : undefined,
    });
    if (isOpen) for (const one of under) add(one, depth + 1);
  };
  for (const step of children.get("") ?? []) add(step, 0);
  return rows;
}

function workerRows(timeline: RunTimeline): Row[] {
  const workers = new Map<string, RunBar[]>();
  for (const bar of timeline.bars) {
    if (bar.worker === null) continue;
    const of = workers.get(bar.worker);
    if (of === undefined) workers.set(bar.worker, [bar]);
    else of.push(bar);
  }
  return [...workers].flatMap(([worker, bars]) => {
    const lanes = lanesOf(bars.map((bar) => ({ from: bar.fromMs, to: bar.toMs ?? timeline.lengthMs })));
    const many = Math.max(...lanes) + 1;
    return Array.from({ length: many }, (_, lane) => ({
      ...{ key: `${worker} ${lane}`, step: undefined, depth: 0, hidden: 0, waitedFrom: undefined, critical: false },
      title: lane === 0 ? `${bars[0]?.host ?? ""} · ${worker.slice(0, 8)}` : "",
      bars: bars.filter((_, i) => lanes[i] === lane),
    }));
  });
}
