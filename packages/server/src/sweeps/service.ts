import { createHash } from "node:crypto";
import { sweepProblems } from "@millrace/sdk";
import type { RunDetail, SweepRun } from "@millrace/sdk/api";
import type { SweepSpec } from "@millrace/sdk/spec";
import type { Transaction } from "kysely";
import type { Compute } from "../compute/index.js";
import type { Pipelines } from "../pipelines/index.js";
import { ApiError, conflict, invalid, newId, notFound, openKeeper, type Platform } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import { importances } from "./importance.js";
import { openOptuna } from "./optuna.js";
import { gridPoint, type Params, randomPoint, trialCount } from "./search.js";
import { type Curve, judge } from "./stopping.js";
import {
  endTrial,
  findSweep,
  insertSweep,
  insertTrials,
  listSweeps,
  listTrials,
  lockSweep,
  markAsked,
  markLinked,
  markTracked,
  openSweeps,
  type SweepRow,
  setJudged,
  setMessage,
  setSeen,
  setState,
  setTracking,
  type TrialRow,
  toSweep,
  toTrial,
} from "./store.js";
import { closeRoot, curveOf, linkTrial, openRoot, type Point, type SweepTracking } from "./track.js";
import type { Sweeps } from "./types.js";

/** Trials that a stopping rule compares with. */
const compared = 500;
const curvesShown = 100;
const curvesKept = 2_000;
const attempts = 3;
const over = new Set(["succeeded", "refused", "failed", "cancelled"]);

export function createSweeps(
  platform: Pick<Platform, "db" | "locks" | "events" | "clock" | "log">,
  on: {
    projects: Pick<Projects, "get" | "require" | "list">;
    pipelines: Pick<Pipelines, "start" | "get" | "cancel">;
    tracking: SweepTracking;
    compute: Pick<Compute, "environment">;
  },
): Sweeps {
  const { db, events, clock, log } = platform;
  const { pipelines, tracking } = on;
  const optuna = openOptuna(on.compute, log);
  const keeper = openKeeper(platform, "sweep", () => openSweeps(db), work);
  let unwatch = () => {};
  /** Of trials that are over: what they have said changes no more. */
  const curves = new Map<string, Point[]>();
  const refusals = new Map<string, number>();

  async function work(id: string): Promise<void> {
    let row = await findSweep(db, id);
    if (row === undefined) return;
    if (row.tracking_run_id === null && row.state === "running") {
      const { runId, experimentId } = await openRoot(tracking, row);
      await setTracking(db, id, runId, experimentId);
      row = { ...row, tracking_run_id: runId, experiment_id: experimentId };
    }
    for (const trial of await listTrials(db, id, { running: true })) await lookAt(row, trial);
    if (row.spec.stop !== undefined && (row.state === "running" || row.state === "paused")) await stopBad(row);
    if (row.state === "running") await refill(row);
    await close(id);
  }

  /** What has become of a trial's run. */
  async function lookAt(row: SweepRow, trial: TrialRow): Promise<void> {
    // It is asked for first, also where the sweep was cancelled meanwhile: then the run is, too.
    if (!trial.asked && !(await ask(row, trial))) return;
    const run = await pipelines.get(trial.run_id).catch((error) => {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    });
    if (run === undefined)
      return endTrial(db, row.id, trial.n, { state: "failed", value: null, step: null, message: "Its run is there no more.", at: clock.now() });
    const { trackingRunId } = run;
    if (!trial.linked && trackingRunId !== null && row.tracking_run_id !== null) {
      await linkTrial(tracking, row.tracking_run_id, trackingRunId, trial.n);
      await markLinked(db, row.id, trial.n, trackingRunId);
    }
    const last =
      trackingRunId === null ? undefined : (await curveOf(tracking, trackingRunId, row.spec.goal.metric)).findLast(([, value]) => Number.isFinite(value));
    if (over.has(run.state)) await end(row, trial, run, last);
    else if (row.state === "cancelled" || row.state === "failed" || trial.stopping !== null) await endRun(trial.run_id);
    else if (last !== undefined && (last[0] !== trial.step || last[1] !== trial.value)) await setSeen(db, row.id, trial.n, last[1], last[0]);
  }
  async function end(row: SweepRow, trial: TrialRow, run: RunDetail, last: Point | undefined): Promise<void> {
    const { metric } = row.spec.goal;
    const told = run.metrics[metric] ?? last?.[1];
    const ended = { value: told ?? null, step: last?.[0] ?? null, at: clock.now() };
    // A gate that says no has measured all the same.
    if (run.state === "succeeded" || run.state === "refused") {
      if (told !== undefined && Number.isFinite(told))
        return endTrial(db, row.id, trial.n, { ...ended, state: "succeeded", message: run.state === "refused" ? run.message : null });
      const known = Object.keys(run.metrics);
      const there = known.length === 0 ? "" : `; there ${known.length === 1 ? "is" : "are"} ${known.slice(0, 10).join(", ")}`;
      return endTrial(db, row.id, trial.n, {
        ...ended,
        value: null,
        state: "failed",
        message: `Its run says no number "${metric}"${there}. Log it in a step, or let the pipeline evaluate.`,
      });
    }
    if (run.state === "cancelled" && trial.stopping !== null) return endTrial(db, row.id, trial.n, { ...ended, state: "stopped", message: trial.stopping });
    return endTrial(db, row.id, trial.n, { ...ended, value: null, state: run.state === "cancelled" ? "cancelled" : "failed", message: run.message });
  }
  async function endRun(id: string): Promise<void> {
    try {
      await pipelines.cancel(id);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status >= 500) throw error;
    }
    keeper.wake();
  }

  async function stopBad(row: SweepRow): Promise<void> {
    const { stop, goal } = row.spec;
    if (stop === undefined) return;
    const trials = await listTrials(db, row.id, { limit: compared });
    if (!trials.some((trial) => trial.state === "running")) return;
    const all: Curve[] = [];
    for (const trial of trials) {
      if (trial.state === "failed" || trial.state === "cancelled") continue;
      all.push({ n: trial.n, complete: trial.state === "succeeded", judged: trial.judged ?? 0, points: await curve(row, trial) });
    }
    for (const trial of trials) {
      const mine = all.find((one) => one.n === trial.n);
      if (trial.state !== "running" || trial.stopping !== null || mine === undefined) continue;
      const verdict = judge(stop, goal, mine, all);
      if (verdict === undefined) continue;
      await setJudged(db, row.id, trial.n, verdict.judged, verdict.stop ?? null);
      if (verdict.stop !== undefined) await endRun(trial.run_id);
    }
  }
  async function curve(row: SweepRow, trial: TrialRow): Promise<Point[]> {
    const key = `${row.id}/${trial.n}`;
    const known = curves.get(key);
    if (known !== undefined) return known;
    if (trial.tracking_run_id === null) return [];
    const said = await curveOf(tracking, trial.tracking_run_id, row.spec.goal.metric);
    // What a run has come to in the end is tracked at step 0, and is no part of its way.
    const points = said.length > 1 && trial.state !== "running" ? said.filter(([step, value]) => step !== 0 || value !== trial.value) : said;
    if (trial.state !== "running") {
      curves.set(key, points);
      const [oldest] = curves.keys();
      if (curves.size > curvesKept && oldest !== undefined) curves.delete(oldest);
    }
    return points;
  }

  /** Begins trials while there are places, and ends the sweep where there is nothing more to do. */
  async function refill(row: SweepRow): Promise<void> {
    const { spec, id } = row;
    const trials = await listTrials(db, id);
    const running = trials.filter((trial) => trial.state === "running").length;
    const failed = trials.filter((trial) => trial.state === "failed").length;
    const places = Math.min((spec.atOnce ?? 2) - running, row.trials - trials.length);
    if (failed > (spec.maxFailed ?? 10)) {
      const last = trials.findLast((trial) => trial.state === "failed");
      return void (await finish(
        row,
        "failed",
        `${failed} trials failed, and ${spec.maxFailed ?? 10} may. The last of them: ${last?.message ?? "its run says why."}`,
        trials.length,
      ));
    }
    if (places <= 0) {
      if (running > 0 || trials.length < row.trials) return;
      const done = trials.some((trial) => trial.state === "succeeded");
      return void (await finish(row, done ? "succeeded" : "failed", done ? null : "No trial has told a value.", trials.length));
    }
    const points = await suggest(row, trials, places);
    if (points === undefined) return;
    const rows = points.map((params, i) => ({ n: trials.length + i, params, run_id: newId(), started_at: clock.now() }));
    const mine = await db.transaction().execute(async (transaction) => {
      const locked = await lockSweep(transaction, id);
      // It was paused or cancelled, or another process has begun these.
      if (locked?.state !== "running" || (await listTrials(transaction, id)).length !== trials.length) return false;
      await insertTrials(transaction, id, rows);
      return true;
    });
    if (!mine) return keeper.wake();
    for (const trial of await listTrials(db, id, { running: true })) if (!trial.asked) await ask(row, trial);
  }
  async function suggest({ id, spec }: SweepRow, trials: TrialRow[], count: number): Promise<Params[] | undefined> {
    const numbers = Array.from({ length: count }, (_, i) => trials.length + i);
    if (spec.search === "grid") return numbers.map((n) => gridPoint(spec.over, n));
    if (spec.search === "random") return numbers.map((n) => randomPoint(spec.over, spec.seed ?? 0, n));
    try {
      const seed = createHash("sha256")
        .update(`${spec.seed ?? 0} ${trials.length}`)
        .digest()
        .readUInt32BE();
      const points = await optuna.suggest({
        over: spec.over,
        direction: spec.goal.direction,
        seed,
        startup: Math.min(10, Math.ceil((spec.trials ?? 20) / 3)),
        count,
        trials,
      });
      refusals.delete(id);
      await setMessage(db, id, null);
      return points;
    } catch (error) {
      const why = `There are no values to try: ${error instanceof Error ? error.message : String(error)}`.slice(0, 2_000);
      const refused = (refusals.get(id) ?? 0) + 1;
      refusals.set(id, refused);
      log.warn({ sweep: id, error }, "the search gives no values");
      const row = await findSweep(db, id);
      if (refused >= attempts && row !== undefined) await finish(row, "failed", why, trials.length);
      else await setMessage(db, id, `${why} It is tried again.`);
      return undefined;
    }
  }
  async function ask({ id, pipeline, spec }: SweepRow, trial: TrialRow): Promise<boolean> {
    try {
      const cause = { kind: "sweep", sweep: id, reason: `trial ${trial.n}` };
      await pipelines.start({ id: trial.run_id, pipeline, params: { ...spec.params, ...trial.params }, cause });
      await markAsked(db, id, trial.n);
      return true;
    } catch (error) {
      // What is ours may pass: the next look asks again.
      if (!(error instanceof ApiError) || error.status >= 500) throw error;
      await endTrial(db, id, trial.n, { state: "failed", value: null, step: null, message: `Its run can't be started: ${error.message}`, at: clock.now() });
      return false;
    }
  }
  async function finish({ id }: SweepRow, state: SweepRow["state"], message: string | null, seen: number): Promise<void> {
    await db.transaction().execute(async (transaction) => {
      const locked = await lockSweep(transaction, id);
      if (locked?.state !== "running" || (await listTrials(transaction, id)).length !== seen) return;
      await tellEnd(transaction, locked, state, message);
    });
    keeper.wake();
  }
  async function tellEnd(transaction: Transaction<unknown>, { id, pipeline }: SweepRow, state: SweepRow["state"], message: string | null): Promise<void> {
    await setState(transaction, id, state, message, clock.now());
    await events.append(transaction, "sweep.finished", id, { sweep: id, pipeline, state, ...(message === null ? {} : { message }) });
  }
  /** Once all its runs are over, its own tracked run is ended. */
  async function close(id: string): Promise<void> {
    const row = await findSweep(db, id);
    if (row === undefined || row.tracked || row.state === "running" || row.state === "paused" || row.progress.running > 0) return;
    await closeRoot(tracking, row);
    await markTracked(db, id);
  }

  async function require(id: string): Promise<SweepRun> {
    const row = await findSweep(db, id);
    if (row === undefined) throw notFound("sweep", id);
    return toSweep(row);
  }
  async function change(
    id: string,
    from: SweepRow["state"][],
    what: string,
    apply: (transaction: Transaction<unknown>, row: SweepRow) => Promise<void>,
  ): Promise<SweepRun> {
    await db.transaction().execute(async (transaction) => {
      const row = await lockSweep(transaction, id);
      if (row === undefined) throw notFound("sweep", id);
      if (!from.includes(row.state)) throw conflict(`The sweep ${id} can't be ${what}: it is ${row.state}.`);
      await apply(transaction, row);
    });
    keeper.wake();
    return require(id);
  }

  return {
    async start({ sweep, id = newId(), ...given }, by) {
      const defined = sweep === undefined ? undefined : (await on.projects.require("sweep", sweep)).spec;
      const { pipeline, over: tried, search, goal, ...rest } = { ...defined, ...given };
      if (pipeline === undefined || tried === undefined || search === undefined || goal === undefined)
        throw invalid("A sweep names a `pipeline`, its values (`over`), a `search` and a `goal`; or `sweep`, which is one that a project defines.");
      await on.projects.require("pipeline", pipeline);
      const { trials, atOnce, seed, stop, params, maxFailed } = rest;
      const spec: Omit<SweepSpec, "name"> = {
        ...{ pipeline, over: tried, search, goal },
        ...(trials === undefined ? {} : { trials }),
        ...(atOnce === undefined ? {} : { atOnce }),
        ...(seed === undefined ? {} : { seed }),
        ...(stop === undefined ? {} : { stop }),
        ...(params === undefined ? {} : { params }),
        ...(maxFailed === undefined ? {} : { maxFailed }),
      };
      const problems = sweepProblems(
        spec,
        (await on.projects.list("pipeline")).map((one) => one.spec),
      );
      if (problems.length > 0) throw invalid(`The sweep is wrong: ${problems.join("; ")}.`, { problems });
      const count = trialCount(search, tried, trials);
      await db.transaction().execute(async (transaction) => {
        const row = { id, definition: sweep ?? null, pipeline, spec, trials: count, created_by: by, created_at: clock.now() };
        if (await insertSweep(transaction, row)) await events.append(transaction, "sweep.started", id, { sweep: id, pipeline, trials: count, by });
      });
      const made = await require(id);
      if (made.pipeline !== pipeline) throw conflict(`The sweep ${id} is one of the pipeline "${made.pipeline}".`);
      keeper.wake();
      return made;
    },
    get: async (id) => ({ ...(await require(id)), trials: (await listTrials(db, id)).map(toTrial) }),
    async list({ pipeline, limit = 50, after }) {
      const rows = await listSweeps(db, { pipeline, limit: limit + 1, after });
      const items = rows.slice(0, limit).map(toSweep);
      const last = items.at(-1);
      return rows.length > limit && last !== undefined ? { items, next: last.id } : { items };
    },
    async plots(id) {
      const row = await findSweep(db, id);
      if (row === undefined) throw notFound("sweep", id);
      const trials = await listTrials(db, id);
      const better = row.spec.goal.direction === "maximize" ? Math.max : Math.min;
      let best: number | undefined;
      const history = trials.flatMap(({ n, state, value }) => {
        if (value === null || (state !== "succeeded" && state !== "stopped")) return [];
        if (state === "succeeded") best = best === undefined ? value : better(best, value);
        return best === undefined ? [] : [{ n, value, best, stopped: state === "stopped" }];
      });
      const measured = trials.flatMap(({ state, params, value }) => (state === "succeeded" && value !== null ? [{ params, value }] : []));
      const shown = [];
      for (const trial of trials.slice(-curvesShown)) {
        const points = (await curve(row, trial)).filter(([, value]) => Number.isFinite(value));
        if (points.length > 1) shown.push({ n: trial.n, points: points.map(([step, value]): [number, number] => [step, value]) });
      }
      return { history, importance: importances(row.spec.over, measured), curves: shown };
    },
    pause: (id) => change(id, ["running"], "paused", (transaction) => setState(transaction, id, "paused", null, null)),
    resume: (id) => change(id, ["paused"], "resumed", (transaction) => setState(transaction, id, "running", null, null)),
    cancel: (id) => change(id, ["running", "paused"], "cancelled", (transaction, row) => tellEnd(transaction, row, "cancelled", null)),
    launch() {
      keeper.start();
      unwatch = events.watch(() => keeper.wake());
    },
    async stop() {
      unwatch();
      // A question that is under way is not waited for.
      await Promise.all([optuna.stop(), keeper.stop()]);
    },
  };
}
