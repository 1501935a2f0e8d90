import type { MetricKeys } from "@millrace/sdk/api";
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { send } from "./api";
import { counted } from "./format";
import { MetricCard } from "./metrics/metric-card";
import { axes, axisValue, type Settings, useSettings } from "./metrics/settings";
import { runColor } from "./run-color";
import { Empty, Read } from "./ui";

const liveMs = 5_000;

/** Charts of every metric that the runs have said, in sections by the first part of their names; `live` while one of the runs goes on. */
export function MetricCharts({ runs, live = false }: { runs: { id: string; name: string }[]; live?: boolean }) {
  const [settings, change] = useSettings();
  const [highlit, setHighlit] = useState<string>();
  const ids = useMemo(() => runs.map(({ id }) => id), [runs]);
  const names = useMemo(() => new Map(runs.map(({ id, name }) => [id, name])), [runs]);
  const keys = useQuery({
    queryKey: ["/tracking/metrics/keys", ids],
    queryFn: () => send<MetricKeys>("POST", "/tracking/metrics/keys", { runs: ids }),
    enabled: ids.length > 0,
    refetchInterval: live ? liveMs : false,
  });
  if (ids.length === 0) return <Empty>No runs are chosen.</Empty>;
  return (
    <Read query={keys}>
      {({ items, more }) => {
        if (items.length === 0) return <Empty>No metrics yet.</Empty>;
        const found = items.filter(({ key }) => key.toLowerCase().includes(settings.find.toLowerCase()));
        return (
          <div className="space-y-3">
            <Controls settings={settings} change={change} />
            {runs.length > 1 && <Legend runs={runs} settings={settings} change={change} highlit={highlit} onHighlight={setHighlit} />}
            {found.length === 0 && <Empty>No metric has “{settings.find}” in its name.</Empty>}
            {sections(found.map(({ key }) => key)).map(([section, metrics]) => (
              <section key={section} aria-label={section || "Metrics"}>
                {section !== "" && <h2 className="mb-1 font-semibold">{section}</h2>}
                <div className="grid grid-flow-dense grid-cols-[repeat(auto-fit,minmax(min(22rem,100%),1fr))] gap-3">
                  {metrics.map((metric) => (
                    <MetricCard
                      key={metric}
                      metric={metric}
                      runs={ids}
                      names={names}
                      settings={settings}
                      change={change}
                      live={live}
                      highlit={highlit}
                      onHighlight={setHighlit}
                    />
                  ))}
                </div>
              </section>
            ))}
            {more && <p className="text-muted">There are more metrics than the {items.length} that are shown: search for them by name.</p>}
          </div>
        );
      }}
    </Read>
  );
}

/** `train/loss` is in the section train; what has no such part comes first. */
function sections(keys: string[]): [string, string[]][] {
  const found = new Map<string, string[]>();
  for (const key of keys) {
    const section = key.includes("/") ? key.slice(0, key.lastIndexOf("/")) : "";
    found.set(section, [...(found.get(section) ?? []), key]);
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1));
}

function Controls({ settings, change }: { settings: Settings; change: (patch: Partial<Settings>) => void }) {
  const { axis, window } = settings;
  return (
    <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
      <input
        type="search"
        className="field w-48"
        placeholder="Find a metric"
        aria-label="Find a metric"
        value={settings.find}
        onChange={(event) => change({ find: event.target.value })}
      />
      <label className="flex items-center gap-1.5 text-muted">
        Over
        <select className="field" value={axis} onChange={(event) => change({ axis: axes.find(([name]) => name === event.target.value)?.[0] ?? "step" })}>
          {axes.map(([name, words]) => (
            <option key={name} value={name}>
              {words}
            </option>
          ))}
        </select>
      </label>
      <label className="flex items-center gap-1.5 text-muted">
        Smoothing
        <input
          type="range"
          min={0}
          max={0.99}
          step={0.01}
          value={settings.weight}
          className="w-28 accent-(--accent)"
          onChange={(event) => change({ weight: Number(event.target.value) })}
        />
        <output className="w-8 tabular-nums">{settings.weight.toFixed(2)}</output>
      </label>
      <label className="flex items-center gap-1.5 text-muted">
        <input type="checkbox" checked={settings.log} onChange={(event) => change({ log: event.target.checked })} />
        Logarithmic
      </label>
      {window === undefined ? (
        <span className="text-[12px] text-muted">Drag over a chart to look closer.</span>
      ) : (
        <button type="button" className="button" onClick={() => change({ window: undefined })}>
          {axisValue(axis, window.from, window.from, window.to)} – {axisValue(axis, window.to, window.from, window.to)} ✕
        </button>
      )}
    </div>
  );
}

function Legend({
  runs,
  settings,
  change,
  highlit,
  onHighlight,
}: {
  runs: { id: string; name: string }[];
  settings: Settings;
  change: (patch: Partial<Settings>) => void;
  highlit: string | undefined;
  onHighlight: (run: string | undefined) => void;
}) {
  const { hidden } = settings;
  const toggle = (id: string) => change({ hidden: new Set(hidden.has(id) ? [...hidden].filter((one) => one !== id) : [...hidden, id]) });
  return (
    <fieldset className="rounded-lg border border-line bg-panel px-3 py-1.5">
      <legend className="sr-only">Runs that are drawn</legend>
      <div className="flex max-h-20 flex-wrap gap-x-3 gap-y-0.5 overflow-auto text-[12px]">
        {runs.map(({ id, name }) => (
          <label
            key={id}
            className={`flex max-w-56 cursor-pointer items-center gap-1.5 rounded px-1 ${highlit === id ? "bg-sunken" : ""} ${hidden.has(id) ? "text-muted line-through" : ""}`}
            onPointerEnter={() => onHighlight(id)}
            onPointerLeave={() => onHighlight(undefined)}
          >
            <input type="checkbox" className="sr-only" checked={!hidden.has(id)} onChange={() => toggle(id)} />
            <span
              className="size-2.5 shrink-0 rounded-full"
              style={{ background: hidden.has(id) ? "transparent" : runColor(id), border: `1px solid ${runColor(id)}` }}
            />
            <span className="truncate" title={`${name} (${id})`}>
              {name}
            </span>
          </label>
        ))}
      </div>
      {hidden.size > 0 && (
        <button type="button" className="link text-[12px]" onClick={() => change({ hidden: new Set() })}>
          Show all {counted(runs.length, "run")}
        </button>
      )}
    </fieldset>
  );
}
