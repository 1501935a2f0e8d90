import { scheduleProblems } from "@millrace/sdk";
import type { Schedule, ScheduleEdit, ScheduleFiring } from "@millrace/sdk/api";
import type { ProjectSpec, ScheduleSpec } from "@millrace/sdk/spec";
import type { Transaction } from "kysely";
import type { Pipelines } from "../pipelines/index.js";
import { ApiError, conflict, invalid, notFound, type Platform } from "../platform/index.js";
import type { Definition, Projects } from "../projects/index.js";
import { createFirings, expandParams } from "./firing.js";
import { dueAt, localTime, momentsAfter } from "./moments.js";
import {
  blank,
  deleteSchedule,
  type FiringRow,
  findFiring,
  listFirings,
  lockSchedule,
  readSchedule,
  readSchedules,
  type ScheduleRow,
  schedulesWithOpenFirings,
  toFiring,
  writeSchedule,
} from "./store.js";
import type { Schedules } from "./types.js";

/** A schedule as it holds. */
interface Held {
  spec: ScheduleSpec;
  row: ScheduleRow;
  project: string | null;
}
const mostCreated = 10_000;

export function createSchedules(
  platform: Pick<Platform, "db" | "events" | "clock" | "log">,
  on: { projects: Projects; pipelines: Pick<Pipelines, "start" | "get" | "cancel"> },
): Schedules {
  const { db, events, clock, log } = platform;
  const firings = createFirings(platform, on.pipelines);

  clock.onTick("schedules", async (now) => {
    const [all, open] = await Promise.all([held(), schedulesWithOpenFirings(db)]);
    for (const one of all) {
      try {
        await firings.note(one.spec, now);
        await firings.settle(one.spec, isPaused(one), now);
      } catch (error) {
        log.error({ error, schedule: one.spec.name }, "a schedule could not be looked at; it is tried again at the next tick");
      }
    }
    for (const name of open) if (!all.some((one) => one.spec.name === name)) await settleGone(name);
  });
  // What waits for the end of a run need not wait for the next tick, which of a replayed clock is far away.
  events.subscribe("schedules", ["run.finished"], async () => {
    const open = new Set(await schedulesWithOpenFirings(db));
    if (open.size === 0) return;
    for (const one of await held()) if (open.has(one.spec.name)) await firings.settle(one.spec, isPaused(one), clock.now());
  });
  on.projects.review(review);

  /** A definition that is there no more: nothing waits any longer. */
  async function settleGone(name: string): Promise<void> {
    const [definition, row] = await Promise.all([on.projects.get("schedule", name), readSchedule(db, name)]);
    if (hold(row, definition) === undefined) await db.transaction().execute((transaction) => deleteSchedule(transaction, name));
  }

  async function held(): Promise<Held[]> {
    const [definitions, rows] = await Promise.all([on.projects.list("schedule"), readSchedules(db)]);
    const defined = definitions.map((one) => hold(rows.get(one.name) ?? blank(one.name), one));
    const names = new Set(definitions.map((one) => one.name));
    const created = [...rows.values()].flatMap((row) => (row.created === null || names.has(row.name) ? [] : [hold(row, undefined)]));
    return [...defined, ...created.filter((one) => one !== undefined)].filter((one) => one !== undefined).sort((a, b) => (a.spec.name < b.spec.name ? -1 : 1));
  }
  function hold(row: ScheduleRow, definition: Definition<"schedule"> | undefined): Held | undefined {
    const base = definition?.spec ?? row.created;
    return base === null || base === undefined ? undefined : { spec: { ...base, ...row.edited }, row, project: definition?.project ?? null };
  }
  async function require(name: string, database: Platform["db"] | Transaction<unknown> = db): Promise<Held> {
    const [definition, row] = await Promise.all([on.projects.get("schedule", name), readSchedule(database, name)]);
    const found = hold(row, definition);
    if (found === undefined) throw notFound("schedule", name);
    return found;
  }
  const isPaused = ({ row, spec }: Held): boolean => row.paused ?? spec.paused ?? false;

  async function check(spec: ScheduleSpec): Promise<void> {
    const pipelines = (await on.projects.list("pipeline")).map((one) => one.spec);
    const problems = scheduleProblems(spec, pipelines);
    if (problems.length > 0) throw invalid(`The schedule "${spec.name}" is wrong: ${problems.join("; ")}.`, { problems });
    if (momentsAfter(spec, clock.now(), 1).length === 0)
      throw invalid(`The schedule "${spec.name}" is wrong: the cron expression "${spec.cron}" has no moment.`);
  }

  /** What holds in place of a document's schedules. */
  async function review(document: ProjectSpec): Promise<string[]> {
    const wanted = document.schedules ?? [];
    if (wanted.length === 0) return [];
    const rows = await readSchedules(db);
    const taken = wanted.filter((one) => (rows.get(one.name)?.created ?? null) !== null).map((one) => `"${one.name}"`);
    if (taken.length > 0)
      throw conflict(
        `The ${taken.length === 1 ? "schedule" : "schedules"} ${taken.join(", ")} ${taken.length === 1 ? "was" : "were"} made by API. Delete what was made, or choose another name.`,
      );
    return wanted.flatMap((one) => {
      const row = rows.get(one.name);
      const edited = Object.keys(row?.edited ?? {});
      if (row !== undefined && row.paused !== null && row.paused !== (one.paused ?? false)) edited.push(row.paused ? "paused" : "resumed");
      if (edited.length === 0) return [];
      return [
        `The schedule "${one.name}" was edited on the server by ${row?.edited_by ?? "somebody"} (${edited.join(", ")}), and that stays: millrace schedule reset ${one.name}`,
      ];
    });
  }

  async function toSchedule({ spec, row, project }: Held & { row: ScheduleRow }): Promise<Schedule> {
    const paused = isPaused({ spec, row, project });
    const [last] = await listFirings(db, spec.name, { limit: 1 });
    const [next] = paused ? [] : momentsAfter(spec, clock.now(), 1);
    return {
      ...{
        name: spec.name,
        project,
        description: spec.description ?? null,
        pipeline: spec.pipeline,
        cron: spec.cron,
        zone: spec.zone,
        params: spec.params ?? {},
      },
      ...{ catchUp: spec.catchUp ?? "last", catchUpLimit: spec.catchUpLimit ?? 100, overlap: spec.overlap ?? "skip", jitter: spec.jitter ?? null, paused },
      edited: project === null ? [] : [...Object.keys(row.edited), ...(row.paused === null ? [] : ["paused"])],
      editedBy: row.edited_by,
      definedAt: spec.definedAt ?? null,
      next: next === undefined ? null : dueAt(spec.name, next, spec.jitter).toISOString(),
      last: last === undefined ? null : toFiring(last),
    };
  }

  /** A run's end is noted a moment after it. */
  async function asNow(row: FiringRow): Promise<ScheduleFiring> {
    const told = toFiring(row);
    if (row.outcome !== "started" || row.run_state !== null) return told;
    const run = await on.pipelines.get(row.id).catch(() => undefined);
    return { ...told, runState: run?.state ?? told.runState };
  }

  /** Changes a schedule's row; what was to come until now is dealt with by what held until now. */
  async function change(name: string, by: string, apply: (found: Held) => Promise<ScheduleRow> | ScheduleRow, event: string): Promise<Schedule> {
    const { spec } = await require(name);
    await firings.note(spec, clock.now());
    await db.transaction().execute(async (transaction) => {
      const row = await lockSchedule(transaction, name);
      const found = hold(row, await on.projects.get("schedule", name));
      if (found === undefined) throw notFound("schedule", name);
      const next = await apply(found);
      await writeSchedule(transaction, { ...next, looked_at: clock.now(), edited_by: by });
      await events.append(transaction, event, name, { schedule: name, by });
    });
    return toSchedule(await require(name));
  }

  return {
    schedules: async () => Promise.all((await held()).map(toSchedule)),
    schedule: async (name) => toSchedule(await require(name)),
    async create(schedule, by) {
      const { name } = schedule;
      await check(schedule);
      const defined = await on.projects.get("schedule", name);
      if (defined !== undefined) throw conflict(`The project "${defined.project}" defines a schedule "${name}". Edit it, or choose another name.`);
      await db.transaction().execute(async (transaction) => {
        const row = await lockSchedule(transaction, name);
        if (row.created !== null) throw conflict(`There is a schedule "${name}" already. Edit it, delete it, or choose another name.`);
        if ((await readSchedules(transaction)).size > mostCreated)
          throw conflict(`There are ${mostCreated.toLocaleString("en")} schedules already: delete some.`);
        await writeSchedule(transaction, { ...blank(name), created: schedule, edited_by: by, looked_at: clock.now() });
        await events.append(transaction, "schedule.created", name, { schedule: name, by });
      });
      return toSchedule(await require(name));
    },
    async edit(name, edit, by) {
      return change(
        name,
        by,
        async ({ row, spec, project }) => {
          const changed: ScheduleSpec = { ...spec, ...edit };
          await check(changed);
          // What was made by API is its own definition.
          return project === null ? { ...row, created: changed } : { ...row, edited: { ...row.edited, ...edit } satisfies ScheduleEdit };
        },
        "schedule.edited",
      );
    },
    async reset(name, by) {
      return change(
        name,
        by,
        ({ row, project }) => {
          if (project === null) throw conflict(`The schedule "${name}" is defined nowhere but here: there is nothing to reset it to.`);
          return { ...row, edited: {}, paused: null };
        },
        "schedule.edited",
      );
    },
    setPaused: (name, paused, by) => change(name, by, ({ row }) => ({ ...row, paused }), paused ? "schedule.paused" : "schedule.resumed"),
    async delete(name) {
      const found = await require(name);
      if (found.project !== null)
        throw conflict(
          `The project "${found.project}" defines the schedule "${name}": remove it there and apply, or pause it with: millrace schedule pause ${name}`,
        );
      const told = await toSchedule(found);
      await db.transaction().execute(async (transaction) => {
        await deleteSchedule(transaction, name);
        await events.append(transaction, "schedule.deleted", name, { schedule: name });
      });
      return told;
    },
    async fire(name, by) {
      const { spec } = await require(name);
      const row = await findFiring(db, await firings.manual(spec, by, clock.now()));
      if (row === undefined) throw new Error("The firing is there no more.");
      if (row.outcome === "failed") throw new ApiError(409, "CONFLICT", row.reason);
      return toFiring(row);
    },
    async next(name, count) {
      const { spec } = await require(name);
      return momentsAfter(spec, clock.now(), count).map((moment) => ({
        moment: moment.toISOString(),
        dueAt: dueAt(name, moment, spec.jitter).toISOString(),
        local: localTime(moment, spec.zone),
        params: expandParams(spec, moment),
      }));
    },
    async firings(name, { limit = 50, after }) {
      await require(name);
      const rows = await listFirings(db, name, { limit: limit + 1, after });
      const items = await Promise.all(rows.slice(0, limit).map(asNow));
      const last = items.at(-1);
      return rows.length > limit && last !== undefined ? { items, next: last.id } : { items };
    },
  };
}
