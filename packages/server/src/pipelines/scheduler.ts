/**
 * The scheduler of one process: it takes what is ready, and when something ended finds out what follows, in one transaction that holds the run.
 * All that it must not forget is in the database; what it has in memory only makes it quick.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Artifact, RunState } from "@millrace/sdk/api";
import type { Transaction } from "kysely";
import { type Limit, limit, type Platform } from "../platform/index.js";
import { type AttemptParts, type Live, runAttempt } from "./attempt.js";
import type { Capacity } from "./capacity.js";
import { type DecisionParts, decide } from "./decide.js";
import { isGood, isOver, type Model, type ModelStep, setState } from "./model.js";
import { openModels } from "./models.js";
import { type AttemptEnd, type Claimed, type Demand, demandOf, type Queue, type StepWrite, skippedFor, type WorkerFacts } from "./queue.js";
import type { RunRow } from "./rows.js";
import { type Over, settle } from "./settle.js";
import type { PipelineStore } from "./store.js";
import type { RunTracker } from "./tracker.js";

/** What a step that waited was told. */
export interface Answer {
  id: string;
  state: "succeeded" | "refused" | "failed";
  outputs: Record<string, Artifact>;
  error: string | null;
}
export interface SchedulerParts {
  platform: Platform;
  store: PipelineStore;
  queue: Queue;
  worker: WorkerFacts;
  capacity: Capacity;
  decision: DecisionParts;
  attempts: AttemptParts;
  tracking: RunTracker;
}
interface ActiveAttempt {
  claimed: Claimed;
  abort: AbortController;
  live: Live;
  working: Promise<void>;
}
interface News {
  ends: AttemptEnd[];
  answers: Answer[];
  begun: RunRow | undefined;
  tries: number;
}
export interface Scheduler {
  /** Begins a run that was asked for; does nothing where another process does. */
  begin(runId: string): Promise<void>;
  /** Looks for what is ready. */
  look(): void;
  /** Looks again at the moment at which a pause before an attempt is over, where that is soon. */
  lookWhenDue(): Promise<void>;
  /** Looks at a run that stands still. */
  reconsider(runId: string): void;
  /** Answers whether the step still waited. */
  answer(runId: string, answer: Answer): Promise<boolean>;
  /** Ends what runs here of a run. */
  abort(runId: string): void;
  endTracking(runId: string): Promise<void>;
  /** Whether an attempt, by its key, runs here or has ended here. */
  holds(key: string): boolean;
  /** By their key. */
  active: ReadonlyMap<string, ActiveAttempt>;
  stop(): Promise<void>;
}

/** A transaction that holds a run asks for a second connection now and then: fewer than there are connections. */
const runsAtOnce = 6;
const mostTries = 8;
/** Pauses that end later than this are looked for again until then: longer than from one beat of the heart to the next. */
const soonMs = 2_000;
const stopMs = 5_000;
export const attemptKey = (attempt: { run: string; id: string; attempt: number }): string => `${attempt.run} ${attempt.id} ${attempt.attempt}`;

export function openScheduler(parts: SchedulerParts): Scheduler {
  const { platform, store, queue, capacity, worker } = parts;
  const { db, log } = platform;
  const models = openModels(store, db);
  const active = new Map<string, ActiveAttempt>();
  /** Attempts whose end is still to be written: nobody is to do them again. */
  const recording = new Set<string>();
  const news = new Map<string, News>();
  const busy = new Map<string, Promise<void>>();
  const advancing: Limit = limit(runsAtOnce);
  let stopping = false;
  let looking = false;
  let lookAgain = false;
  let waking: NodeJS.Timeout | undefined;

  /** What happened to a run is dealt with in its order, and together with what happens meanwhile. */
  function tell(runId: string, what: Partial<News>): Promise<void> {
    const told = news.get(runId) ?? { ends: [], answers: [], begun: undefined, tries: 0 };
    told.ends.push(...(what.ends ?? []));
    told.answers.push(...(what.answers ?? []));
    told.begun ??= what.begun;
    told.tries = Math.max(told.tries, what.tries ?? 0);
    news.set(runId, told);
    const working = busy.get(runId) ?? work(runId).finally(() => busy.delete(runId));
    busy.set(runId, working);
    return working;
  }

  async function work(runId: string): Promise<void> {
    for (let told = news.get(runId); told !== undefined; told = news.get(runId)) {
      news.delete(runId);
      const now = told;
      try {
        await advancing(() => advance(runId, now));
      } catch (error) {
        models.forget(runId);
        log.error({ error, run: runId }, "what follows in a run could not be recorded; it is tried again");
        if (now.tries >= mostTries) await giveUp(runId, error);
        else {
          // Away for a moment, most likely; the rows still say what was.
          await delay(Math.min(50 * 2 ** now.tries, 5_000));
          const again = news.get(runId) ?? { ends: [], answers: [], begun: undefined, tries: 0 };
          news.set(runId, {
            ends: [...now.ends, ...again.ends],
            answers: [...now.answers, ...again.answers],
            begun: now.begun ?? again.begun,
            tries: now.tries + 1,
          });
        }
      }
      if (stopping && (news.get(runId)?.tries ?? 0) > 2) return;
    }
  }

  async function advance(runId: string, told: News): Promise<void> {
    const claims: { claimed: Claimed; step: ModelStep }[] = [];
    let finished = false;
    let model: Model | undefined;
    try {
      model = await db.transaction().execute(async (transaction) => {
        const locked = await store.lock(transaction, runId);
        if (locked === undefined) return undefined;
        const known = await models.at(transaction, runId, locked.version);
        if (known === undefined) return undefined;
        models.forget(runId);
        if (told.begun !== undefined && locked.state === "queued") {
          known.run.tracking_run_id = told.begun.tracking_run_id;
          await store.started(transaction, known.run);
        }
        finished = await follow(transaction, known, told, claims);
        return known;
      });
    } catch (error) {
      for (const { claimed } of claims) capacity.release(claimed);
      throw error;
    }
    if (model !== undefined) {
      for (const step of model.steps.values()) if (step.items !== undefined) step.items.kept = true;
      models.keep(model);
      if (finished) models.forget(runId);
    }
    for (const { claimed, step } of claims) start(model, claimed, step);
    if (finished) void endTracking(runId);
    look();
    if (told.ends.some((end) => end.state === "ready")) void lookWhenDue();
  }

  /** Answers whether the run is over. */
  async function follow(transaction: Transaction<unknown>, model: Model, told: News, claims: { claimed: Claimed; step: ModelStep }[]): Promise<boolean> {
    const { run } = model;
    const over: Over[] = [];
    const changed = new Set<ModelStep>();
    const made: ModelStep[] = [];
    const counted = await queue.end(transaction, run.id, told.ends);
    for (const end of told.ends) {
      const step = counted.has(end.id) ? model.steps.get(end.id) : undefined;
      if (step === undefined) continue;
      step.attempt = end.attempt;
      if (end.state === "ready") {
        setState(model, step, "ready");
        continue;
      }
      Object.assign(step, { outputs: end.outputs, error: end.error, metrics: end.metrics, modelVersion: end.modelVersion });
      over.push({ step, itemOver: setState(model, step, end.state) });
      if (end.state === "succeeded") made.push(step);
    }
    for (const answer of told.answers) {
      const step = model.steps.get(answer.id);
      if (step?.state !== "asking") continue;
      Object.assign(step, { outputs: answer.outputs, error: answer.error });
      over.push({ step, itemOver: setState(model, step, answer.state) });
      changed.add(step);
    }
    const settling = {
      ...{ platform, model, changed },
      decide: (steps: ModelStep[]) => decide(parts.decision, model, steps),
      newestEvent: async () => (await platform.events.position()).id,
    };
    await settle(settling, told.begun !== undefined || told.ends.length + told.answers.length === 0 ? undefined : over);
    if (model.failed) {
      const skipped = new Set(await queue.skipReady(transaction, run.id));
      for (const step of model.steps.values()) {
        if (step.state !== "ready" || !(skipped.has(step.id) || changed.has(step))) continue;
        step.reason = skippedFor;
        setState(model, step, "skipped");
        const items = step.parent?.items;
        if (items !== undefined && step.index !== undefined && !items.open.has(step.index)) items.done += 1;
      }
      await settle(settling, []);
    }
    await store.remember(transaction, run, made);

    const writes: StepWrite[] = [...changed].map((step) => ({ step, claimed: claimHere(run, step, claims) }));
    await queue.write(transaction, run.id, writes);
    const metrics: Record<string, number> = {};
    let modelVersion: string | null = null;
    for (const step of [...over.map((one) => one.step), ...changed]) {
      if (!isOver(step.state) || step.parent !== undefined) continue;
      Object.assign(metrics, step.metrics);
      modelVersion = step.modelVersion ?? modelVersion;
    }
    // What was ready before may have room now that something ended.
    if (told.ends.length > 0 && !model.failed && !stopping) {
      await queue.claimOf(transaction, run.id, { total: capacity.total, free: capacity.free() }, (row) => {
        const step = model.steps.get(row.id);
        if (step === undefined || !capacity.take(row)) return false;
        step.attempt = row.attempt;
        step.state = "running";
        claims.push({ step, claimed: row });
        return true;
      });
    }
    run.version = await store.changed(transaction, run.id, metrics, modelVersion);
    if (model.open > 0) return false;
    const [state, message] = outcome(model);
    await store.finish(transaction, run, state, message);
    return true;
  }

  /** What begins now and finds room here is begun here, without another look. */
  function claimHere(run: RunRow, step: ModelStep, claims: { claimed: Claimed; step: ModelStep }[]): boolean {
    if (step.state !== "ready" || step.attempt > 0 || stopping) return false;
    const demand = demandOf(step.node);
    if (demand.grouped !== null || (demand.backend !== null && !worker.backends.includes(demand.backend)) || !capacity.take(demand)) return false;
    step.attempt = 1;
    step.state = "running";
    claims.push({ step, claimed: { ...demand, run: run.id, id: step.id, n: "0", attempt: 1, failures: 0 } });
    return true;
  }

  function start(model: Model | undefined, claimed: Claimed, known?: ModelStep): void {
    const abort = new AbortController();
    const live: Live = { progress: undefined, usage: undefined, changed: false };
    const key = attemptKey(claimed);
    const working = (async () => {
      try {
        const of = model ?? (await models.ofStep(claimed.run, claimed.id));
        const step = known ?? of?.steps.get(claimed.id);
        if (of === undefined || step === undefined) throw new Error(`The step ${claimed.id} of the run ${claimed.run} is not there.`);
        if (model === undefined) models.keep(of);
        const end = stopping ? undefined : await runAttempt(parts.attempts, { model: of, step, claimed, signal: abort.signal, live });
        capacity.release(claimed);
        active.delete(key);
        if (end === undefined) return look();
        recording.add(key);
        return void tell(claimed.run, { ends: [end] }).finally(() => recording.delete(key));
      } catch (error) {
        // Not the step's fault: its rows give it to whoever beats next.
        capacity.release(claimed);
        active.delete(key);
        log.error({ error, run: claimed.run, step: claimed.id }, "a step could not be begun; it is tried again");
      }
      look();
    })();
    active.set(key, { claimed, abort, live, working });
    if (stopping) abort.abort();
  }

  function look(): void {
    lookAgain = true;
    if (looking || stopping) return;
    looking = true;
    void (async () => {
      try {
        while (lookAgain && !stopping) {
          lookAgain = false;
          const taken: Demand[] = [];
          const fits = (demand: Demand) => capacity.take(demand) && taken.push(demand) > 0;
          try {
            const claimed = await queue.claim({ total: capacity.total, free: capacity.free() }, fits);
            for (const one of claimed) start(undefined, one);
            if (claimed.length > 0) lookAgain = true;
          } catch (error) {
            for (const one of taken) capacity.release(one);
            throw error;
          }
        }
      } catch (error) {
        if (!stopping) log.warn({ error }, "steps could not be claimed; it is tried again");
      } finally {
        looking = false;
      }
    })();
  }

  async function lookWhenDue(): Promise<void> {
    const dueMs = await queue.nextDue().catch(() => undefined);
    if (stopping || dueMs === undefined || dueMs > soonMs) return;
    clearTimeout(waking);
    waking = setTimeout(() => {
      look();
      void lookWhenDue();
    }, Math.ceil(dueMs) + 1);
  }

  async function endTracking(runId: string): Promise<void> {
    try {
      const run = await store.run(runId);
      if (run === undefined) return;
      if (run.tracking_run_id !== null) {
        if (Object.keys(run.metrics).length > 0) await parts.tracking.logMetrics(run.tracking_run_id, run.metrics);
        await parts.tracking.end(run.tracking_run_id, run.state === "failed" ? "FAILED" : run.state === "cancelled" ? "KILLED" : "FINISHED");
      }
    } catch (error) {
      if (stopping) return;
      log.error({ error, run: runId }, "the end of a run could not be tracked");
    }
    await store.tracked(runId).catch((error) => log.warn({ error, run: runId }, "that the end of a run was tracked could not be recorded; it is done again"));
  }

  /** Something of ours fails again and again, beside the steps: what can still be recorded is. */
  async function giveUp(runId: string, error: unknown): Promise<void> {
    const said = error instanceof Error ? error.message : String(error);
    log.error({ error, run: runId }, "a run failed outside of its steps");
    await db
      .transaction()
      .execute(async (transaction) => {
        if ((await store.lock(transaction, runId)) === undefined) return;
        const run = await store.lockedRun(transaction, runId);
        // What failed may be a statement: its text is for the log alone.
        if (run !== undefined) await store.finish(transaction, run, "failed", "The run failed outside of its steps. The server's log says why.");
      })
      .catch((again) => log.error({ error: again, run: runId, said }, "the failure of a run could not be recorded"));
    abort(runId);
  }

  function abort(runId: string): void {
    for (const { claimed, abort: controller } of active.values()) if (claimed.run === runId) controller.abort();
  }

  return {
    active,
    holds: (key) => active.has(key) || recording.has(key),
    look,
    lookWhenDue,
    abort,
    endTracking,
    reconsider: (runId) => void tell(runId, {}),
    async begin(runId) {
      if (stopping) return;
      const run = await store.claimBegin(runId, worker.id);
      if (run === undefined) return;
      const tags = { "millrace.run": run.id, "millrace.pipeline": run.pipeline, "millrace.project": `${run.project}/${run.project_version}` };
      const { runId: tracked } = await parts.tracking.begin({
        ...{ of: `run/${run.id}`, experiment: run.pipeline, runName: `${run.pipeline}-${run.id.slice(-8)}`, tags },
      });
      const params = Object.entries(run.params).map(([name, value]): [string, string] => [
        name,
        typeof value === "object" ? JSON.stringify(value) : String(value),
      ]);
      if (params.length > 0) await parts.tracking.logParams(tracked, Object.fromEntries(params));
      await tell(runId, { begun: { ...run, tracking_run_id: tracked } });
    },
    async answer(runId, answer) {
      await tell(runId, { answers: [answer] });
      const step = await store.step(runId, answer.id);
      return step?.state === answer.state;
    },
    async stop() {
      stopping = true;
      clearTimeout(waking);
      for (const { abort: controller } of active.values()) controller.abort();
      const all = [...active.values()];
      await Promise.race([Promise.allSettled(all.map((one) => one.working)), delay(stopMs)]);
      await Promise.race([Promise.allSettled(busy.values()), delay(stopMs)]);
      // Whoever is alive goes on with it at once.
      await queue.giveUp(all.map((one) => one.claimed)).catch((error) => log.warn({ error }, "steps that were stopped could not be given back"));
    },
  };
}

function outcome(model: Model): [RunState, string | null] {
  const steps = [...model.steps.values()];
  const wrong = steps.find((step) => step.state === "failed" && step.items === undefined) ?? steps.find((step) => step.state === "failed");
  if (wrong !== undefined) return ["failed", `The step "${wrong.id}" failed: ${wrong.error ?? ""}`];
  const refused = steps.find((step) => step.state === "refused");
  if (refused !== undefined) return ["refused", refused.error ?? `The step "${refused.id}" refused.`];
  if (steps.every((step) => isGood(step.state) || step.state === "skipped")) return ["succeeded", null];
  return ["failed", "A step was ended from outside of the run."];
}
