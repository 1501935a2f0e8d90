/** How charts are drawn, all of it in the address. */
import { useMemo } from "react";
import { duration, number } from "../format";
import { useUrl } from "../url";

export type XAxis = "step" | "time" | "relative";
export const axes: readonly (readonly [XAxis, string])[] = [
  ["step", "Step"],
  ["time", "Time (UTC)"],
  ["relative", "Time since start"],
];
export interface Settings {
  axis: XAxis;
  /** From 0, not at all, to below 1. */
  weight: number;
  log: boolean;
  find: string;
  /** The metric that is shown large. */
  large: string | undefined;
  window: { from: number; to: number } | undefined;
  hidden: ReadonlySet<string>;
}

export function useSettings(): [Settings, (patch: Partial<Settings>) => void] {
  const [{ x, smooth, scale, find, large, from, to, hide }, change] = useUrl();
  const settings = useMemo((): Settings => {
    const weight = Number(smooth ?? 0);
    const [low, high] = [Number(from), Number(to)];
    return {
      axis: axes.find(([name]) => name === x)?.[0] ?? "step",
      weight: weight > 0 && weight < 1 ? weight : 0,
      log: scale === "log",
      find: find ?? "",
      large,
      window: from !== undefined && to !== undefined && low < high ? { from: low, to: high } : undefined,
      hidden: new Set(hide?.split(",").filter((id) => id !== "")),
    };
  }, [x, smooth, scale, find, large, from, to, hide]);
  return [
    settings,
    (patch) =>
      change({
        // Another axis has other values: what was chosen on this one means nothing there.
        ...(patch.axis === undefined ? {} : { x: patch.axis === "step" ? undefined : patch.axis, from: undefined, to: undefined }),
        ...(patch.weight === undefined ? {} : { smooth: patch.weight === 0 ? undefined : String(patch.weight) }),
        ...(patch.log === undefined ? {} : { scale: patch.log ? "log" : undefined }),
        ...(patch.find === undefined ? {} : { find: patch.find || undefined }),
        ...("large" in patch ? { large: patch.large } : {}),
        ...("window" in patch ? { from: text(patch.window?.from), to: text(patch.window?.to) } : {}),
        ...(patch.hidden === undefined ? {} : { hide: [...patch.hidden].join(",") || undefined }),
      }),
  ];
}
const text = (value: number | undefined): string | undefined => (value === undefined ? undefined : String(Number(value.toPrecision(14))));

/** A value of x in words: short beside an axis, whole under the cursor. */
export function axisValue(axis: XAxis, value: number, from: number, to: number, whole = false): string {
  if (axis === "step") return whole ? `Step ${Number(value.toFixed(to - from < 20 ? 1 : 0))}` : String(Number(value.toPrecision(10)));
  if (axis === "relative")
    return `${value < 0 ? "−" : ""}${Math.abs(value) > 172_800_000 ? `${number(Math.abs(value) / 86_400_000)} d` : duration(Math.abs(value))}`;
  const iso = new Date(value).toISOString();
  if (whole) return `${iso.slice(0, 19).replace("T", " ")} UTC`;
  return to - from > 2 * 86_400_000 ? iso.slice(0, 10) : to - from > 300_000 ? iso.slice(11, 16) : iso.slice(11, 23);
}
