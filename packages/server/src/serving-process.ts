/** One of several processes that share a port: serves until the process that started it says so, or is gone. */
import type { FromServing, ToServing } from "./processes.js";
import { type RunningServer, StartError, startServing } from "./server.js";

let running: Promise<RunningServer> | undefined;
let stopping = false;
const tell = (said: FromServing) => process.connected && process.send?.(said);

async function stop(): Promise<void> {
  if (stopping) return;
  stopping = true;
  await running?.then((server) => server.stop()).catch(() => {});
  process.exit(0);
}

process.noDeprecation = true;
process.on("message", (said: ToServing) => {
  if (said.kind === "stop") return void stop();
  running = startServing(said.config);
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
