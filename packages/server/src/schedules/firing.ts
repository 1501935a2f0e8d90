/** What becomes of a schedule's moments: what is due is decided durably, before a run is asked for. */
import { expandScheduled } from "@millrace/sdk";
import type { PlainValue, ScheduleSpec } from "@millrace/sdk/spec";
import type { Transaction } from "kysely";
import type { Pipelines } from "../pipelines/index.js";
import { ApiError, newId, type Platform } from "../platform/index.js";
import { dueAt, firingId, momentsWithin } from "./moments.js";
import {
  decide,
  type FiringRow,
  forget,
  insertFiring,
  lockSchedule,
  markAsked,
  markFailed,
  markOver,
  openFirings,
  readSchedule,
  writeSchedule,
} from "./store.js";

/** A moment that is looked at so much later was missed, and is caught up with. */
const lateMs = 60_000;
const defaultCatchUp = 100;
const mostWaiting = 100;
/** Moments that came in time since the last look: as many as a minute's lateness has. */
const mostInTime = 10;

export function createFirings(
  platform: Pick<Platform, "db" | "events" | "clock" | "log">,
  pipelines: Pick<Pipelines, "start" | "get" | "cancel">,
): {
  /** Takes note of the moments that have come since the last look. */
  note(spec: ScheduleSpec, now: Date): Promise<void>;
  /** Starts what is due, and asks for what was decided before. */
  settle(spec: ScheduleSpec, paused: boolean, now: Date): Promise<void>;
  /** One for this moment, decided. */
  manual(spec: ScheduleSpec, by: string, now: Date): Promise<string>;
} {
  const { db, events, log } = platform;
  const paramsAt = (spec: ScheduleSpec, moment: Date): Record<string, PlainValue> => expandParams(spec, moment);

  async function tell(transaction: Transaction<unknown>, row: Pick<FiringRow, "id" | "schedule" | "moment">, outcome: string, reason: string): Promise<void> {
    const { id, schedule, moment } = row;
    const data = { schedule, moment: moment.toISOString(), outcome, reason, runId: outcome === "started" ? id : null };
    await events.append(transaction, "schedule.fired", schedule, data);
  }

  async function note(spec: ScheduleSpec, now: Date): Promise<void> {
    // A look without a lock: nearly always there is nothing.
    const known = await readSchedule(db, spec.name);
    const limit = spec.catchUp === "all" ? (spec.catchUpLimit ?? defaultCatchUp) : 1;
    const found = known.looked_at === null ? [] : momentsWithin(spec, known.looked_at, now, Math.max(limit, mostInTime) + 1);
    if (known.looked_at !== null && found.length === 0) return;
    await db.transaction().execute(async (transaction) => {
      const state = await lockSchedule(transaction, spec.name);
      // Another process has looked meanwhile, or it was edited.
      if (state.looked_at?.getTime() !== known.looked_at?.getTime()) return;
      await writeSchedule(transaction, { ...state, looked_at: now });
      // The first look is where it begins. What passes while it is paused does not count.
      if (state.looked_at === null || (state.paused ?? spec.paused ?? false)) return;
      const row = (moment: Date): FiringRow => ({
        ...{ id: firingId(spec.name, moment), schedule: spec.name, moment, due_at: dueAt(spec.name, moment, spec.jitter), decided_at: null },
        ...{ outcome: "waiting", manual: false, reason: "", params: paramsAt(spec, moment), asked: false, run_state: null },
      });
      const rows = found.map(row);
      const late = rows.filter((one) => now.getTime() - one.due_at.getTime() > lateMs);
      const wanted = spec.catchUp === "none" ? [] : late.slice(-limit);
      // Of those that nobody makes up for the newest is noted; that stands for all before it.
      const missed = late.slice(0, late.length - wanted.length).at(-1);
      if (missed !== undefined && !(spec.catchUp !== "none" && spec.catchUp !== "all" && late.length === 1)) {
        const why =
          spec.catchUp === "none"
            ? "no server came to it in time"
            : spec.catchUp === "all"
              ? `more than the last ${limit} are not made up for`
              : "a later one makes up for it";
        const reason = `${why}${late.length - wanted.length > 1 ? ", nor to those before it" : ""}`;
        if (await insertFiring(transaction, { ...missed, outcome: "missed", decided_at: now, reason, asked: true }))
          await tell(transaction, missed, "missed", reason);
      }
      // One that came in time makes up for the last late one.
      const inTime = rows.filter((one) => !late.includes(one));
      const caught = spec.catchUp !== "all" && inTime.length > 0 ? [] : wanted;
      for (const one of [...caught, ...inTime]) {
        const reason = caught.includes(one) ? `${one.moment.toISOString()} has passed, and is made up for` : `${one.moment.toISOString()} has come`;
        await insertFiring(transaction, { ...one, reason });
      }
      await forget(transaction, spec.name);
    });
  }

  /** Whether the run is under way. */
  async function isUnderWay(row: FiringRow): Promise<boolean> {
    try {
      const { state } = await pipelines.get(row.id);
      if (!over.has(state)) return true;
      await markOver(db, row.id, state);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) throw error;
      // Freed, or never begun.
      await markOver(db, row.id, "gone");
    }
    return false;
  }

  /** A firing's run has the firing's id: asked for twice, it is started once. */
  async function ask(spec: ScheduleSpec, row: FiringRow): Promise<boolean> {
    try {
      await pipelines.start({ id: row.id, pipeline: spec.pipeline, params: row.params, cause: { kind: "schedule", schedule: spec.name, reason: row.reason } });
      await markAsked(db, row.id);
      return true;
    } catch (error) {
      // What is ours may pass: the next look asks again.
      if (!(error instanceof ApiError) || error.status >= 500) throw error;
      log.warn({ schedule: spec.name, reason: error.message }, "a schedule's run can't be started");
      const reason = `${row.reason}; but the run can't be started: ${error.message}`;
      await db.transaction().execute(async (transaction) => {
        if (await markFailed(transaction, row.id, reason)) await tell(transaction, row, "failed", reason);
      });
      return false;
    }
  }

  async function settle(spec: ScheduleSpec, paused: boolean, now: Date): Promise<void> {
    const rows = await openFirings(db, spec.name);
    let underWay: FiringRow[] = [];
    for (const row of rows) {
      if (row.outcome !== "started") continue;
      if (!row.asked && !(await ask(spec, row))) continue;
      if (await isUnderWay(row)) underWay.push(row);
    }
    const waiting = rows.filter((row) => row.outcome === "waiting");
    const overlap = spec.overlap ?? "skip";
    for (const [place, row] of waiting.entries()) {
      if (row.due_at > now || paused) continue;
      const [busy] = underWay;
      if (busy !== undefined && overlap === "queue") {
        // The line has an end.
        for (const more of waiting.slice(place + mostWaiting)) await leave(more, `${mostWaiting} moments wait already`, now);
        return;
      }
      if (busy !== undefined && overlap === "skip") {
        await leave(row, `the run ${busy.id} for ${busy.moment.toISOString()} is under way`, now);
        continue;
      }
      if (overlap === "cancel_running") {
        for (const one of underWay) await endRun(one);
        if (underWay.length > 0) underWay = [];
      }
      const won = await db.transaction().execute(async (transaction) => {
        const mine = await decide(transaction, row.id, "started", row.reason, now);
        if (mine) await tell(transaction, row, "started", row.reason);
        return mine;
      });
      // Another process is at it.
      if (!won) return;
      if (await ask(spec, row)) underWay.push(row);
    }
  }
  async function leave(row: FiringRow, why: string, now: Date): Promise<void> {
    const reason = `${row.reason}; ${why}`;
    await db.transaction().execute(async (transaction) => {
      if (await decide(transaction, row.id, "skipped", reason, now)) await tell(transaction, row, "skipped", reason);
    });
  }
  async function endRun(row: FiringRow): Promise<void> {
    try {
      await pipelines.cancel(row.id);
    } catch (error) {
      // It is over by itself.
      if (!(error instanceof ApiError) || error.status >= 500) throw error;
    }
    await isUnderWay(row);
  }

  return {
    note,
    settle,
    async manual(spec, by, now) {
      const id = newId();
      const reason = `by ${by}`;
      const row: FiringRow = {
        ...{ id, schedule: spec.name, moment: now, due_at: now, decided_at: now, outcome: "started", manual: true, reason },
        ...{ params: paramsAt(spec, now), asked: false, run_state: null },
      };
      await db.transaction().execute(async (transaction) => {
        if (await insertFiring(transaction, row)) await tell(transaction, row, "started", reason);
      });
      await ask(spec, row);
      return id;
    },
  };
}

const over = new Set(["succeeded", "refused", "failed", "cancelled"]);

/** The params for a moment. */
export function expandParams({ params, zone }: Pick<ScheduleSpec, "params" | "zone">, moment: Date): Record<string, PlainValue> {
  return Object.fromEntries(
    Object.entries(params ?? {}).map(([name, value]) => [name, typeof value === "string" ? expandScheduled(value, moment, zone) : value]),
  );
}
