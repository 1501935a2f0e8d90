/** How far long work is: on a terminal one line that changes, elsewhere a line now and then. */
import { count, duration, tell } from "../output.js";
import type { Counts } from "./source.js";

export interface Done {
  experiments: number;
  runs: number;
  points: number;
  loggedModels: number;
  models: number;
  versions: number;
  aliases: number;
  files: number;
  bytes: number;
}
export const nothingDone = (): Done => ({ experiments: 0, runs: 0, points: 0, loggedModels: 0, models: 0, versions: 0, aliases: 0, files: 0, bytes: 0 });

export interface Progress {
  done: Done;
  /** What is looked at and needs not be brought counts towards the end, and not towards the rate. */
  skipped: { runs: number; points: number };
  end(): void;
}

type Total = Pick<Counts, "runs" | "points"> & { bytes?: number };

export function showProgress(total: Total, what: string): Progress {
  const terminal = process.stderr.isTTY === true;
  const began = performance.now();
  const done = nothingDone();
  const skipped = { runs: 0, points: 0 };
  let told = "";
  const show = () => {
    const seconds = (performance.now() - began) / 1_000;
    const line = lineOf(total, done, skipped, seconds);
    if (line === told) return;
    told = line;
    if (terminal) process.stderr.write(`\r\x1b[K${line.slice(0, (process.stderr.columns ?? 120) - 1)}`);
    else tell(`${what}: ${line}`);
  };
  const timer = setInterval(show, terminal ? 200 : 5_000);
  timer.unref();
  return {
    done,
    skipped,
    end() {
      clearInterval(timer);
      if (terminal) process.stderr.write("\r\x1b[K");
    },
  };
}

function lineOf(total: Total, done: Done, skipped: { runs: number; points: number }, seconds: number): string {
  const runs = done.runs + skipped.runs;
  const points = done.points + skipped.points;
  const parts = [
    `${count(runs)} of ${count(total.runs)} runs`,
    total.points === undefined ? `${count(points)} points` : `${count(points)} of ${count(total.points)} points`,
    `${count(done.files)} files, ${bytes(done.bytes)}`,
  ];
  if (seconds < 1) return parts.join(" · ");
  const rates = [
    `${count(Math.round(done.runs / seconds))} runs/s`,
    `${count(Math.round(done.points / seconds))} points/s`,
    `${bytes(done.bytes / seconds)}/s`,
  ];
  // A run is about as much work as some tens of points, and a point as some kilobytes of files.
  const weight = (r: number, p: number | undefined, b: number) =>
    30 * r + (total.points === undefined ? 0 : (p ?? 0)) + (total.bytes === undefined ? 0 : b / 2_000);
  const share = weight(runs, points, done.bytes) / Math.max(1, weight(total.runs, total.points, total.bytes ?? 0));
  const left = share > 0.01 && share < 1 ? [`about ${duration((seconds * 1_000 * (1 - share)) / share)} left`] : [];
  return [...parts, ...rates, ...left].join(" · ");
}

export function bytes(n: number): string {
  if (n < 1_000_000) return `${(n / 1_000).toFixed(n < 10_000 ? 1 : 0)} kB`;
  return n < 1_000_000_000 ? `${(n / 1_000_000).toFixed(1)} MB` : `${(n / 1_000_000_000).toFixed(2)} GB`;
}
