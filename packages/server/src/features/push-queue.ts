/** Pushes to a view that come while one is committed go together in the next commit: they would wait for each other's anyway. */
import { ApiError } from "../platform/index.js";
import type { RowArrays } from "./store.js";
import type { View } from "./views.js";

const mostRows = 10_000;
const mostWaiting = 20_000;

interface Waiting {
  rows: RowArrays;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/** `commit` makes rows durable and visible. What it refuses is refused to all whose rows went together. */
export function openPushQueue(commit: (view: View, rows: RowArrays) => Promise<void>) {
  const queues = new Map<string, Waiting[]>();

  async function drain(key: string, view: View, queue: Waiting[]): Promise<void> {
    while (queue.length > 0) {
      let rows = 0;
      let n = 0;
      do rows += queue[n++]?.rows.at.length ?? 0;
      while (n < queue.length && rows + (queue[n]?.rows.at.length ?? 0) <= mostRows);
      const batch = queue.splice(0, n);
      try {
        await commit(view, batch.length === 1 && batch[0] !== undefined ? batch[0].rows : together(view, batch));
        for (const one of batch) one.resolve();
      } catch (error) {
        for (const one of batch) one.reject(error);
      }
    }
    queues.delete(key);
  }

  return (view: View, rows: RowArrays): Promise<void> => {
    const key = `${view.name}/${view.digest}`;
    return new Promise((resolve, reject) => {
      const queue = queues.get(key);
      if (queue !== undefined && queue.length >= mostWaiting) {
        reject(new ApiError(503, "BUSY", `More is pushed to "${view.name}" than can be stored. Send the rows again, many in one push.`));
        return;
      }
      if (queue !== undefined) queue.push({ rows, resolve, reject });
      else {
        const made = [{ rows, resolve, reject }];
        queues.set(key, made);
        void drain(key, view, made);
      }
    });
  };
}

/** As one push after the other would leave it: of equal rows as many as the largest push had, of a latest view's the one pushed last. */
function together(view: View, batch: Waiting[]): RowArrays {
  const made: RowArrays = { entity: [], at: [], key: [], values: [], n: [], known: [] };
  const places = new Map<string, number>();
  for (const { rows } of batch) {
    for (const [i, at] of rows.at.entries()) {
      const [entity = "", key = "", values = "", n = 0, known = null] = [rows.entity[i], rows.key[i], rows.values[i], rows.n[i], rows.known[i]];
      const id = `${entity} ${at} ${key}`;
      const place = places.get(id);
      if (place !== undefined) {
        if (view.kind === "latest") made.values[place] = values;
        else made.n[place] = Math.max(made.n[place] ?? 0, n);
        continue;
      }
      places.set(id, made.at.push(at) - 1);
      made.entity.push(entity);
      made.key.push(key);
      made.values.push(values);
      made.n.push(n);
      made.known.push(known);
    }
  }
  return made;
}
