import type { RunTableRow } from "@millrace/sdk/api";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useMemo, useRef, useState } from "react";
import { number } from "../format";
import { runColor } from "../run-color";
import { useUrl } from "../url";
import { type Fact, type Scale, scaleOf, shadeOf, type Value } from "./facts";
import { FactPicker } from "./picker";

const height = 460;
const margin = { left: 84, right: 20, top: 16, bottom: 46 };

/** A point for each run, by any two of its params, metrics and attributes; colour and size by two more. */
export function Scatter({ runs, facts }: { runs: RunTableRow[]; facts: Fact[] }) {
  const [url, change] = useUrl();
  const navigate = useNavigate();
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [over, setOver] = useState<number>();
  useEffect(() => {
    if (box.current === null) return;
    const watch = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);

  const named = (id: string | undefined) => facts.find((fact) => fact.id === id);
  const differing = (group: Fact["group"]) => facts.filter((fact) => fact.group === group && fact.differs);
  const y = named(url.sy) ?? differing("metrics")[0] ?? differing("attributes")[0];
  const x = named(url.sx) ?? differing("params").find((fact) => fact.id !== y?.id) ?? differing("metrics")[1] ?? differing("attributes")[0];
  const [tone, area] = [named(url.tone), named(url.area)];
  const [logX, logY] = [url.slx === "1", url.sly === "1"];
  const scales = useMemo(
    () => ({
      x: scaleOf(x?.values ?? [], logX),
      y: scaleOf(y?.values ?? [], logY),
      tone: tone === undefined ? undefined : scaleOf(tone.values, false),
      area: area === undefined ? undefined : scaleOf(area.values, false),
    }),
    [x, y, tone, area, logX, logY],
  );
  const inner = { width: Math.max(50, width - margin.left - margin.right), height: height - margin.top - margin.bottom };
  const place = (scale: Scale, value: Value, length: number) => {
    const at = scale.position(value);
    return at === undefined ? undefined : at * length;
  };
  const points = runs.flatMap((run, i) => {
    const [left, up] = [place(scales.x, x?.values[i], inner.width), place(scales.y, y?.values[i], inner.height)];
    if (left === undefined || up === undefined) return [];
    const size = 4 + 8 * (scales.area?.position(area?.values[i]) ?? 0.1);
    const color = scales.tone === undefined ? runColor(run.id) : shadeOf(scales.tone.position(tone?.values[i]));
    return [{ run, i, left: margin.left + left, top: margin.top + inner.height - up, size, color }];
  });
  const under = points.find(({ i }) => i === over);
  return (
    <div className="space-y-2">
      <div className="flex flex-wrap items-center gap-4">
        <FactPicker label="Across" facts={facts} value={x?.id} onChange={(sx) => change({ sx })} />
        <Log checked={logX} label="log x" onChange={(on) => change({ slx: on ? "1" : undefined })} />
        <FactPicker label="Up" facts={facts} value={y?.id} onChange={(sy) => change({ sy })} />
        <Log checked={logY} label="log y" onChange={(on) => change({ sly: on ? "1" : undefined })} />
        <FactPicker label="Colour" none="each run its own" facts={facts} value={tone?.id} onChange={(next) => change({ tone: next })} />
        <FactPicker label="Size" none="all the same" facts={facts} value={area?.id} onChange={(next) => change({ area: next })} />
        <span className="text-muted">{points.length < runs.length && `${runs.length - points.length} runs have no place here`}</span>
      </div>
      <div ref={box} className="relative rounded-lg border border-line bg-panel" style={{ height }}>
        {width > 0 && x !== undefined && y !== undefined && (
          <svg width={width} height={height} role="img" aria-label={`${y.name} by ${x.name} of ${points.length} runs; the table has their values`}>
            <title>{`${y.name} by ${x.name}`}</title>
            {scales.x.ticks.map((tick) => (
              <g key={tick.at} transform={`translate(${margin.left + tick.at * inner.width}, ${margin.top})`}>
                <line y2={inner.height} stroke="var(--line)" />
                <text y={inner.height + 16} textAnchor="middle" fontSize={11} fill="var(--muted)">
                  {tick.text}
                </text>
              </g>
            ))}
            {scales.y.ticks.map((tick) => (
              <g key={tick.at} transform={`translate(${margin.left}, ${margin.top + (1 - tick.at) * inner.height})`}>
                <line x2={inner.width} stroke="var(--line)" />
                <text x={-8} dy="0.32em" textAnchor="end" fontSize={11} fill="var(--muted)">
                  {tick.text}
                </text>
              </g>
            ))}
            <text x={margin.left + inner.width / 2} y={height - 8} textAnchor="middle" fontSize={12} fill="var(--ink)">
              {x.name}
            </text>
            <text transform={`translate(14, ${margin.top + inner.height / 2}) rotate(-90)`} textAnchor="middle" fontSize={12} fill="var(--ink)">
              {y.name}
            </text>
            {points.map(({ run, i, left, top, size, color }) => (
              // biome-ignore lint/a11y/noStaticElementInteractions: the same runs are links in the table
              <circle
                key={run.id}
                cx={left}
                cy={top}
                r={size}
                fill={color}
                fillOpacity={0.75}
                stroke={over === i ? "var(--ink)" : "var(--panel)"}
                className="cursor-pointer"
                onPointerEnter={() => setOver(i)}
                onPointerLeave={() => setOver(undefined)}
                onClick={() => void navigate({ to: "/experiments/$id/runs/$runId", params: { id: run.experimentId, runId: run.id } })}
              />
            ))}
          </svg>
        )}
        {under !== undefined && (
          <div
            className="pointer-events-none absolute z-10 rounded-md border border-line bg-panel/95 px-2 py-1 text-[11px] leading-4 shadow"
            style={{ top: under.top + 10, ...(under.left < width / 2 ? { left: under.left + 12 } : { right: width - under.left + 12 }) }}
          >
            <div className="font-semibold">{under.run.name}</div>
            {[x, y, tone, area].flatMap((fact, i) =>
              fact === undefined || [x, y, tone].slice(0, i).includes(fact) ? [] : [<div key={fact.id}>{`${fact.name}: ${shown(fact.values[under.i])}`}</div>],
            )}
          </div>
        )}
      </div>
    </div>
  );
}

const shown = (value: Value): string => (value === undefined ? "–" : typeof value === "number" ? number(value, 5) : value);
const Log = ({ checked, label, onChange }: { checked: boolean; label: string; onChange: (on: boolean) => void }) => (
  <label className="-ml-3 flex items-center gap-1 text-muted">
    <input type="checkbox" checked={checked} onChange={(event) => onChange(event.target.checked)} />
    {label}
  </label>
);
