/** This process as a worker: who it is, what it has, and its parts from start to stop. */
import { randomUUID } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import type { Worker } from "@millrace/sdk/api";
import { sql } from "kysely";
import type { Compute } from "../compute/index.js";
import type { Platform } from "../platform/index.js";
import type { SecretReader } from "./attempt.js";
import { openCapacity, roomOfMachine } from "./capacity.js";
import type { DecisionParts } from "./decide.js";
import { openHeart } from "./heart.js";
import { channel, openQueue, type WorkerFacts } from "./queue.js";
import { openScheduler } from "./scheduler.js";
import type { StepKind } from "./step.js";
import type { PipelineStore } from "./store.js";
import type { RunTracker } from "./tracker.js";
import { openWaits, type Waits } from "./waits.js";

interface WorkerParts {
  store: PipelineStore;
  kinds: Map<string, StepKind>;
  decision: DecisionParts;
  tracking: RunTracker;
  secrets: SecretReader;
  compute: Compute;
}
export interface PipelineWorker {
  waits: Waits;
  /** Begins a run that was asked for; whoever is alive does where this fails. */
  begin(runId: string): void;
  cancelled(runId: string): void;
  workers(): Promise<Worker[]>;
  launch(): Promise<void>;
  stop(): Promise<void>;
}

/** Where steps work; a folder for each worker, and empty when none runs. */
const workFolder = (platform: Pick<Platform, "config">): string => path.join(platform.config.dataDir, "work");

export function openWorker(platform: Platform, { store, kinds, decision, tracking, secrets, compute }: WorkerParts): PipelineWorker {
  const room = roomOfMachine();
  const worker: WorkerFacts = {
    ...{ id: randomUUID(), host: hostname(), machine: machine(), pid: process.pid, backends: compute.backends },
    ...{ cpus: room.cpus, memory: room.memory, gpus: room.gpus },
  };
  const folder = path.join(workFolder(platform), worker.id);
  const queue = openQueue(platform, worker);
  const scheduler = openScheduler({
    ...{ platform, store, queue, worker, decision, tracking },
    capacity: openCapacity(room),
    attempts: { platform, kinds, secrets, workFolder: folder },
  });
  const waits = openWaits(platform, store, scheduler);
  const heart = openHeart(platform, { store, queue, scheduler, waits });
  let launched = false;
  let stopped = false;

  platform.notifications.on(channel, (payload) => {
    if (!launched || stopped) return;
    if (payload.startsWith("cancel ")) scheduler.abort(payload.slice("cancel ".length));
    else scheduler.look();
  });
  platform.events.watch(() => {
    if (launched && !stopped)
      void waits.look().catch((error) => platform.log.warn({ error }, "what steps wait for could not be looked for; it is tried again"));
  });
  // Times by which an answer is due pass with the platform's clock, also where that is moved.
  platform.clock.onTick("pipelines", () => (launched && !stopped ? waits.look() : Promise.resolve()));

  return {
    waits,
    begin(runId) {
      if (!launched || stopped) return;
      scheduler.begin(runId).catch((error) => platform.log.error({ error, run: runId }, "a run could not be begun yet"));
    },
    cancelled: (runId) => scheduler.abort(runId),
    async workers() {
      const { rows } = await sql<WorkerFacts & { started_at: Date; seen_at: Date; alive: boolean; running: number }>`
        select w.*, seen_at > clock_timestamp() - interval '5 seconds' as alive,
          (select count(*)::int from pipeline_step s where s.state = 'running' and s.worker = w.id) as running
        from pipeline_worker w order by started_at`.execute(platform.db);
      return rows.map((row) => ({
        ...{ id: row.id, host: row.host, pid: row.pid, backends: row.backends, cpus: row.cpus, memoryBytes: row.memory, gpus: row.gpus, running: row.running },
        ...{ startedAt: row.started_at.toISOString(), seenAt: row.seen_at.toISOString(), alive: row.alive },
      }));
    },
    async launch() {
      launched = true;
      // Known as alive before it has a folder, so that nobody takes that for left over.
      await heart.start();
      await mkdir(folder, { recursive: true });
      await sweep();
    },
    async stop() {
      stopped = true;
      await heart.stop();
      await scheduler.stop();
      if (launched) await queue.leave().catch((error) => platform.log.warn({ error }, "the worker could not take its leave; it is taken for dead in a while"));
      await rm(folder, { recursive: true, force: true }).catch(() => {});
    },
  };

  /** What workers left that were killed here. */
  async function sweep(): Promise<void> {
    const folders = await readdir(workFolder(platform));
    const { rows } = await sql<{ id: string }>`select id from pipeline_worker`.execute(platform.db);
    const alive = new Set(rows.map((row) => row.id));
    for (const name of folders) if (!alive.has(name)) await rm(path.join(workFolder(platform), name), { recursive: true, force: true });
  }
}

/** Process ids mean the same within it: a start of a machine, and there a space of process ids. */
function machine(): string {
  const read = (what: () => string) => {
    try {
      return what().trim();
    } catch {
      return "";
    }
  };
  const boot = read(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8"));
  const space = read(() => readlinkSync("/proc/self/ns/pid"));
  return `${hostname()} ${boot} ${space}`;
}
