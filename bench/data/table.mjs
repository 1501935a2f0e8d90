/** What was measured, as a table for people. */
import { cpus, loadavg } from "node:os";

export const load = () => Math.round(loadavg()[0] * 10) / 10;
export const ms = (value) =>
  value >= 1_000 ? `${(value / 1_000).toFixed(value >= 10_000 ? 0 : 1)} s` : `${value >= 20 ? Math.round(value) : value.toFixed(1)} ms`;
export const memory = (bytes) => `${Math.round(bytes / 1_000_000).toLocaleString("en")} MB`;
export const times = (ratio) => `${ratio >= 10 ? Math.round(ratio) : ratio.toFixed(1)} times`;

/** Rows `{work, millrace, peer, ratio, goal, equal, load}`. */
export function table(rows) {
  const heads = { work: "work", millrace: "Millrace", peer: "beside it", ratio: "ratio", goal: "to reach", equal: "results", load: "load" };
  const keys = Object.keys(heads);
  const cells = [heads, ...rows].map((row) => keys.map((key) => String(row[key] ?? "")));
  const widths = keys.map((_, i) => Math.max(...cells.map((row) => row[i].length)));
  const lines = cells.map((row) => `| ${row.map((cell, i) => cell.padEnd(widths[i])).join(" | ")} |`);
  lines.splice(1, 0, `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`);
  return `${lines.join("\n")}\n\n${cpus().length} processors; the load is that of the whole machine in the minute before the row was told.`;
}
