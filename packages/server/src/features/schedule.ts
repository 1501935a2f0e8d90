import type { Platform } from "../platform/index.js";
import * as store from "./store.js";
import type { View, Views } from "./views.js";

/** Views that say how often they are materialized: at each whole multiple of that since 1970, by one process; what was missed is made up for once. */
export function openSchedule({ db, log, views, materialize }: Pick<Platform, "db" | "log"> & { views: Views; materialize: (view: View) => Promise<number> }) {
  const done = new Map<string, number>();
  return async (now: Date): Promise<void> => {
    for (const { spec } of await views.all()) {
      if (spec.materialize === undefined) continue;
      try {
        const view = await views.view(spec.name);
        const due = Math.floor(now.getTime() / (view.every ?? 1)) * (view.every ?? 1);
        const key = `${view.name}/${view.digest}`;
        if ((done.get(key) ?? 0) >= due) continue;
        if (await store.isDue(db, view, due)) {
          await materialize(view);
          await store.markDue(db, view, due);
        }
        done.set(key, due);
      } catch (error) {
        log.error({ error, view: spec.name }, "the view could not be materialized");
      }
    }
  };
}
