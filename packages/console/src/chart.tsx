import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { number } from "./format";
import { useTheme } from "./theme";

export interface Series {
  name: string;
  values: (number | null)[];
  dashed?: boolean;
  /** Points alone, no line. */
  points?: boolean;
}
/** The height of the line that says the values under the cursor. */
const legend = 22;
const tokens = ["--accent", "--warn", "--info", "--bad", "--ok", "--muted"];

/** Lines over x: seconds since 1970 where `time`, else plain numbers. Said to a screen reader by its latest values. */
export function Chart({
  label,
  x,
  series,
  time = false,
  height = 180,
  range,
  plain = false,
  along = "x",
  format = number,
}: {
  label: string;
  x: number[];
  series: Series[];
  time?: boolean;
  height?: number;
  range?: [number, number] | "from zero" | undefined;
  /** What x is, where it is not time. */
  along?: string;
  /** Without a mark at each value. */
  plain?: boolean;
  format?: (value: number) => string;
}) {
  const box = useRef<HTMLDivElement>(null);
  const { drawn } = useTheme();
  const shown = JSON.stringify([x, series, range, drawn]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `shown` stands for the values, so that equal ones are not drawn again
  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    const style = getComputedStyle(document.documentElement);
    const color = (token: string) => style.getPropertyValue(token).trim();
    const axis = {
      stroke: color("--muted"),
      grid: { stroke: color("--line"), width: 1 },
      ticks: { stroke: color("--line"), width: 1 },
      font: "11px system-ui",
    };
    const plot = new uPlot(
      {
        width: element.clientWidth,
        height: height - legend,
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1_000), "Etc/UTC"),
        scales: {
          x: { time },
          ...(range === undefined
            ? {}
            : { y: { range: range === "from zero" ? (_plot: uPlot, _min: number, max: number): [number, number] => [0, Math.max(0.1, max * 1.1)] : range } }),
        },
        cursor: { y: false },
        hooks: { setCursor: [(plot: uPlot) => element.classList.toggle("idle", plot.cursor.idx == null)] },
        padding: [8, 34, 0, 0],
        axes: [
          {
            ...axis,
            size: 28,
            ...(time
              ? { space: 80, values: (_plot: uPlot, values: number[], _axis: number, _space: number, step: number) => values.map((at) => moment(at, step)) }
              : {}),
          },
          {
            ...axis,
            size: 58,
            values: (_plot, values) => values.map((value) => (value === null ? "" : format === number ? String(Number(value.toPrecision(4))) : format(value))),
          },
        ],
        series: [
          {
            label: time ? "time (UTC)" : along,
            value: (_plot, value) => (value == null ? "–" : time ? new Date(value * 1_000).toISOString().slice(0, 16).replace("T", " ") : number(value)),
          },
          ...series.map((one, i) => {
            const stroke = color(tokens[i % tokens.length] ?? "--accent");
            return {
              label: one.name,
              stroke,
              width: one.points ? 0 : 1.6,
              spanGaps: true,
              points: { show: one.points === true || (!plain && one.values.length < 40), size: one.points ? 7 : 4.5, fill: stroke },
              value: (_plot: uPlot, value: number | null) => (value == null ? "–" : format(value)),
              ...(one.dashed ? { dash: [5, 4] } : {}),
            };
          }),
        ],
      },
      [x, ...series.map((one) => one.values)],
      element,
    );
    element.classList.add("idle");
    const watch = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: height - legend }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      plot.destroy();
    };
  }, [shown, height, time, plain, along]);
  const told = series.map((one) => `${one.name}: latest ${number(one.values.findLast((value) => value !== null))}`).join(", ");
  return <div ref={box} role="img" aria-label={`${label}. ${told}`} style={{ height }} className="w-full overflow-hidden" />;
}
/** A day, or an hour and minute where the ticks are closer. */
const moment = (at: number, step: number): string => {
  const iso = new Date(at * 1_000).toISOString();
  return step >= 86_400 ? iso.slice(0, 10) : iso.slice(11, step < 60 ? 19 : 16);
};
export const seconds = (at: string): number => Date.parse(at) / 1_000;
