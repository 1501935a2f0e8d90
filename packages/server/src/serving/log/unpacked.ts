import { open, rm } from "node:fs/promises";
import type { Worker } from "node:worker_threads";
import { startThread } from "../../platform/index.js";
import { packedStart } from "./packed.js";
import type { UnpackAsked, UnpackDone } from "./unpack.js";

let thread: Worker | undefined;
const waiting = new Map<number, { done: () => void; failed: (error: Error) => void }>();
let last = 0;

/** Gives `work` the file with a line for each row. */
export async function withUnpacked<T>(file: string, work: (path: string) => Promise<T>): Promise<T> {
  if (!(await isPacked(file))) return work(file);
  const into = `${file}.unpacked`;
  try {
    await unpack(file, into);
    return await work(into);
  } finally {
    await rm(into, { force: true });
    await rm(`${into}.partial`, { force: true });
  }
}

/** All lines of a file are of one endpoint with one schema; among packed ones there may be others, and the other way round. */
async function isPacked(file: string): Promise<boolean> {
  const handle = await open(file, "r");
  try {
    for await (const line of handle.readLines({ autoClose: false })) if (line.startsWith(packedStart)) return true;
    return false;
  } finally {
    await handle.close();
  }
}

function unpack(file: string, into: string): Promise<void> {
  const id = ++last;
  const asked: UnpackAsked = { id, file, into };
  return new Promise((done, failed) => {
    waiting.set(id, { done, failed });
    thread ??= start();
    thread.postMessage(asked);
  });
}
function start(): Worker {
  const worker = startThread(import.meta.url, "unpack");
  const end = (why: string) => {
    if (thread === worker) thread = undefined;
    for (const { failed } of waiting.values()) failed(new Error(why));
    waiting.clear();
  };
  worker.on("message", ({ id, error }: UnpackDone) => {
    const one = waiting.get(id);
    waiting.delete(id);
    if (error === null) one?.done();
    else one?.failed(new Error(`the log's rows could not be read: ${error}`));
  });
  worker.on("error", (error) => end(`the thread that reads the log's rows failed: ${error.message}`));
  worker.on("exit", () => end("the thread that reads the log's rows ended"));
  // It keeps no process alive. Listening to it would.
  worker.unref();
  return worker;
}
