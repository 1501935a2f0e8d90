/** Several processes that share a port, started anew when they die. What they are asked is the same whichever of them is: all that they keep is in PostgreSQL and the object store. */
import cluster, { type Worker } from "node:cluster";
import { setTimeout as delay } from "node:timers/promises";
import { nodeProgram, type ServerConfig, StartError } from "./platform/index.js";

/** How long a process may take to stop before it is killed. */
const stopMs = 20_000;
/** Between a death and the next start: longer, the sooner they follow each other. */
const pauseMs = 200;
const longestPauseMs = 10_000;
/** A process that lived so long was well. */
const wellMs = 60_000;

export type FromServing = { kind: "listens" } | { kind: "ready"; url: string; grpc?: string } | { kind: "failed"; message: string; start: boolean };
export type ToServing = { kind: "serve"; config: ServerConfig } | { kind: "stop" };

export interface Processes {
  url: string;
  grpc?: string;
  stop(): Promise<void>;
}

/** Resolves when all of them are ready. Throws where one can't start. */
export async function startProcesses(config: ServerConfig, count: number): Promise<Processes> {
  const { args } = nodeProgram(import.meta.url, "serving-process");
  const [program = "", flags] = [args.at(-1), args.slice(0, -1)];
  cluster.setupPrimary({ exec: program, execArgv: flags, args: [] });
  const living = new Set<Worker>();
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
        ready = true;
        resolve(said);
      });
      worker.on("exit", () => {
        living.delete(worker);
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
