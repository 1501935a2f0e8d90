/** A pipeline's graph, of its definition or of a run: maps closed with a count of states or open, sub-pipelines framed. */
import type { RunTimeline, Step, StepState } from "@millrace/sdk/api";
import type { NodeSpec } from "@millrace/sdk/spec";
import { type ReactNode, useMemo } from "react";
import { count, duration, words } from "../format";
import { type Box, type Frame, Graph, type Line } from "../graph";
import { stateTone } from "../ui";
import type { Search } from "../url";
import { drawnNodes, groupsOf, type Outline, shownAs, wiresOf } from "./outline";

export type Counts = Partial<Record<StepState, number>>;
const order: StepState[] = ["failed", "refused", "running", "asking", "ready", "waiting", "succeeded", "cached", "skipped", "cancelled"];
const ink = { ok: "text-ok", warn: "text-warn", bad: "text-bad", info: "text-info", none: "text-muted" };

/** How many are in which state, those first that a reader looks for. */
export function StateCounts({ of }: { of: Counts }) {
  const there = order.filter((state) => (of[state] ?? 0) > 0);
  return (
    <span className="inline-flex gap-1.5">
      {there.map((state) => (
        <span key={state} className={`whitespace-nowrap ${ink[stateTone(state)]}`} title={`${count(of[state])} ${state}`}>
          <span aria-hidden>●</span> {count(of[state])} <span className="sr-only">{state}</span>
        </span>
      ))}
    </span>
  );
}

/** By map: of the steps of its items; by node in a map: of that step over all items. */
export function countsOf(steps: readonly Step[], timeline: RunTimeline | undefined): Map<string, Counts> {
  const counts = new Map<string, Counts>();
  const add = (id: string, state: StepState, by: number) => {
    const of = counts.get(id) ?? {};
    of[state] = (of[state] ?? 0) + by;
    counts.set(id, of);
  };
  const found =
    timeline?.counts ?? steps.flatMap((step) => (step.parent === null ? [] : [{ parent: step.parent, node: step.node, state: step.state, count: 1 }]));
  for (const one of found) {
    add(one.node, one.state, one.count);
    // `fit[3].inner` is an item's share of the map `inner`.
    add(one.parent.slice(one.parent.lastIndexOf(".") + 1).replace(/\[\d+\]$/, ""), one.state, one.count);
    if (one.parent.includes("]")) add(one.parent, one.state, one.count);
  }
  return counts;
}

/** What many steps come to, as one. */
export function overall(of: Counts): StepState {
  for (const state of ["failed", "refused", "running", "asking", "ready", "waiting", "cancelled", "succeeded", "cached"] as const)
    if ((of[state] ?? 0) > 0) return state;
  return "skipped";
}

export function PipelineGraph({
  label,
  outline,
  open,
  address,
  selected,
  steps,
  counts,
  about,
  height = 380,
}: {
  label: string;
  outline: Outline;
  open: ReadonlySet<string>;
  /** The address of the view with this changed. */
  address: (patch: Search) => string;
  selected?: string | undefined;
  /** Of a run. */
  steps?: readonly Step[];
  counts?: Map<string, Counts>;
  /** A line under a box, for definitions. */
  about?: (node: NodeSpec) => ReactNode;
  height?: number;
}) {
  const top = useMemo(() => new Map(steps?.filter((step) => step.parent === null).map((step) => [step.id, step])), [steps]);
  const boxes = useMemo<Box[]>(
    () =>
      drawnNodes(outline, open).map((node) => {
        const within = outline.places.get(node.id)?.within ?? [];
        const step = within.length === 0 ? top.get(node.id) : undefined;
        const many = counts?.get(node.id);
        const state = steps === undefined ? undefined : (step?.state ?? (many === undefined ? "waiting" : overall(many)));
        return {
          id: node.id,
          kind: words(node.kind),
          title: groupsOf(node.id).length > 0 ? node.id.slice(node.id.lastIndexOf(".") + 1) : node.id,
          state,
          lines: [steps === undefined ? about?.(node) : <Under key="under" step={step} many={node.kind === "map" || within.length > 0 ? many : undefined} />],
          href:
            within.length > 0
              ? address({ step: within[0], of: node.id, tab: undefined, item: undefined })
              : address({ step: node.id, of: undefined, item: undefined }),
          selected: selected === node.id,
          frame: within.at(-1) === undefined ? lastOf(groupsOf(node.id)) : `map ${within.at(-1)}`,
          faded: state === "skipped",
          stateAbove: steps !== undefined && (node.kind === "map" || within.length > 0),
        };
      }),
    [outline, open, top, counts, steps, about, address, selected],
  );
  const frames = useMemo<Frame[]>(() => framesOf(outline, open, address), [outline, open, address]);
  const lines = useMemo<Line[]>(
    () =>
      wiresOf(outline, open).map(({ from, to, types }) => ({
        ...{ from, to, label: types.map(words).join(", "), dashed: types.length === 0 },
        alive: top.get(to)?.state === "running" || (counts?.get(to)?.running ?? 0) > 0,
      })),
    [outline, open, top, counts],
  );
  return <Graph label={label} boxes={boxes} lines={lines} frames={frames} height={height} />;
}
const lastOf = (groups: string[]): string | undefined => groups.at(-1);

function framesOf(outline: Outline, open: ReadonlySet<string>, address: (patch: Search) => string): Frame[] {
  const frames = new Map<string, Frame>();
  for (const node of drawnNodes(outline, open)) {
    for (const id of groupsOf(node.id)) {
      const around = groupsOf(id).at(-1);
      const map = outline.places.get(node.id)?.within.at(-1);
      if (map === undefined) frames.set(id, { id, title: id, frame: around });
    }
  }
  for (const id of open) {
    const place = outline.places.get(id);
    if (place === undefined || shownAs(outline, id, open) !== id) continue;
    const around = place.within.at(-1);
    const rest = [...open].filter((one) => one !== id).join(",");
    const frame = around === undefined ? groupsOf(id).at(-1) : `map ${around}`;
    if (frame !== undefined && !frames.has(frame) && around === undefined) frames.set(frame, { id: frame, title: frame });
    frames.set(`map ${id}`, { id: `map ${id}`, title: `for each item of ${id} · close`, frame, href: address({ open: rest || undefined }) });
  }
  return [...frames.values()];
}

const isMapOver = ({ items }: Step): boolean => items === null || items.done === items.total;

function Under({ step, many }: { step: Step | undefined; many: Counts | undefined }) {
  if (many !== undefined)
    return (
      <>
        <StateCounts of={many} />
        {step?.items && !isMapOver(step) ? ` of ${count(step.items.total)}` : ""}
      </>
    );
  if (step === undefined) return null;
  if (step.state === "running" && step.progress?.done !== undefined && step.progress.total)
    return (
      <span className="inline-flex items-center gap-1.5">
        <progress className="h-1.5 w-14" max={step.progress.total} value={step.progress.done} aria-label={`Progress of ${step.id}`} />
        {Math.round((100 * step.progress.done) / step.progress.total)} %
      </span>
    );
  return (
    <>{step.durationMs === null || step.state === "cached" ? "" : `${duration(step.durationMs)}${step.attempt > 1 ? ` · attempt ${step.attempt}` : ""}`}</>
  );
}
