import { durationMs } from "@millrace/sdk";
import type { Trigger } from "@millrace/sdk/api";
import type { Datasets } from "../datasets/index.js";
import type { Monitoring } from "../monitoring/index.js";
import type { Pipelines } from "../pipelines/index.js";
import { ApiError, newId, notFound, type Platform } from "../platform/index.js";
import type { Definition, Projects } from "../projects/index.js";
import { describe, type Found, isActive, look, nextMoment } from "./conditions.js";
import {
  type FiringRow,
  insertFiring,
  lastAttempt,
  listFirings,
  lockState,
  markAsked,
  markImpossible,
  readState,
  toFiring,
  unasked,
  writeState,
} from "./store.js";
import type { Triggers } from "./types.js";

export function createTriggers(
  platform: Pick<Platform, "db" | "events" | "clock" | "log">,
  on: {
    projects: Projects;
    pipelines: Pick<Pipelines, "start" | "get" | "lastRun">;
    datasets: Pick<Datasets, "latest">;
    monitoring: Pick<Monitoring, "latest">;
  },
): Triggers {
  const { db, events, clock, log } = platform;

  clock.onTick("triggers", async (now) => {
    for (const trigger of await on.projects.list("trigger")) {
      try {
        await askForRuns(trigger);
        await decide(trigger, now);
        await askForRuns(trigger);
      } catch (error) {
        log.error({ error, trigger: trigger.name }, "a trigger could not be looked at; it is tried again at the next tick");
      }
    }
  });

  /** Decides once for all conditions; the decision is durable before anything follows from it. */
  async function decide({ name, spec }: Definition<"trigger">, now: Date): Promise<void> {
    const lastRun = await on.pipelines.lastRun(spec.pipeline);
    const attempt = await lastAttempt(db, name);
    const { looked_at: lookedAt } = await readState(db, name);
    const found: Found[] = [];
    for (const condition of spec.when) {
      const one = await look(condition, { now, lookedAt, attempt, lastRun }, on);
      if (one !== undefined) found.push(one);
    }
    const active = attempt?.outcome === "started" && attempt.run_id !== null && isActive(await on.pipelines.get(attempt.run_id));

    await db.transaction().execute(async (transaction) => {
      const state = await lockState(transaction, name);
      // Another process has looked meanwhile.
      if (state.looked_at?.getTime() !== lookedAt?.getTime() || (await lastAttempt(transaction, name))?.id !== attempt?.id) return;
      const write = (change: Partial<typeof state>) => writeState(transaction, name, { ...state, looked_at: now, ...change });
      if (state.paused || found.length === 0) return write({ deferred: [] });

      const cooling = state.cool_down_until !== null && now < state.cool_down_until;
      if (!active && !cooling) {
        const until = spec.coolDown === undefined ? null : new Date(now.getTime() + durationMs(spec.coolDown));
        const id = newId();
        await fire({
          id,
          trigger: name,
          at: now,
          condition: found.map((one) => one.condition).join(", "),
          outcome: "started",
          reason: found.map((one) => one.reason).join("; "),
          run_id: id,
        });
        return write({ cool_down_until: until, deferred: [] });
      }
      const why = active ? "the run that it started is under way" : `until ${state.cool_down_until?.toISOString()} the trigger cools down`;
      for (const { kind, condition, reason } of found) {
        if (kind === "level" && state.deferred.includes(condition)) continue;
        await fire({
          id: newId(),
          trigger: name,
          at: now,
          condition,
          outcome: kind === "edge" ? "skipped" : "deferred",
          reason: `${reason}; ${why}`,
          run_id: null,
        });
      }
      return write({ deferred: found.filter((one) => one.kind === "level").map((one) => one.condition) });

      async function fire(row: FiringRow): Promise<void> {
        await insertFiring(transaction, { ...row, asked: row.run_id === null });
        const { trigger, condition, outcome, reason, run_id: runId } = row;
        await events.append(transaction, "trigger.fired", trigger, { trigger, condition, outcome, reason, runId });
      }
    });
  }

  /** A firing's run has the firing's id: asked for twice, it is started once. */
  async function askForRuns({ name, spec }: Definition<"trigger">): Promise<void> {
    for (const { id, condition, reason, run_id: runId } of await unasked(db, name)) {
      try {
        await on.pipelines.start({
          pipeline: spec.pipeline,
          cause: { kind: "trigger", trigger: name, reason },
          ...(spec.params === undefined ? {} : { params: spec.params }),
          ...(runId === null ? {} : { id: runId }),
        });
        await markAsked(db, id);
      } catch (error) {
        // What is ours may pass: the next tick asks again.
        if (!(error instanceof ApiError) || error.status >= 500) throw error;
        log.warn({ trigger: name, reason: error.message }, "a trigger's run can't be started");
        const skipped = { trigger: name, condition, outcome: "skipped", reason: `${reason}; but the run can't be started: ${error.message}`, runId: null };
        await db.transaction().execute(async (transaction) => {
          // Only who decides it tells of it.
          if (await markImpossible(transaction, id, skipped.reason)) await events.append(transaction, "trigger.fired", name, skipped);
        });
      }
    }
  }

  async function definition(name: string): Promise<Definition<"trigger">> {
    const found = await on.projects.get("trigger", name);
    if (found === undefined) throw notFound("trigger", name);
    return found;
  }
  async function toTrigger({ name, project, spec }: Definition<"trigger">): Promise<Trigger> {
    const [state, [last]] = await Promise.all([readState(db, name), listFirings(db, name, 1)]);
    const now = clock.now();
    const moments = spec.when.flatMap((condition) => (condition.kind === "cron" ? [nextMoment(condition, now)] : [])).filter((moment) => moment !== null);
    const next = moments.sort((a, b) => a.getTime() - b.getTime())[0];
    return {
      name,
      project,
      pipeline: spec.pipeline,
      paused: state.paused,
      conditions: spec.when.map(describe),
      coolDownUntil: state.cool_down_until !== null && state.cool_down_until > now ? state.cool_down_until.toISOString() : null,
      nextCron: next?.toISOString() ?? null,
      lastFiring: last === undefined ? null : toFiring(last),
    };
  }

  return {
    triggers: async () => Promise.all((await on.projects.list("trigger")).map(toTrigger)),
    trigger: async (name) => toTrigger(await definition(name)),
    async firings(name, limit) {
      await definition(name);
      return (await listFirings(db, name, limit)).map(toFiring);
    },
    async setPaused(name, paused) {
      const trigger = await definition(name);
      await db.transaction().execute(async (transaction) => {
        const state = await lockState(transaction, name);
        if (state.paused === paused) return;
        await writeState(transaction, name, { ...state, paused });
        await events.append(transaction, paused ? "trigger.paused" : "trigger.resumed", name, { trigger: name });
      });
      return toTrigger(trigger);
    },
  };
}
