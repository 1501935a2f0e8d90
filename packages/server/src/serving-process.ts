/** One of several processes that share a port: serves until the process that started it says so, or is gone. */
import { ApiError } from "./platform/errors.js";
import type { MetricList } from "./platform/index.js";
import type { FromServing, ToServing } from "./processes.js";
import { type RunningServer, StartError, startServing } from "./server.js";

let running: Promise<RunningServer> | undefined;
let stopping = false;
const tell = (said: FromServing) => process.connected && process.send?.(said);

/** Whoever asked for what all of the processes measured. */
const waiting = new Set<(all: MetricList) => void>();
const gatherMs = 5_000;
function gather(): Promise<MetricList> {
  return new Promise((resolve, reject) => {
    const patience = setTimeout(() => {
      waiting.delete(done);
      reject(new ApiError(503, "UNAVAILABLE", "The processes did not say what they measured within 5 s. Ask again."));
    }, gatherMs);
    const done = (all: MetricList) => {
      clearTimeout(patience);
      resolve(all);
    };
    waiting.add(done);
    tell({ kind: "gather" });
  });
}

async function stop(): Promise<void> {
  if (stopping) return;
  stopping = true;
  await running?.then((server) => server.stop()).catch(() => {});
  process.exit(0);
}

process.noDeprecation = true;
process.on("message", (said: ToServing) => {
  if (said.kind === "stop") return void stop();
  if (said.kind === "gathered") {
    for (const done of waiting) done(said.metrics);
    return waiting.clear();
  }
  if (said.kind === "measure") return void running?.then(({ metrics }) => metrics.own()).then((metrics) => tell({ kind: "measured", metrics }));
  running = startServing(said.config, gather);
  running.then(
    ({ url, grpc }) => tell({ kind: "ready", url, ...(grpc === undefined ? {} : { grpc }) }),
    (error: unknown) => {
      tell({ kind: "failed", message: error instanceof Error ? error.message : String(error), start: error instanceof StartError });
      setTimeout(() => process.exit(1), 100);
    },
  );
});
process.on("disconnect", () => void stop());
process.on("SIGTERM", () => void stop());
// A terminal sends it to all of its processes; the one that started this says when to stop.
process.on("SIGINT", () => {});
tell({ kind: "listens" });
