import type { MetricSeries } from "@millrace/sdk/api";
import { useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { number } from "../format";
import { runColor } from "../run-color";
import { useTheme } from "../theme";
import { align, type Line, valuesAt } from "./align";
import type { XAxis } from "./settings";
import { axisValue } from "./settings";

/** Narrower than a pixel of a screen with two for one. */
const columnsPerPixel = 2;
const mostColumns = 4_000;
const mostTold = 12;
/** Of more runs than these, a plot marks no single points, and draws nothing again for what is under the cursor: that would take longer than a frame. */
const few = 20;
const manyColumns = 600;

interface Under {
  left: number;
  x: number;
  values: { run: string; value: number }[];
  more: number;
}

/** Lines of one metric, a run each, with the shadow of what lies between their points; dragging over it chooses a window. */
export function LineChart({
  label,
  series,
  names,
  from,
  to,
  axis,
  weight,
  log,
  height,
  highlit,
  onHighlight,
  onZoom,
  onPlot,
}: {
  label: string;
  series: MetricSeries[];
  names: ReadonlyMap<string, string>;
  from: number;
  to: number;
  axis: XAxis;
  weight: number;
  log: boolean;
  height: number;
  highlit: string | undefined;
  onHighlight: (run: string | undefined) => void;
  onZoom: (window: { from: number; to: number } | undefined) => void;
  /** Told of the drawn canvas, so that it can be saved. */
  onPlot?: (canvas: HTMLCanvasElement) => void;
}) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const [width, setWidth] = useState(0);
  const [under, setUnder] = useState<Under>();
  const { drawn } = useTheme();
  const told = useRef({ series, onZoom, onHighlight });
  told.current = { series, onZoom, onHighlight };

  useEffect(() => {
    if (box.current === null) return;
    const watch = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  const many = series.length > few;
  const columns = Math.min(many ? manyColumns : mostColumns, Math.max(1, width * columnsPerPixel));
  const aligned = useMemo(() => align(series, { from, to, columns, weight, log }), [series, from, to, columns, weight, log]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the colours of the theme are read when it is drawn
  useEffect(() => {
    const element = box.current;
    if (element === null || width === 0) return;
    const style = getComputedStyle(document.documentElement);
    const color = (token: string) => style.getPropertyValue(token).trim();
    const lines = {
      stroke: color("--muted"),
      grid: { stroke: color("--line"), width: 1 },
      ticks: { stroke: color("--line"), width: 1 },
      font: "11px system-ui",
    };
    const made = new uPlot(
      {
        width,
        height,
        legend: { show: false },
        tzDate: (ms) => uPlot.tzDate(new Date(ms * 1_000), "Etc/UTC"),
        scales: { x: { time: false, range: [from, to > from ? to : from + 1] }, y: { distr: log ? 3 : 1, range: extent(aligned.lines, log) } },
        focus: { alpha: 0.18 },
        cursor: {
          y: false,
          points: { show: false },
          drag: { x: true, y: false, setScale: false },
          sync: { key: `metrics ${axis}` },
          // Where a run has nothing in this column, what is nearest counts.
          ...(many ? {} : { focus: { prox: 24 }, dataIdx: (u: uPlot, i: number, at: number) => nearest(u.data[i] ?? [], at) }),
        },
        padding: [8, 12, 0, 0],
        axes: [
          { ...lines, size: 28, space: 80, values: (_plot, values) => values.map((value) => axisValue(axis, value, from, to)) },
          { ...lines, size: 58, values: (_plot, values) => values.map((value) => (value === null ? "" : String(Number(value.toPrecision(4))))) },
        ],
        series: [
          {},
          ...aligned.lines.map((line) => ({
            stroke: runColor(line.run),
            width: 1.6,
            spanGaps: true,
            points: { show: !many && aligned.x.length <= 40, size: 4.5, fill: runColor(line.run) },
          })),
        ],
        hooks: {
          drawSeries: [(u, i) => shade(u, i, aligned.lines[i - 1])],
          setSelect: [
            (u) => {
              const { left, width: selected } = u.select;
              if (selected < 4) return;
              const chosen = { from: u.posToVal(left, "x"), to: u.posToVal(left + selected, "x") };
              told.current.onZoom(axis === "step" && chosen.to - chosen.from > 2 ? { from: Math.floor(chosen.from), to: Math.ceil(chosen.to) } : chosen);
              u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            },
          ],
          setSeries: [(_u, i) => told.current.onHighlight(i === null ? undefined : aligned.lines[i - 1]?.run)],
          setCursor: [
            (u) => {
              const { left, top } = u.cursor;
              // Charts that only follow another's cursor tell nothing.
              if (left === undefined || top === undefined || left < 0 || !u.over.matches(":hover")) return setUnder(undefined);
              const x = u.posToVal(left, "x");
              const y = u.posToVal(top, "y");
              const near = valuesAt(told.current.series, x).sort((a, b) => Math.abs(a.value - y) - Math.abs(b.value - y));
              const values = near.slice(0, mostTold).sort((a, b) => b.value - a.value);
              setUnder({ left: u.over.offsetLeft + left, x, values, more: near.length - values.length });
            },
          ],
        },
      },
      [aligned.x, ...aligned.lines.map((line) => line.value)],
      element,
    );
    made.over.addEventListener("dblclick", () => told.current.onZoom(undefined));
    plot.current = made;
    onPlot?.(made.ctx.canvas);
    return () => {
      plot.current = undefined;
      made.destroy();
    };
  }, [aligned, width, height, from, to, axis, log, many, drawn, onPlot]);

  useEffect(() => {
    const i = highlit === undefined ? -1 : aligned.lines.findIndex((line) => line.run === highlit);
    if (!many && plot.current?.over.matches(":hover") === false) plot.current.setSeries(i < 0 ? null : i + 1, { focus: i >= 0 }, false);
  }, [highlit, aligned, many]);

  const latest = series.slice(0, 10).map((one) => `${names.get(one.run) ?? one.run} ${number(one.value.at(-1))}`);
  const others = series.length > 10 ? ` and ${series.length - 10} more` : "";
  return (
    <div className="relative">
      <div ref={box} role="img" aria-label={`${label}. Latest: ${latest.join(", ")}${others}`} className="w-full overflow-hidden" style={{ height }} />
      {under !== undefined && under.values.length > 0 && (
        <div
          className="pointer-events-none absolute top-1 z-20 max-w-72 rounded-md border border-line bg-panel/95 px-2 py-1 text-[11px] leading-4 shadow"
          style={under.left < width / 2 ? { left: under.left + 12 } : { right: width - under.left + 12 }}
        >
          <div className="text-muted">{axisValue(axis, under.x, from, to, true)}</div>
          {under.values.map(({ run, value }) => (
            <div key={run} className={`flex items-center gap-1.5 ${run === highlit ? "font-semibold" : ""}`}>
              <span className="size-2 shrink-0 rounded-full" style={{ background: runColor(run) }} />
              <span className="truncate">{names.get(run) ?? run}</span>
              <span className="ml-auto pl-2">{number(value, 5)}</span>
            </div>
          ))}
          {under.more > 0 && <div className="text-muted">and {under.more} more</div>}
        </div>
      )}
      {aligned.hidden > 0 && <p className="text-[11px] text-muted">{aligned.hidden} values of 0 or less have no place on a logarithmic axis.</p>}
    </div>
  );
}

/** With room for every spike, not only for the lines. */
function extent(lines: Line[], log: boolean): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const line of lines) {
    for (const one of line.low) if (one !== null && one < low) low = one;
    for (const one of line.high) if (one !== null && one > high) high = one;
  }
  if (low > high) return log ? [1, 10] : [0, 1];
  const [from, to] = log ? uPlot.rangeLog(low, high, 10, false) : uPlot.rangeNum(low, high, 0.06, true);
  return [from ?? low, to ?? high];
}

function nearest(values: ArrayLike<number | null | undefined>, at: number): number {
  for (let away = 0; away < values.length; away++) {
    if (values[at - away] != null) return at - away;
    if (values[at + away] != null) return at + away;
  }
  return at;
}

/** From the smallest to the largest value of each column, so that a spike is seen whatever the line does. */
function shade(u: uPlot, i: number, line: Line | undefined): void {
  if (line === undefined) return;
  const { ctx } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  ctx.clip();
  ctx.beginPath();
  line.low.forEach((low, column) => {
    const [high, x] = [line.high[column], u.data[0][column]];
    if (low === null || high == null || x === undefined || low === high) return;
    const at = u.valToPos(x, "x", true);
    ctx.moveTo(at, u.valToPos(low, "y", true));
    ctx.lineTo(at, u.valToPos(high, "y", true));
  });
  ctx.globalAlpha = 0.3 * (u.series[i]?.alpha ?? 1);
  ctx.strokeStyle = runColor(line.run);
  ctx.lineWidth = devicePixelRatio;
  ctx.stroke();
  ctx.restore();
}
