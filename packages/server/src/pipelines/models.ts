/** Runs as this process knows them: what is newer in the database is read again. */
import type { Transaction } from "kysely";
import type { Platform } from "../platform/index.js";
import { loadedModel, type Model } from "./model.js";
import type { PipelineStore } from "./store.js";

/** Of runs that are looked at again and again. */
const mostKept = 64;

export function openModels(store: PipelineStore, db: Platform["db"]) {
  const known = new Map<string, Model>();
  async function load(connection: Platform["db"], runId: string): Promise<Model | undefined> {
    const run = await store.lockedRun(connection, runId);
    return run === undefined ? undefined : loadedModel(run, await store.allSteps(connection, runId));
  }
  return {
    /** Within a transaction that holds the run. */
    async at(transaction: Transaction<unknown>, runId: string, version: string): Promise<Model | undefined> {
      const model = known.get(runId);
      return model?.run.version === version ? model : load(transaction, runId);
    },
    /** What it says of steps that are over is so; of others it may be old. */
    async ofStep(runId: string, step: string): Promise<Model | undefined> {
      const model = known.get(runId);
      // A step that runs was ready, so what it takes from is over in any model that has it as more than waiting.
      const state = model?.steps.get(step)?.state;
      return state !== undefined && state !== "waiting" ? model : load(db, runId);
    },
    keep(model: Model): void {
      known.delete(model.run.id);
      known.set(model.run.id, model);
      for (const id of known.keys()) {
        if (known.size <= mostKept) break;
        known.delete(id);
      }
    },
    forget: (runId: string) => void known.delete(runId),
  };
}
