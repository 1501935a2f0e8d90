import type { Columns } from "@millrace/sdk/api";
import type { Datasets } from "../datasets/index.js";
import { ApiError, invalid, type Platform } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import { openCache } from "./cache.js";
import { compareWithOffline } from "./check.js";
import { createFeast } from "./feast.js";
import { readHistorical } from "./historical-read.js";
import { listServices, listViews } from "./listing.js";
import { materialize } from "./materialize.js";
import { readOnline } from "./online.js";
import { type OnlineStore, postgresStore } from "./online-store.js";
import { readPush, readRows } from "./push.js";
import { openPushQueue } from "./push-queue.js";
import { openSchedule } from "./schedule.js";
import { isHeld } from "./sole-reader.js";
import { historicalFeaturesStep } from "./step.js";
import * as store from "./store.js";
import type { Features, LoggedPredictions, ModelsOfServices } from "./types.js";
import { openViews, type View } from "./views.js";

const deadlock = "40P01";
const noSuchView = "23503";

/** `loggedPredictions` is asked at the first comparison: serving is made after the features that it reads. */
export function createFeatures(
  platform: Platform,
  {
    projects,
    datasets,
    loggedPredictions,
    models,
    online = postgresStore(platform.db),
  }: { projects: Projects; datasets: Datasets; loggedPredictions?: LoggedPredictions; models?: ModelsOfServices; online?: OnlineStore },
): Features {
  const { db, duckdb, events } = platform;
  const views = openViews(projects);
  const cache = openCache(db, online);

  /** Rows are locked in one order, but for those that a materialization clears away: who meets it there tries again. */
  async function pushed(view: View, rows: store.RowArrays): Promise<{ id: number; change: store.Change }> {
    for (let attempt = 1; ; attempt++) {
      const id = await cache.idOf(view);
      try {
        return { id, change: await store.pushRows(platform, id, view.kind, rows, online.writer) };
      } catch (error) {
        const code = (error as { code?: string }).code;
        if (attempt === 5 || (code !== deadlock && code !== noSuchView && !isHeld(error))) throw error;
        if (code === noSuchView) cache.forget(view);
        if (isHeld(error)) await online.takeBack(id);
      }
    }
  }
  const put = openPushQueue(async (view, rows) => {
    const { id, change } = await pushed(view, rows);
    await online.committed(id);
    cache.changed(view, id, change);
  });
  async function pushInto(view: View, columns: Columns): Promise<void> {
    const rows = readPush(view, columns);
    if (rows.at.length > 0) await put(view, rows);
  }
  async function bringIn(view: View): Promise<number> {
    const dataset = await projects.get("dataset", view.dataset);
    for (let attempt = 1; ; attempt++) {
      try {
        const parts = { datasets, view, snapshot: dataset?.spec.mode === "snapshot", online };
        const { id, rows, change } = await materialize(platform, parts);
        await online.committed(id);
        if (change !== undefined) cache.changed(view, id, { change, rows: null });
        return rows;
      } catch (error) {
        // Somebody began to read the view from memory in the last moment.
        if (attempt === 3 || !isHeld(error)) throw error;
      }
    }
  }
  datasets.onlineBy(async (dataset, rows) => {
    const specs = (await views.all()).map((one) => one.spec).filter((spec) => spec.source.dataset === dataset.name);
    const plain = await Promise.all(specs.filter((spec) => spec.source.sql === undefined).map((spec) => views.view(spec.name)));
    if (plain.length === 0) {
      const others =
        specs.length === 0 ? "no feature view reads it" : `${specs.map((spec) => `"${spec.name}"`).join(", ")} reads it by SQL, and follows its versions`;
      throw invalid(`Nothing takes rows of the dataset "${dataset.name}" online as they are: ${others}.`);
    }
    const read = plain.map((view) => ({ view, rows: readRows(view, rows, dataset.zone) }));
    return {
      views: plain.map((view) => view.name),
      async take() {
        await Promise.all(read.map(({ view, rows: own }) => (own.at.length > 0 ? put(view, own) : undefined)));
      },
    };
  });
  const files = async ({ dataset }: View): Promise<string[]> => {
    const version = await datasets.latest(dataset);
    return version === undefined ? [] : (await datasets.partFiles(version)).map((part) => part.path);
  };

  // What a dataset accepts is there online without anyone asking for it, and so is the past of a view that is defined anew.
  events.subscribe("features", ["dataset.version_accepted", "project.applied"], async (event) => {
    for (const { spec, project } of await views.all()) {
      const applied = event.type === "project.applied";
      // A view with a schedule takes what was accepted when it is due.
      const concerned = applied ? project === event.subject : spec.source.dataset === event.subject && spec.materialize === undefined;
      if (!concerned) continue;
      try {
        const view = await views.view(spec.name);
        if (event.type === "project.applied") await store.forgetOthers(db, view);
        await bringIn(view);
      } catch (error) {
        // What the database refuses is tried again with the event; a broken source must not hold up the other views.
        if (typeof (error as { code?: unknown }).code === "string" && !(error instanceof ApiError)) throw error;
        platform.log.error({ error, view: spec.name }, "the view could not be materialized");
      }
    }
  });

  const schedule = openSchedule({ db, log: platform.log, views, materialize: bringIn });
  platform.clock.onTick("features", schedule);

  return {
    stepKinds: { historical_features: historicalFeaturesStep(platform, projects, datasets, views) },
    readOnline: async (service, request, at) => readOnline(cache, await views.service(service), request, at),
    service: async (name) => ((await projects.glance("feature_service", name)) ?? (await projects.require("feature_service", name))).spec,
    services: () => listServices(projects, models),
    historical: async (name, read) => readHistorical(duckdb, await views.service(name), read, files),
    feast: createFeast({ views, cache, push: pushInto, materialize: bringIn }),
    views: () => listViews(db, projects, views),

    async push(name, columns) {
      await pushInto(await views.view(name), columns);
      return { rows: Object.values(columns)[0]?.length ?? 0 };
    },
    materialize: async (name) => ({ rows: await bringIn(await views.view(name)) }),
    async check(name, query) {
      const service = await views.service(name);
      if (loggedPredictions === undefined) throw invalid("This server keeps no log of predictions.");
      return compareWithOffline(duckdb, service, await loggedPredictions(query), files);
    },
  };
}
