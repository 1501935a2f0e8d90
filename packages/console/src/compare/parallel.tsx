import type { RunTableRow } from "@millrace/sdk/api";
import { type PointerEvent, useEffect, useMemo, useRef, useState } from "react";
import { useTheme } from "../theme";
import { useUrl } from "../url";
import { type Fact, type Scale, scaleOf, shadeOf, within } from "./facts";
import { FactPicker } from "./picker";

const height = 420;
const margin = { top: 40, bottom: 16, side: 70 };
const inner = height - margin.top - margin.bottom;
const snap = 8 / inner;
const usualAxes = { params: 5, metrics: 3 };

interface Axis {
  fact: Fact;
  scale: Scale;
  log: boolean;
  /** The stretch that is chosen, from 0 below to 1 above. */
  chosen: { from: number; to: number } | undefined;
}

/** A line for each run over the axes of its params and metrics; dragging along an axis leaves the runs of that stretch. */
export function ParallelCoordinates({ runs, facts }: { runs: RunTableRow[]; facts: Fact[] }) {
  const [url, change] = useUrl();
  const { drawn } = useTheme();
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (box.current === null) return;
    const watch = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);

  const ids = useMemo(() => (url.axes === undefined ? usual(facts) : url.axes.split("|").filter((id) => id !== "")), [url.axes, facts]);
  const logs = useMemo(() => new Set(url.logs?.split("|")), [url.logs]);
  const axes = useMemo(() => {
    const chosen = readChosen(url.chosen);
    return ids.flatMap((id): Axis[] => {
      const fact = facts.find((one) => one.id === id);
      return fact === undefined ? [] : [{ fact, scale: scaleOf(fact.values, logs.has(id)), log: logs.has(id), chosen: chosen.get(id) }];
    });
  }, [ids, facts, logs, url.chosen]);
  const color = facts.find((one) => one.id === url.tone) ?? facts.findLast((one) => one.group === "metrics" && ids.includes(one.id));
  const tone = useMemo(() => (color === undefined ? undefined : scaleOf(color.values, false)), [color]);
  const inside = useMemo(
    () =>
      within(
        runs.length,
        axes.flatMap(({ fact, scale, chosen }) => (chosen === undefined ? [] : [{ scale, values: fact.values, ...chosen }])),
      ),
    [axes, runs.length],
  );
  const count = inside.filter(Boolean).length;
  const wide = Math.max(width, axes.length * 110);
  const place = (i: number) => (axes.length < 2 ? wide / 2 : margin.side + (i / (axes.length - 1)) * (wide - 2 * margin.side));

  // biome-ignore lint/correctness/useExhaustiveDependencies: `place` goes with the axes and the width, and the theme's colours are read when it is drawn
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (context == null || canvas.current === null || width === 0) return;
    canvas.current.width = wide * devicePixelRatio;
    canvas.current.height = height * devicePixelRatio;
    context.scale(devicePixelRatio, devicePixelRatio);
    const faint = getComputedStyle(document.documentElement).getPropertyValue("--line");
    // Those that are chosen lie above the others.
    for (const chosen of [false, true]) {
      runs.forEach((_, i) => {
        if (inside[i] !== chosen) return;
        context.beginPath();
        let on = false;
        axes.forEach(({ fact, scale }, a) => {
          const at = scale.position(fact.values[i]);
          if (at === undefined) on = false;
          else if (on) context.lineTo(place(a), margin.top + (1 - at) * inner);
          else {
            context.moveTo(place(a), margin.top + (1 - at) * inner);
            on = true;
          }
        });
        context.strokeStyle = chosen ? shadeOf(tone?.position(color?.values[i])) : faint;
        context.globalAlpha = chosen ? (count > 100 ? 0.5 : 0.85) : 0.5;
        context.lineWidth = chosen ? 1.4 : 1;
        context.stroke();
      });
    }
  }, [axes, inside, tone, wide, width, drawn, runs]);

  const setChosen = (id: string, stretch: Axis["chosen"]) => {
    const next = readChosen(url.chosen);
    if (stretch === undefined) next.delete(id);
    else next.set(id, stretch);
    change({ chosen: [...next].map(([one, { from, to }]) => `${one}:${from.toFixed(4)}:${to.toFixed(4)}`).join("|") || undefined });
  };
  const setAxes = (next: string[]) => change({ axes: next.join("|") });
  const move = (i: number, by: number) => {
    const next = [...ids];
    const [one] = next.splice(i, 1);
    if (one !== undefined) next.splice(i + by, 0, one);
    setAxes(next);
  };
  const setLog = (id: string, on: boolean) =>
    change({ logs: [...[...logs].filter((one) => one !== id && one !== ""), ...(on ? [id] : [])].join("|") || undefined });
  return (
    <div className="space-y-2">
      <div className="flex flex-wrap items-center gap-4">
        <FactPicker label="Colour by" facts={facts.filter((fact) => fact.group !== "tags")} value={color?.id} onChange={(tone) => change({ tone })} />
        <FactPicker
          label="Add an axis"
          facts={facts.filter((fact) => fact.differs && !ids.includes(fact.id))}
          value={undefined}
          onChange={(id) => id !== undefined && setAxes([...ids, id])}
        />
        <span role="status" className="text-muted">
          {count === runs.length ? `${runs.length} runs. Drag along an axis to choose some.` : `${count} of ${runs.length} runs chosen`}
        </span>
        {url.chosen !== undefined && (
          <button type="button" className="button" onClick={() => change({ chosen: undefined })}>
            All runs
          </button>
        )}
        {count < runs.length && count >= 2 && (
          <button
            type="button"
            className="button"
            onClick={() => change({ runs: runs.flatMap((run, i) => (inside[i] ? [run.id] : [])).join(","), chosen: undefined })}
          >
            Compare only these
          </button>
        )}
      </div>
      <div ref={box} className="overflow-x-auto rounded-lg border border-line bg-panel">
        {axes.length === 0 ? (
          <p className="py-10 text-center text-muted">The runs differ in no param and no metric. Add an axis.</p>
        ) : (
          <div className="relative" style={{ width: wide, height }}>
            <canvas
              ref={canvas}
              role="img"
              aria-label={`Parallel coordinates of ${runs.length} runs over ${axes.map(({ fact }) => fact.name).join(", ")}; the table has their values`}
              className="absolute inset-0"
              style={{ width: wide, height }}
            />
            {axes.map((axis, i) => (
              <AxisOf
                key={axis.fact.id}
                axis={axis}
                left={place(i)}
                onChosen={(stretch) => setChosen(axis.fact.id, stretch)}
                onLog={(on) => setLog(axis.fact.id, on)}
                onLeft={i > 0 ? () => move(i, -1) : undefined}
                onRight={i < axes.length - 1 ? () => move(i, 1) : undefined}
                onRemove={() => setAxes(ids.filter((id) => id !== axis.fact.id))}
              />
            ))}
          </div>
        )}
      </div>
    </div>
  );
}

function AxisOf({
  axis: { fact, scale, log, chosen },
  left,
  onChosen,
  onLog,
  onLeft,
  onRight,
  onRemove,
}: {
  axis: Axis;
  left: number;
  onChosen: (stretch: Axis["chosen"]) => void;
  onLog: (on: boolean) => void;
  onLeft: (() => void) | undefined;
  onRight: (() => void) | undefined;
  onRemove: () => void;
}) {
  const [drag, setDrag] = useState<{ from: number; to: number }>();
  const at = (event: PointerEvent<HTMLElement>) => {
    const { top } = event.currentTarget.getBoundingClientRect();
    const found = 1 - (event.clientY - top) / inner;
    // Near its end, the end is meant.
    return found < snap ? 0 : found > 1 - snap ? 1 : found;
  };
  const stretch = drag === undefined ? chosen : { from: Math.min(drag.from, drag.to), to: Math.max(drag.from, drag.to) };
  return (
    <div className="group absolute top-0" style={{ left: left - 55, width: 110, height }}>
      <div className="flex h-9 flex-col items-center text-[11px] leading-4">
        <span className="w-full truncate text-center font-medium" title={fact.id}>
          {fact.name}
        </span>
        <span className="flex gap-1 text-muted opacity-0 focus-within:opacity-100 group-hover:opacity-100">
          {onLeft !== undefined && <Small name={`Move ${fact.name} left`} text="←" run={onLeft} />}
          {scale.kind === "number" && (
            <Small name={`${fact.name}: ${log ? "linear" : "logarithmic"} axis`} text={log ? "lin" : "log"} run={() => onLog(!log)} />
          )}
          <Small name={`Leave the axis ${fact.name} out`} text="✕" run={onRemove} />
          {onRight !== undefined && <Small name={`Move ${fact.name} right`} text="→" run={onRight} />}
        </span>
      </div>
      <div
        className="absolute cursor-crosshair touch-none"
        style={{ left: 43, width: 24, top: margin.top, height: inner }}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          setDrag({ from: at(event), to: at(event) });
        }}
        onPointerMove={(event) => drag !== undefined && setDrag({ ...drag, to: at(event) })}
        onPointerUp={() => {
          onChosen(stretch !== undefined && drag !== undefined && stretch.to - stretch.from > 0.01 ? stretch : undefined);
          setDrag(undefined);
        }}
      >
        <div className="absolute inset-y-0 left-[11.5px] w-px bg-muted" />
        {stretch !== undefined && (
          <div
            className="absolute left-1 w-4 rounded-sm border border-accent bg-accent/25"
            style={{ bottom: stretch.from * inner, height: Math.max(2, (stretch.to - stretch.from) * inner) }}
          />
        )}
      </div>
      {scale.ticks.map((tick) => (
        <span
          key={tick.at}
          className="pointer-events-none absolute left-[58px] -translate-y-1/2 whitespace-nowrap rounded bg-panel/75 px-0.5 text-[10px] leading-3 text-muted"
          style={{ top: margin.top + (1 - tick.at) * inner }}
        >
          {tick.text}
        </span>
      ))}
    </div>
  );
}

const Small = ({ name, text, run }: { name: string; text: string; run: () => void }) => (
  <button type="button" aria-label={name} title={name} className="rounded px-0.5 hover:bg-sunken hover:text-ink" onClick={run}>
    {text}
  </button>
);

function usual(facts: Fact[]): string[] {
  const of = (group: "params" | "metrics") => facts.filter((fact) => fact.group === group && fact.differs).slice(0, usualAxes[group]);
  return [...of("params"), ...of("metrics")].map(({ id }) => id);
}
function readChosen(text: string | undefined): Map<string, { from: number; to: number }> {
  const found = new Map<string, { from: number; to: number }>();
  for (const one of text?.split("|") ?? []) {
    const match = /^(.+):([0-9.]+):([0-9.]+)$/.exec(one);
    if (match?.[1] !== undefined) found.set(match[1], { from: Number(match[2]), to: Number(match[3]) });
  }
  return found;
}
