import type { MetricSeries, SeriesAnswer } from "@millrace/sdk/api";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { Refused, send } from "../api";
import { number } from "../format";
import { Badge, Failure, Loading } from "../ui";
import { Bars } from "./bars";
import { LineChart } from "./line-chart";
import type { Settings } from "./settings";

/** Buckets that are asked for: more than a chart has room for are thinned away again. */
const buckets = 600;
const largeBuckets = 1_500;
const everyMs = 3_000;

/** One metric of the runs; it asks for its values when it comes into sight. */
export function MetricCard({
  metric,
  runs,
  names,
  settings,
  change,
  live,
  highlit,
  onHighlight,
}: {
  metric: string;
  runs: string[];
  names: ReadonlyMap<string, string>;
  settings: Settings;
  change: (patch: Partial<Settings>) => void;
  live: boolean;
  highlit: string | undefined;
  onHighlight: (run: string | undefined) => void;
}) {
  const card = useRef<HTMLElement>(null);
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    if (card.current === null) return;
    const watch = new IntersectionObserver((entries) => setSeen(entries.some((entry) => entry.isIntersecting)), { rootMargin: "200px" });
    watch.observe(card.current);
    return () => watch.disconnect();
  }, []);

  const large = settings.large === metric;
  const { axis, window } = settings;
  const asked = { runs, keys: [metric], x: axis, buckets: large ? largeBuckets : buckets, ...window };
  const query = useQuery({
    queryKey: ["/tracking/metrics/series", asked],
    queryFn: () => send<SeriesAnswer>("POST", "/tracking/metrics/series", asked),
    enabled: seen,
    refetchInterval: live && seen ? everyMs : false,
    placeholderData: keepPreviousData,
  });
  const canvas = useRef<HTMLCanvasElement>(undefined);
  const onPlot = useCallback((drawn: HTMLCanvasElement) => {
    canvas.current = drawn;
  }, []);
  const onZoom = useCallback((chosen: { from: number; to: number } | undefined) => change({ window: chosen }), [change]);

  const all = query.data?.items ?? [];
  const series = all.filter(({ run, points }) => points > 0 && !settings.hidden.has(run));
  const odd = all.filter((one) => one.odd !== undefined && !settings.hidden.has(one.run));
  const range = window ?? query.data?.range ?? undefined;
  const single = window === undefined && series.length > 0 && series.every(({ points }) => points === 1);
  return (
    <article ref={card} aria-label={metric} className={`min-w-0 rounded-lg border border-line bg-panel ${large ? "col-span-full" : ""}`}>
      <header className="flex items-center gap-2 px-3 pt-1.5">
        <h3 className="truncate font-medium" title={metric}>
          {metric}
        </h3>
        {odd.length > 0 && (
          <Badge tone="warn" title={odd.map((one) => oddWords(one, names)).join("\n")}>
            {odd.reduce((sum, one) => sum + (one.odd?.count ?? 0), 0)} not finite
          </Badge>
        )}
        <div className="ml-auto flex items-center gap-1 text-[12px]">
          <button
            type="button"
            className="px-1 text-muted hover:text-ink"
            onClick={() => save(new Blob([csv(all, names)], { type: "text/csv" }), `${fileName(metric)}.csv`)}
          >
            CSV
          </button>
          {!single && (
            <button
              type="button"
              className="px-1 text-muted hover:text-ink"
              onClick={() => canvas.current !== undefined && savePicture(canvas.current, `${fileName(metric)}.png`)}
            >
              PNG
            </button>
          )}
          <button type="button" className="px-1 text-muted hover:text-ink" aria-pressed={large} onClick={() => change({ large: large ? undefined : metric })}>
            {large ? "Smaller" : "Larger"}
          </button>
        </div>
      </header>
      <div className="px-2 pb-2" style={{ minHeight: large ? 440 : 216 }}>
        {query.isError && query.data === undefined ? (
          <Failure message={query.error instanceof Refused ? query.error.message : "The server does not answer."} again={() => void query.refetch()} />
        ) : query.data === undefined ? (
          <Loading />
        ) : series.length === 0 || range == null ? (
          <p className="py-8 text-center text-muted">{all.length > 0 && window === undefined ? "Nothing finite to draw." : "No values here."}</p>
        ) : single ? (
          <Bars
            label={metric}
            values={series.flatMap(({ run, value: [value] }) => (value === undefined ? [] : [{ run, value }]))}
            names={names}
            highlit={highlit}
            onHighlight={onHighlight}
          />
        ) : (
          <LineChart
            label={metric}
            series={series}
            names={names}
            from={range.from}
            to={range.to}
            axis={axis}
            weight={settings.weight}
            log={settings.log}
            height={large ? 420 : 196}
            highlit={highlit}
            onHighlight={onHighlight}
            onZoom={onZoom}
            onPlot={onPlot}
          />
        )}
        {large && series.length > 0 && <Values series={series} names={names} />}
      </div>
    </article>
  );
}

/** The chart in numbers. */
function Values({ series, names }: { series: MetricSeries[]; names: ReadonlyMap<string, string> }) {
  return (
    <details className="px-1 pt-2">
      <summary className="cursor-pointer text-muted">Values</summary>
      <div className="max-h-72 overflow-auto">
        <table className="w-full text-left">
          <thead className="text-[12px] text-muted">
            <tr>
              {["Run", "Points", "Last", "Smallest", "Largest"].map((head, i) => (
                <th key={head} scope="col" className={`px-2 font-medium ${i > 0 ? "text-right" : ""}`}>
                  {head}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {series.map((one) => (
              <tr key={one.run} className="border-t border-line/60">
                <td className="px-2">{names.get(one.run) ?? one.run}</td>
                {[one.points, one.value.at(-1), smallest(one.min ?? one.value), -smallest((one.max ?? one.value).map((value) => -value))].map((value, i) => (
                  // biome-ignore lint/suspicious/noArrayIndexKey: the columns stay where they are
                  <td key={i} className="px-2 text-right">
                    {number(value, 6)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
const smallest = (values: number[]): number => values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);

function oddWords({ run, odd }: MetricSeries, names: ReadonlyMap<string, string>): string {
  const [first] = odd?.first ?? [];
  return `${names.get(run) ?? run}: ${odd?.count} values, the first ${first?.value} at ${first?.x}`;
}

function csv(series: MetricSeries[], names: ReadonlyMap<string, string>): string {
  // A text that a spreadsheet would take for a formula stays a text.
  const cell = (text: string) => `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  const lines = series.flatMap((one) =>
    one.x.map((x, i) =>
      [cell(one.run), cell(names.get(one.run) ?? ""), cell(one.key), x, one.value[i], one.min?.[i] ?? one.value[i], one.max?.[i] ?? one.value[i]].join(","),
    ),
  );
  return ["run_id,run,metric,x,value,min,max", ...lines, ""].join("\n");
}
const fileName = (metric: string): string => metric.replaceAll(/[^\p{L}\p{N}._-]+/gu, "_");

function savePicture(canvas: HTMLCanvasElement, name: string): void {
  const picture = document.createElement("canvas");
  [picture.width, picture.height] = [canvas.width, canvas.height];
  const context = picture.getContext("2d");
  if (context === null) return;
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--panel");
  context.fillRect(0, 0, picture.width, picture.height);
  context.drawImage(canvas, 0, 0);
  picture.toBlob((blob) => blob !== null && save(blob, name));
}
function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
