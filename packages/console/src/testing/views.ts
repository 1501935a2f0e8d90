/** How the made-up runs went, and who ran them. */
import type { ArtifactRows, Explanation, Run, RunningStep, RunTimeline, StepAverage, StepDetail, Worker } from "@millrace/sdk/api";
import { clock, runDetail, spec } from "./fixtures";

export const stepDetail = (run: Run | undefined, id: string): StepDetail | undefined => {
  const step = run === undefined ? undefined : runDetail(run).steps.find((one) => one.id === id);
  if (step === undefined) return undefined;
  return {
    ...{ ...step, attempts: [], inputs: {}, codeDigest: null, environmentDigest: null },
    ...(step.state === "running"
      ? { progress: { done: 40, total: 120, message: "tree 40" }, usage: { memoryBytes: 412_000_000, cpuSeconds: 8.4 }, reason: "its code changed: train.py" }
      : {}),
  };
};
export const timeline: RunTimeline = {
  lengthMs: 12_000,
  bars: spec.nodes.slice(1, 4).map(({ id, kind }, i) => ({
    ...{ step: id, node: id, parent: null, kind, state: i === 2 ? "running" : "succeeded", attempt: 1, worker: "w-1", host: "anna-laptop", backend: "local" },
    ...{ outcome: i === 2 ? null : "succeeded", fromMs: i * 3_000, toMs: i === 2 ? null : (i + 1) * 3_000 - 400 },
  })),
  more: false,
  counts: [],
};
export const averages: StepAverage[] = spec.nodes.map(({ id, kind }, i) => ({
  ...{ node: id, kind, ran: 12, cached: i, failed: i === 3 ? 2 : 0, meanMs: 1_900 + i, medianMs: 1_840 + i * 100, longestMs: 5_000 },
}));
export const explanation: Explanation = {
  steps: spec.nodes.map(({ id, kind }, i) => ({
    ...{ id, kind, does: i < 3 ? "reuse" : i === 3 ? "run" : "unknown" },
    reason: i < 3 ? "nothing changed since run 10000005" : i === 3 ? "its code changed: train.py" : "depends on train",
  })),
};
export const workers: Worker[] = [true, false].map((alive, i) => ({
  ...{ id: `w-${i + 1}`, host: alive ? "anna-laptop" : "old-node", pid: 4_100 + i, backends: ["local"], cpus: 8, memoryBytes: 32e9, gpus: 0, alive },
  ...{ running: alive ? 1 : 0, startedAt: "2013-08-14T03:00:00.000Z", seenAt: alive ? clock.now : "2013-08-14T04:00:00.000Z" },
}));
export const running: RunningStep[] = [
  {
    ...{ run: "01a20ab310000000", pipeline: "delay", step: "train", worker: "w-1", backend: "local", forMs: 41_000 },
    ...{ progress: { done: 40, total: 120 }, usage: { memoryBytes: 412_000_000, cpuSeconds: 8.4 } },
  },
];
export const firstRows: ArtifactRows = {
  columns: [{ name: "carrier", type: "VARCHAR" }],
  rows: [["UA"], ["B6"]],
  total: 51_955,
};
