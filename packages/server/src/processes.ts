/** Several processes that share a port, started anew when they die. What they are asked is the same whichever of them is: all that they keep is in PostgreSQL and the object store. */
import cluster, { type Worker } from "node:cluster";
import { setTimeout as delay } from "node:timers/promises";
import { StartError } from "./platform/errors.js";
import type { MetricList, ServerConfig } from "./platform/index.js";
import { lasting, summed } from "./platform/metrics.js";
import { nodeProgram } from "./platform/thread.js";

/** How long a process may take to stop before it is killed. */
const stopMs = 20_000;
/** Between a death and the next start: longer, the sooner they follow each other. */
const pauseMs = 200;
const longestPauseMs = 10_000;
/** A process that lived so long was well. */
const wellMs = 60_000;
/** For a process to say what it measured. Who takes longer is counted as it was last. */
const measureMs = 2_000;
/** What so many processes that ended had measured is made one. */
const mostEnded = 8;

export type FromServing =
  | { kind: "listens" }
  | { kind: "ready"; url: string; grpc?: string }
  | { kind: "failed"; message: string; start: boolean }
  | { kind: "measured"; metrics: MetricList }
  | { kind: "gather" };
export type ToServing = { kind: "serve"; config: ServerConfig } | { kind: "stop" } | { kind: "measure" } | { kind: "gathered"; metrics: MetricList };

export interface Processes {
  url: string;
  grpc?: string;
  stop(): Promise<void>;
}

/** Resolves when all of them are ready. Throws where one can't start. `own`: what the process measured that starts them, where it takes part in their work. */
export async function startProcesses(config: ServerConfig, count: number, own?: () => Promise<MetricList>): Promise<Processes> {
  const { args } = nodeProgram(import.meta.url, "serving-process");
  const [program = "", flags] = [args.at(-1), args.slice(0, -1)];
  // As JSON a moment of the clock would be a text, and a number that is none would be null.
  cluster.setupPrimary({ exec: program, execArgv: flags, args: [], serialization: "advanced" });
  const living = new Set<Worker>();
  const metrics = gathering(own);
  let stopping = false;

  function start(): Promise<{ url: string; grpc?: string }> {
    const worker = cluster.fork();
    const began = performance.now();
    living.add(worker);
    return new Promise((resolve, reject) => {
      let ready = false;
      worker.on("message", (said: FromServing) => {
        // What is sent before is lost.
        if (said.kind === "listens") return void worker.send({ kind: "serve", config } satisfies ToServing);
        if (said.kind === "failed") return reject(said.start ? new StartError(said.message) : new Error(said.message));
        if (said.kind === "measured") return metrics.measured(worker, said.metrics);
        if (said.kind === "gather")
          return void metrics.gather().then(
            (all) => worker.isConnected() && worker.send({ kind: "gathered", metrics: all } satisfies ToServing),
            // Whoever asked has a limit to its patience.
            () => {},
          );
        ready = true;
        metrics.add(worker);
        resolve(said);
      });
      worker.on("exit", () => {
        living.delete(worker);
        metrics.end(worker);
        reject(new Error("A process that was to serve ended before it was ready."));
        if (ready && !stopping) void again(performance.now() - began > wellMs ? pauseMs : 2 * pauseMs);
      });
      worker.on("error", reject);
    });
  }
  async function again(pause: number): Promise<void> {
    await delay(pause, undefined, { ref: false });
    if (stopping) return;
    await start().catch(() => again(Math.min(longestPauseMs, 2 * pause)));
  }
  async function stop(): Promise<void> {
    stopping = true;
    for (const worker of living) if (worker.isConnected()) worker.send({ kind: "stop" } satisfies ToServing);
    const until = performance.now() + stopMs;
    while (living.size > 0 && performance.now() < until) await delay(20);
    for (const worker of living) worker.process.kill("SIGKILL");
  }

  try {
    // The first one migrates the database, if there is something to, and finds out what can't be started.
    const first = await start();
    await Promise.all(Array.from({ length: count - 1 }, start));
    return { url: first.url, ...(first.grpc === undefined ? {} : { grpc: first.grpc }), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * What all of the processes measured together. What one had counted when it ended is kept, as it said it last: a sum that goes down would be taken for one
 * that began anew, and all that is in it would be counted again.
 */
function gathering(own: (() => Promise<MetricList>) | undefined) {
  const told = new Map<Worker, MetricList>();
  const asked = new Map<Worker, () => void>();
  const ended: MetricList[] = [];
  let gathered: Promise<MetricList> | undefined;

  function ask(worker: Worker): Promise<void> {
    if (!worker.isConnected()) return Promise.resolve();
    return new Promise((resolve) => {
      const patience = setTimeout(resolve, measureMs);
      asked.set(worker, () => {
        clearTimeout(patience);
        resolve();
      });
      worker.send({ kind: "measure" } satisfies ToServing);
    });
  }
  async function all(): Promise<MetricList> {
    const [mine] = await Promise.all([own?.() ?? [], ...[...told.keys()].map(ask)]);
    if (ended.length >= mostEnded) {
      const some = ended.length;
      // Others may have ended meanwhile.
      ended.splice(0, some, await summed(ended));
    }
    // Taken together in one turn, so that each process is there once, whether it lives or has ended.
    return summed([mine, ...told.values(), ...ended]);
  }
  return {
    add: (worker: Worker) => void told.set(worker, []),
    measured(worker: Worker, metrics: MetricList): void {
      if (told.has(worker)) told.set(worker, metrics);
      asked.get(worker)?.();
    },
    end(worker: Worker): void {
      const last = told.get(worker);
      if (last !== undefined) ended.push(lasting(last));
      told.delete(worker);
      asked.get(worker)?.();
      asked.delete(worker);
    },
    /** One at a time, for all who ask meanwhile. */
    gather(): Promise<MetricList> {
      gathered ??= all().finally(() => {
        gathered = undefined;
      });
      return gathered;
    },
  };
}
