import { isDeepStrictEqual } from "node:util";
import { paramProblems } from "@millrace/sdk";
import type { Backfill } from "@millrace/sdk/api";
import type { PipelineSpec, PlainValue } from "@millrace/sdk/spec";
import type { Transaction } from "kysely";
import type { Pipelines } from "../pipelines/index.js";
import { ApiError, conflict, invalid, newId, notFound, openKeeper, type Platform } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import {
  type BackfillRow,
  cancelWaiting,
  endItem,
  findBackfill,
  type ItemRow,
  insertBackfill,
  listBackfills,
  listItems,
  lockBackfill,
  markAsked,
  openBackfills,
  setState,
  takeItems,
  waitAgain,
} from "./store.js";
import type { Backfills } from "./types.js";
import { valuesOf } from "./values.js";

/** Runs that are looked through for those that have succeeded. */
const mostRuns = 20_000;
const most = 10_000;
type End = "succeeded" | "refused" | "failed" | "cancelled";
const isEnd = (state: string): state is End => state === "succeeded" || state === "refused" || state === "failed" || state === "cancelled";

export function createBackfills(
  platform: Pick<Platform, "db" | "locks" | "events" | "clock" | "log">,
  on: {
    projects: Pick<Projects, "require">;
    pipelines: Pick<Pipelines, "start" | "get" | "list" | "cancel">;
    /** Of the dataset's newest version, in order. */
    partitions: (dataset: string) => Promise<string[]>;
  },
): Backfills {
  const { db, events, clock } = platform;
  const keeper = openKeeper(platform, "backfill", () => openBackfills(db), work);
  let unwatch = () => {};

  async function work(id: string): Promise<void> {
    for (const item of await listItems(db, id, { state: "running", limit: most })) await lookAt(id, item);
    const row = await findBackfill(db, id);
    if (row === undefined || row.state !== "running") return;
    await db.transaction().execute(async (transaction) => {
      const locked = await lockBackfill(transaction, id);
      const now = await findBackfill(transaction, id);
      if (locked?.state !== "running" || now === undefined) return;
      const { waiting, running, failed, cancelled, total } = now.progress;
      const undone = failed + cancelled;
      const places = Math.min(locked.at_once - running, waiting);
      if (places > 0) await takeItems(transaction, id, Array.from({ length: places }, newId));
      else if (waiting + running === 0)
        await finish(transaction, locked, undone > 0 ? "failed" : "succeeded", undone > 0 ? `${undone} of ${total} failed or were cancelled.` : null);
    });
    for (const item of await listItems(db, id, { state: "running", limit: most })) if (!item.asked) await ask(row, item);
  }
  async function finish(transaction: Transaction<unknown>, { id, pipeline }: BackfillRow, state: BackfillRow["state"], message: string | null): Promise<void> {
    await setState(transaction, id, state, message, clock.now());
    await events.append(transaction, "backfill.finished", id, { backfill: id, pipeline, state, ...(message === null ? {} : { message }) });
  }

  /** What has become of a run that was started. */
  async function lookAt(id: string, item: ItemRow): Promise<void> {
    if (item.run_id === null) return;
    const row = await findBackfill(db, id);
    if (row === undefined) return;
    // It is asked for first, also where the backfill was cancelled meanwhile: then the run is, too.
    if (!item.asked) await ask(row, item);
    const run = await pipelineRun(item.run_id);
    if (run === undefined) return;
    if (isEnd(run.state)) await endItem(db, id, item, run.state, run.message);
    else if (row.state === "cancelled") await endRun(item.run_id);
  }
  async function pipelineRun(id: string) {
    try {
      return await on.pipelines.get(id);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    }
  }
  async function ask({ id, pipeline, param, params }: BackfillRow, item: ItemRow): Promise<void> {
    if (item.run_id === null) return;
    try {
      const cause = { kind: "backfill", backfill: id, reason: `${param} is ${String(item.value)}` };
      await on.pipelines.start({ id: item.run_id, pipeline, params: { ...params, [param]: item.value }, cause });
      await markAsked(db, id, item.n, item.run_id);
    } catch (error) {
      // What is ours may pass: the next look asks again.
      if (!(error instanceof ApiError) || error.status >= 500) throw error;
      await endItem(db, id, item, "failed", `The run can't be started: ${error.message}`);
      keeper.wake();
    }
  }
  async function endRun(id: string): Promise<void> {
    try {
      await on.pipelines.cancel(id);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status >= 500) throw error;
    }
  }

  /** Values with which a run of the pipeline has succeeded, the other params being equal. */
  async function succeeded(spec: PipelineSpec, param: string, given: Record<string, PlainValue>): Promise<Set<string>> {
    const wanted = Object.fromEntries(
      spec.params.flatMap(({ name, default: usual }) => {
        const value = given[name] ?? usual;
        return name === param || value === undefined ? [] : [[name, value]];
      }),
    );
    const found = new Set<string>();
    let after: string | undefined;
    for (let seen = 0; seen < mostRuns; ) {
      const page = await on.pipelines.list({ pipeline: spec.name, state: "succeeded", limit: 1_000, ...(after === undefined ? {} : { after }) });
      for (const { params } of page.items) {
        const { [param]: value, ...rest } = params;
        if (isDeepStrictEqual(rest, wanted)) found.add(JSON.stringify(value));
      }
      seen += page.items.length;
      after = page.next;
      if (after === undefined) break;
    }
    return found;
  }

  async function require(id: string): Promise<Backfill> {
    const row = await findBackfill(db, id);
    if (row === undefined) throw notFound("backfill", id);
    return toBackfill(row);
  }
  /** Moves it from one of the states, or says why that can't be. */
  async function change(
    id: string,
    from: BackfillRow["state"][],
    what: string,
    apply: (transaction: Transaction<unknown>, row: BackfillRow) => Promise<void>,
  ): Promise<Backfill> {
    await db.transaction().execute(async (transaction) => {
      const row = await lockBackfill(transaction, id);
      if (row === undefined) throw notFound("backfill", id);
      if (!from.includes(row.state)) throw conflict(`The backfill ${id} can't be ${what}: it is ${row.state}.`);
      await apply(transaction, row);
    });
    keeper.wake();
    return require(id);
  }

  return {
    async start(request, by) {
      const { pipeline, param, params = {}, id = newId() } = request;
      const { spec } = await on.projects.require("pipeline", pipeline);
      if (params[param] !== undefined) throw invalid(`The param "${param}" is what the backfill goes through: it can't be given too.`);
      if (request.over.kind === "partitions") await on.projects.require("dataset", request.over.dataset);
      const values = await valuesOf(request.over, on.partitions);
      const problems = paramProblems(spec, params, [param]);
      for (const value of values) {
        problems.push(
          ...paramProblems(
            spec,
            { [param]: value },
            spec.params.map((one) => one.name),
          ),
        );
        if (problems.length > 0) break;
      }
      if (problems.length > 0) throw invalid(`The backfill of "${pipeline}" is wrong: ${problems.join("; ")}.`, { problems });
      if (request.order === "newest_first") values.reverse();
      const done = request.skipSucceeded === true ? await succeeded(spec, param, params) : new Set<string>();
      const row: BackfillRow = {
        ...{
          id,
          pipeline,
          param,
          params,
          at_once: request.atOnce ?? 1,
          state: "running",
          message: null,
          created_by: by,
          created_at: clock.now(),
          finished_at: null,
        },
      };
      await db.transaction().execute(async (transaction) => {
        const items = values.map((value) => ({ value, skipped: done.has(JSON.stringify(value)) }));
        if (await insertBackfill(transaction, row, items))
          await events.append(transaction, "backfill.started", id, { backfill: id, pipeline, values: values.length, by });
      });
      const made = await require(id);
      if (made.pipeline !== pipeline || made.param !== param) throw conflict(`The backfill ${id} is one of the pipeline "${made.pipeline}".`);
      keeper.wake();
      return made;
    },
    get: require,
    async list({ pipeline, limit = 50, after }) {
      const rows = await listBackfills(db, { pipeline, limit: limit + 1, after });
      const items = rows.slice(0, limit).map(toBackfill);
      const last = items.at(-1);
      return rows.length > limit && last !== undefined ? { items, next: last.id } : { items };
    },
    async items(id, { state, limit = 100, after }) {
      await require(id);
      const from = after === undefined ? undefined : Number(after);
      if (from !== undefined && !Number.isSafeInteger(from)) throw invalid("`after` is what the page before gave as `next`.");
      const rows = await listItems(db, id, { state, limit: limit + 1, after: from });
      const items = rows
        .slice(0, limit)
        .map(({ n, value, state: now, attempt, run_id, message }) => ({ n, value, state: now, attempt, runId: run_id, message }));
      const last = items.at(-1);
      return rows.length > limit && last !== undefined ? { items, next: String(last.n) } : { items };
    },
    pause: (id) => change(id, ["running"], "paused", (transaction) => setState(transaction, id, "paused", null, null)),
    resume: (id) => change(id, ["paused"], "resumed", (transaction) => setState(transaction, id, "running", null, null)),
    cancel: (id) =>
      change(id, ["running", "paused"], "cancelled", async (transaction, row) => {
        await cancelWaiting(transaction, id);
        await finish(transaction, row, "cancelled", null);
      }),
    retry: (id) =>
      change(id, ["running", "paused", "failed", "cancelled"], "retried", async (transaction, row) => {
        if ((await waitAgain(transaction, id)) === 0) throw conflict(`Nothing of the backfill ${id} has failed or was cancelled.`);
        await setState(transaction, id, row.state === "paused" ? "paused" : "running", null, null);
      }),
    launch() {
      keeper.start();
      unwatch = events.watch(() => keeper.wake());
    },
    async stop() {
      unwatch();
      await keeper.stop();
    },
  };
}

type Told = NonNullable<Awaited<ReturnType<typeof findBackfill>>>;
const toBackfill = (row: Told): Backfill => ({
  ...{ id: row.id, pipeline: row.pipeline, param: row.param, params: row.params, atOnce: row.at_once, state: row.state, message: row.message },
  ...{ progress: row.progress, first: row.first, last: row.last, createdBy: row.created_by },
  createdAt: row.created_at.toISOString(),
  finishedAt: row.finished_at?.toISOString() ?? null,
});
