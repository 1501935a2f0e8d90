import type { Columns } from "@millrace/sdk/api";
import type { LoadedModel } from "../inference/index.js";

const mostRows = 4_096;
interface Waiting {
  columns: Columns;
  rows: number;
  done: (probability: Float64Array) => void;
  failed: (error: unknown) => void;
}

/**
 * Requests that come to the model in the same turn of the event loop run through it together: a run of few rows costs mostly what
 * any run costs. Where they fail together each runs alone, so that nobody pays for another's rows.
 */
export function batched(model: LoadedModel): LoadedModel {
  let waiting: Waiting[] = [];

  function flush(): void {
    const all = waiting;
    waiting = [];
    let batch: Waiting[] = [];
    let rows = 0;
    for (const one of all) {
      if (batch.length > 0 && rows + one.rows > mostRows) {
        void run(batch, rows);
        batch = [];
        rows = 0;
      }
      batch.push(one);
      rows += one.rows;
    }
    if (batch.length > 0) void run(batch, rows);
  }
  async function run(batch: Waiting[], rows: number): Promise<void> {
    const [first] = batch;
    if (first === undefined) return;
    if (batch.length === 1) return model.predict(first.columns, rows).then(first.done, first.failed);
    try {
      const together = Object.fromEntries(Object.keys(first.columns).map((name) => [name, batch.flatMap(({ columns }) => columns[name] ?? [])]));
      const probability = await model.predict(together, rows);
      let from = 0;
      for (const one of batch) {
        one.done(probability.slice(from, from + one.rows));
        from += one.rows;
      }
    } catch {
      for (const one of batch) await model.predict(one.columns, one.rows).then(one.done, one.failed);
    }
  }

  return {
    predict: (columns, rows) =>
      new Promise((done, failed) => {
        waiting.push({ columns, rows, done, failed });
        if (waiting.length === 1) setImmediate(flush);
      }),
    close: () => model.close(),
  };
}
