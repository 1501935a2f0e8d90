import type { Worker } from "node:worker_threads";
import { startThread } from "../../platform/index.js";
import type { Piece, SealerAsked, SealerDone, SealerOptions, SealerWork } from "./sealer.js";

export interface Sealing {
  /** Files of Parquet whose names begin with what they go `into`; whoever asks removes them. */
  ask(work: SealerWork): Promise<Piece[]>;
  close(): Promise<void>;
}

/** A thread, begun when it is needed, and again where it failed. */
export function openSealing(options: SealerOptions): Sealing {
  let thread: Worker | undefined;
  const waiting = new Map<number, { done: (pieces: Piece[]) => void; failed: (error: Error) => void }>();
  let last = 0;

  function start(): Worker {
    const worker = startThread(import.meta.url, "sealer", { workerData: options });
    const end = (why: string) => {
      if (thread === worker) thread = undefined;
      for (const { failed } of waiting.values()) failed(new Error(why));
      waiting.clear();
    };
    worker.on("message", ({ id, error, pieces }: SealerDone) => {
      const one = waiting.get(id);
      waiting.delete(id);
      if (error === null) one?.done(pieces);
      else one?.failed(new Error(`the log's rows could not be made a segment: ${error}`));
    });
    worker.on("error", (error) => end(`the thread that makes the log's segments failed: ${error.message}`));
    worker.on("exit", () => end("the thread that makes the log's segments ended"));
    // It keeps no process alive. Listening to it would.
    worker.unref();
    return worker;
  }
  return {
    ask: (work) =>
      new Promise((done, failed) => {
        const id = ++last;
        waiting.set(id, { done, failed });
        thread ??= start();
        thread.postMessage({ id, ...work } satisfies SealerAsked);
      }),
    close: async () => void (await thread?.terminate()),
  };
}
