/** Threads for what would hold up the event loop. A model is in one of them, those with the fewest models first. */
import { availableParallelism } from "node:os";
import type { Worker } from "node:worker_threads";
import { startThread } from "../../platform/index.js";
import type { Tensor, TensorSpec } from "../types.js";
import type { Measured } from "./cost.js";
import type { Providers } from "./session.js";

export type ToThread = { id: number; model: number } & (
  | { kind: "open"; file: string; providers: Providers }
  | { kind: "run"; inputs: Tensor[]; outputs: readonly string[] }
  | { kind: "close" }
);
interface Opened {
  inputs: TensorSpec[];
  outputs: TensorSpec[];
  measured: Measured | undefined;
}
export type FromThread = { id: number } & (
  | ({ kind: "opened" } & Opened)
  | { kind: "ran"; outputs: Tensor[]; ms: number }
  | { kind: "closed" }
  | { kind: "failed"; message: string }
);
type Reply<K extends FromThread["kind"]> = Extract<FromThread, { kind: K }>;

interface Thread {
  worker: Worker;
  models: number;
  gone: boolean;
  waiting: Map<number, { done: (said: FromThread) => void; failed: (error: Error) => void }>;
}
export interface InThread extends Opened {
  run(inputs: readonly Tensor[], outputs: readonly string[]): Promise<{ outputs: Tensor[]; ms: number }>;
  close(): Promise<void>;
}

const mostThreads = Math.max(1, Math.min(4, availableParallelism() - 1));
const threads: Thread[] = [];
let last = 0;

/** The first one starts before a model is there for it: the runtime takes longer to load than a small model. */
export function startFirst(): void {
  if (threads.length === 0) chosen();
}

/** Opens the model there and runs it on zeros. Throws what the runtime says. */
export async function openInThread(file: string, providers: Providers): Promise<InThread> {
  const model = ++last;
  let thread = chosen();
  thread.models++;
  let opened: Reply<"opened">;
  try {
    opened = await ask(thread, { kind: "open", file, providers, model }, "opened");
  } catch (error) {
    thread.models--;
    throw error;
  }
  let reopening: Promise<Thread> | undefined;
  /** A thread that ended took its models with it. */
  function there(): Thread | Promise<Thread> {
    if (!thread.gone) return thread;
    reopening ??= (async () => {
      const next = chosen();
      await ask(next, { kind: "open", file, providers, model }, "opened");
      next.models++;
      thread = next;
      return next;
    })().finally(() => {
      reopening = undefined;
    });
    return reopening;
  }
  return {
    ...opened,
    run: async (inputs, outputs) => ask(await there(), { kind: "run", inputs: inputs.map(movable), outputs, model }, "ran"),
    async close() {
      if (thread.gone) return;
      await ask(thread, { kind: "close", model }, "closed");
      thread.models--;
    },
  };
}

function chosen(): Thread {
  const known = threads.reduce<Thread | undefined>((best, one) => (best === undefined || one.models < best.models ? one : best), undefined);
  if (known !== undefined && (known.models === 0 || threads.length >= mostThreads)) return known;
  const thread: Thread = { worker: startThread(import.meta.url, "thread"), models: 0, gone: false, waiting: new Map() };
  const end = (error: Error) => {
    if (thread.gone) return;
    thread.gone = true;
    threads.splice(threads.indexOf(thread), 1);
    for (const { failed } of thread.waiting.values()) failed(error);
  };
  thread.worker.on("message", (said: FromThread) => {
    thread.waiting.get(said.id)?.done(said);
    thread.waiting.delete(said.id);
  });
  thread.worker.on("error", (error) => end(new Error(`the thread that runs the model failed: ${error.message}`)));
  thread.worker.on("exit", () => end(new Error("the thread that runs the model ended")));
  // It keeps no process alive. Listening to it would.
  thread.worker.unref();
  threads.push(thread);
  return thread;
}

type Asking<T> = T extends unknown ? Omit<T, "id"> : never;
function ask<K extends FromThread["kind"]>(thread: Thread, asked: Asking<ToThread>, kind: K): Promise<Reply<K>> {
  const id = ++last;
  return new Promise((resolve, reject) => {
    if (thread.gone) return void reject(new Error("the thread that runs the model ended"));
    const done = (said: FromThread) => {
      if (isReply(said, kind)) resolve(said);
      else reject(new Error(said.kind === "failed" ? said.message : `the thread answered ${said.kind} where ${kind} was asked`));
    };
    thread.waiting.set(id, { done, failed: reject });
    const moved = asked.kind === "run" ? asked.inputs.flatMap(({ data }) => ("buffer" in data && data.buffer instanceof ArrayBuffer ? data.buffer : [])) : [];
    thread.worker.postMessage({ ...asked, id }, moved);
  });
}
const isReply = <K extends FromThread["kind"]>(said: FromThread, kind: K): said is Reply<K> => said.kind === kind;

/** A copy, so that it can be moved: what is given may be a part of a body, or be asked of another thread again. */
function movable(tensor: Tensor): Tensor {
  return { ...tensor, data: tensor.data.slice() };
}
