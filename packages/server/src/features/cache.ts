/**
 * Timelines of entities in memory. Before they are used, the database is asked how far each view has changed, and what changed since is
 * taken over: a reader sees everything that was committed before it asked, also by other processes. Readers that ask at once share one
 * question. Where nobody else can have changed a view, nobody asks.
 */
import { ApiError, type Platform } from "../platform/index.js";
import type { OnlineStore } from "./online-store.js";
import { holds, isDue, type Moment } from "./sole-reader.js";
import * as store from "./store.js";
import { newTimeline, setRow, type Timeline } from "./timeline.js";
import type { Micros } from "./times.js";
import type { Value } from "./values.js";
import type { View } from "./views.js";
import type { OnlineRow } from "./window.js";

const mostRows = 2_000_000;
/** What was used among so many reads counts as used at one time. */
const readsOfRound = 1_000;
const oneDay = 86_400_000_000;

interface CachedView {
  id: number;
  seen: number;
  /** The newest change that this process made itself. */
  own: number;
  /** When the last answer was asked for that said that nobody else changes the view. */
  alone: Moment | undefined;
  /** The place of the creation among a row's values, where there is one. */
  created: number | undefined;
  timelines: Map<string, Timeline>;
}
const keyOf = (view: View): string => `${view.name}/${view.digest}`;
/** What a request needs of a view: for each entity the earliest moment at which it is asked for. */
export interface Needed {
  view: View;
  entities: Map<string, Micros>;
}

export function openCache(db: Platform["db"], online: OnlineStore) {
  const views = new Map<string, CachedView>();
  let kept = 0;
  let reads = 0;
  let round = 0;
  const parsed = new Map<string, Value[]>();

  /** Most rows of a window view are one of few: they share their values. */
  function valuesOf(text: string): Value[] {
    let values = parsed.get(text);
    if (values === undefined) {
      values = JSON.parse(text) as Value[];
      if (parsed.size >= 10_000) parsed.clear();
      parsed.set(text, values);
    }
    return values;
  }

  function rowOf(view: CachedView, at: Micros, key: string, n: number, text: string): OnlineRow {
    const values = valuesOf(text);
    return { at, key, n, values, known: view.created === undefined ? at : Math.max(at, Number(values[view.created])) };
  }

  function forget(view: CachedView): void {
    for (const timeline of view.timelines.values()) kept -= timeline.rows.length + 1;
    view.timelines.clear();
  }

  async function catchUp(): Promise<void> {
    if (views.size === 0) return;
    // Those of before the question: it says nothing about others.
    const asked = [...views];
    const standings = await online.standings(asked.map(([, view]) => view.id));
    await Promise.all(
      asked.map(async ([key, view]) => {
        const standing = standings.get(view.id);
        if (standing === undefined) {
          forget(view);
          if (views.get(key) === view) views.delete(key);
          return;
        }
        const { change: newest, alone } = standing;
        // At once: who wants to change the view waits for that.
        if (alone === undefined) view.alone = undefined;
        if (newest > view.seen) take(view, view.timelines.size === 0 ? [] : await online.changesSince(view.id, view.seen), newest);
        view.alone = alone;
      }),
    );
  }
  function take(view: CachedView, told: store.Change[], newest: number): void {
    const changes = told.filter(({ change }) => change > view.seen);
    const last = changes.at(-1)?.change ?? view.seen;
    const whole = changes.length === last - view.seen && last >= newest && changes.every((change) => change.rows !== null);
    if (!whole) forget(view);
    else {
      for (const { change, rows } of changes) {
        for (const [entity, at, key, text, n] of rows ?? []) {
          const timeline = view.timelines.get(entity);
          if (timeline === undefined || at < timeline.first || change <= timeline.change) continue;
          const before = timeline.rows.length;
          setRow(timeline, rowOf(view, at, key, n, text));
          kept += timeline.rows.length - before;
        }
      }
    }
    view.seen = Math.max(newest, last);
  }

  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  /** Resolves when everything committed before the call is here. */
  function fresh(): Promise<void> {
    if (running === undefined) {
      running = catchUp().finally(() => {
        running = undefined;
      });
      return running;
    }
    // The question under way may have been asked too early for this reader.
    next ??= running
      .catch(() => {})
      .then(() => {
        next = undefined;
        return fresh();
      });
    return next;
  }

  async function cachedView(view: View): Promise<CachedView> {
    const key = keyOf(view);
    const known = views.get(key);
    if (known !== undefined) return known;
    const id = await store.onlineId(db, view);
    const made = views.get(key) ?? {
      id,
      seen: 0,
      own: 0,
      alone: undefined,
      created: view.created === undefined ? undefined : view.columns.length,
      timelines: new Map(),
    };
    views.set(key, made);
    return made;
  }

  /** Whether what is here is all that was committed. */
  const isSure = (view: CachedView): boolean => view.alone !== undefined && holds(view.alone) && view.seen >= view.own;

  const since = (view: View, at: Micros): Micros => (view.kind === "window" ? at - view.longest : view.timestamp === undefined ? 0 : at);
  const covers = (view: View, timeline: Timeline, at: Micros) => timeline.from <= since(view, at) + (view.kind === "window" ? 1 : 0);

  /** The timelines of what is needed, all as of one moment of the database that is not before the call. The caller uses them before it waits for anything. */
  async function timelines(needed: Needed[]): Promise<Map<string, Timeline>[]> {
    const own = await Promise.all(needed.map(({ view }) => cachedView(view)));
    if (!own.every(isSure)) await fresh();
    // Renewed in time, so that nobody waits for it.
    else if (running === undefined && own.some(({ alone }) => alone !== undefined && isDue(alone))) void fresh().catch(() => {});
    for (;;) {
      let ahead = false;
      const loads = needed.map(({ view, entities }, i) => {
        const load: [string, Micros][] = [];
        for (const [entity, at] of entities) {
          const timeline = own[i]?.timelines.get(entity);
          if (timeline === undefined || !covers(view, timeline, at)) load.push([entity, at]);
          else if (timeline.change > (own[i]?.seen ?? 0)) ahead = true;
        }
        return load;
      });
      if (loads.every((load) => load.length === 0)) {
        if (!ahead) break;
        // What was read last is newer than the rest: everything is brought to one state.
        await fresh();
        continue;
      }
      await Promise.all(loads.map((load, i) => loadInto(needed[i]?.view, own[i], load)));
    }
    const found = own.map(({ timelines: all }, i) => {
      const chosen = new Map<string, Timeline>();
      for (const entity of needed[i]?.entities.keys() ?? []) {
        const timeline = all.get(entity);
        if (timeline === undefined) continue;
        chosen.set(entity, timeline);
        if (timeline.round === round) continue;
        // The map's order is that of the round of the last use.
        timeline.round = round;
        all.delete(entity);
        all.set(entity, timeline);
      }
      return chosen;
    });
    if (++reads % readsOfRound === 0) round++;
    if (kept > mostRows) evict();
    return found;
  }

  async function loadInto(view: View | undefined, own: CachedView | undefined, load: [string, Micros][]): Promise<void> {
    if (view === undefined || own === undefined || load.length === 0) return;
    const slack = view.kind === "window" ? oneDay : 0;
    const rows = await online.loadEntities(
      own.id,
      view.kind,
      load.map(([entity]) => entity),
      load.map(([, at]) => since(view, at) - slack),
    );
    for (const { entity, first, from, at, key, row_values, n, change } of rows) {
      // Read before changes that were taken over meanwhile: it would lack them. The next round reads it again.
      if (change < own.seen) continue;
      const before = own.timelines.get(entity);
      if (before !== undefined) kept -= before.rows.length + 1;
      const made = at.map((moment, i) => rowOf(own, moment, key[i] ?? "", n[i] ?? 0, row_values[i] ?? "[]"));
      const all = Number.NEGATIVE_INFINITY;
      own.timelines.set(entity, newTimeline({ first: first ?? all, from: from ?? all, change }, made));
      kept += made.length + 1;
    }
    // The view was defined anew: nothing can be read under the old number.
    if (rows.length === 0) throw new ApiError(503, "CHANGED", `The view "${view.name}" was defined anew at this moment. Repeat the request.`);
  }

  /** Gives up the timelines that were not used for longest. */
  function evict(): void {
    for (const view of views.values()) {
      for (const [entity, timeline] of view.timelines) {
        if (kept <= mostRows * 0.8) return;
        view.timelines.delete(entity);
        kept -= timeline.rows.length + 1;
        if (view.timelines.size <= 1) break;
      }
    }
  }
  return {
    timelines,
    /** The number under which the view's rows are kept. */
    idOf: async (view: View): Promise<number> => (await cachedView(view)).id,
    /** The number is another one when the view was defined anew, and back again. */
    forget(view: View): void {
      const own = views.get(keyOf(view));
      if (own !== undefined) forget(own);
      views.delete(keyOf(view));
    },
    /** Takes over a change that this process made itself, where it is the next one: nothing has to be asked then. Called before it is acknowledged. */
    changed(view: View, id: number, change: store.Change): void {
      const own = views.get(keyOf(view));
      if (own?.id !== id) return;
      own.own = Math.max(own.own, change.change);
      if (change.change === own.seen + 1) take(own, [change], change.change);
    },
  };
}
export type Cache = ReturnType<typeof openCache>;
