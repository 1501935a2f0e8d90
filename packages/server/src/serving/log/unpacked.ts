import { open, readdir, rm } from "node:fs/promises";
import path from "node:path";
import type { Worker } from "node:worker_threads";
import { literal, parquet, startThread } from "../../platform/index.js";
import { packedStart } from "./packed.js";
import { columnList } from "./schema.js";
import type { SpoolFile } from "./spool.js";
import type { UnpackAsked, UnpackDone, Unpacked } from "./unpack.js";

let thread: Worker | undefined;
const waiting = new Map<number, { done: (made: Unpacked) => void; failed: (error: Error) => void }>();
let last = 0;

/**
 * Gives `work` the rows of a finished file as a relation with its schema's columns and `line`, in which order they came.
 */
export async function withRows<T>({ path: file, schema }: SpoolFile, work: (relation: string) => Promise<T>): Promise<T> {
  const types = [...schema, ["line", "BIGINT"]].map(([name = "", type = ""]) => `${literal(name)}: ${literal(type)}`);
  const json = (of: string, columns: string[]) => `read_json(${literal(of)}, format = 'newline_delimited', columns = {${columns.join(", ")}})`;
  if (!(await isPacked(file))) return work(`(select *, row_number() over () as line from ${json(file, types.slice(0, -1))})`);
  const into = `${file}.unpacked`;
  try {
    const { parquet: files, rest } = await unpack({ file, schema, columns: columnList(schema), into });
    const sources = [...(files.length === 0 ? [] : [parquet(files)]), ...(rest === null ? [] : [json(rest, types)])];
    return await work(`(${sources.map((source) => `select * from ${source}`).join(" union all by name ")})`);
  } finally {
    for (const name of await readdir(path.dirname(file)))
      if (name.startsWith(path.basename(into))) await rm(path.join(path.dirname(file), name), { force: true });
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

function unpack(asked: Omit<UnpackAsked, "id">): Promise<Unpacked> {
  const id = ++last;
  return new Promise((done, failed) => {
    waiting.set(id, { done, failed });
    thread ??= start();
    thread.postMessage({ id, ...asked } satisfies UnpackAsked);
  });
}
function start(): Worker {
  const worker = startThread(import.meta.url, "unpack");
  const end = (why: string) => {
    if (thread === worker) thread = undefined;
    for (const { failed } of waiting.values()) failed(new Error(why));
    waiting.clear();
  };
  worker.on("message", ({ id, error, ...made }: UnpackDone) => {
    const one = waiting.get(id);
    waiting.delete(id);
    if (error === null) one?.done(made);
    else one?.failed(new Error(`the log's rows could not be read: ${error}`));
  });
  worker.on("error", (error) => end(`the thread that reads the log's rows failed: ${error.message}`));
  worker.on("exit", () => end("the thread that reads the log's rows ended"));
  // It keeps no process alive. Listening to it would.
  worker.unref();
  return worker;
}
