/** Durable execution, as narrow as pipelines need it. The only file that knows DBOS. */
import { DBOS } from "@dbos-inc/dbos-sdk";
import type { Platform } from "../platform/index.js";

/** Does `work` once: when the execution is repeated after a crash, a step that ended answers what it answered before. */
export type DurableStep = <T>(name: string, work: () => Promise<T>) => Promise<T>;

export interface Engine {
  /** Begins to execute what was interrupted. */
  launch(): Promise<void>;
  /** Begins the execution of a run, or does nothing where it has begun. */
  start(runId: string): Promise<void>;
  /**
   * Has a run that nobody executes executed by whoever is alive, from where it stopped. Answers `over` where the engine had executed it
   * to the end: then nothing follows any more.
   */
  takeOver(runId: string): Promise<"taken" | "over">;
  /** Ends without waiting for what is executed; the next launch resumes it. */
  stop(): Promise<void>;
}

/**
 * `execute` is called for a run, and again after every crash: its steps must be started in the same order each time. DBOS keeps its
 * registry and connection in the process, so that one engine is open in a process at a time.
 */
export function openEngine(platform: Platform, executorId: string, execute: (runId: string, step: DurableStep) => Promise<void>): Engine {
  const log = platform.log;
  const step: DurableStep = (name, work) => DBOS.runStep(work, { name });
  let stopping = false;
  let workflow: ((runId: string) => Promise<void>) | undefined;
  return {
    async launch() {
      if (DBOS.isInitialized()) throw new Error("This process executes pipelines already: stop the other server first.");
      DBOS.setConfig({
        name: "millrace",
        systemDatabaseUrl: platform.databaseUrl,
        systemDatabasePoolSize: 10,
        systemDatabaseSchemaName: "dbos",
        executorID: executorId,
        // Pinned: what the code of a step is, is in its cache key. A new release of the server goes on with the runs of the old one.
        applicationVersion: "1",
        enableOTLP: false,
        tracingEnabled: false,
        logger: {
          debug: (entry) => log.trace({ engine: true }, String(entry)),
          info: (entry) => log.debug({ engine: true }, String(entry)),
          // What it complains of while it is shut down is meant.
          warn: (entry) => log[stopping ? "debug" : "warn"]({ engine: true }, String(entry)),
          error: (entry) => log[stopping ? "debug" : "error"]({ engine: true }, String(entry)),
        },
      });
      workflow = DBOS.registerWorkflow((runId: string) => execute(runId, step), { name: "pipeline_run", maxRecoveryAttempts: 1_000 });
      await DBOS.launch();
    },
    async start(runId) {
      // Where the engine is not launched yet, launching finds the run.
      if (workflow !== undefined) await DBOS.startWorkflow(workflow, { workflowID: runId })(runId);
    },
    async takeOver(runId) {
      const known = (await DBOS.listWorkflows({ workflowIDs: [runId], loadInput: false, loadOutput: false }))[0];
      if (known === undefined) await this.start(runId);
      else if (known.status === "PENDING" || known.status === "ENQUEUED") await DBOS.resumeWorkflows([runId]);
      else return "over";
      return "taken";
    },
    async stop() {
      if (workflow === undefined) return;
      workflow = undefined;
      stopping = true;
      await DBOS.shutdown({ deregister: true });
    },
  };
}
