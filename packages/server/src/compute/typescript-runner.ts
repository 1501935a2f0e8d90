/** The process that runs functions of bundles, one thing at a time: loads a step's bundle, gives its function what it was given, writes what it returns; or checks rows. */
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { StringDecoder } from "node:string_decoder";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import type { NotedInput } from "./files.js";
import type { FromRunner, RunMessage, ToRunner } from "./typescript-protocol.js";
import type { Cell } from "./typescript-tables.js";

/** What a bundle exports: the step as its module defines it. */
interface Bundled {
  step?: { name?: string; out?: Record<string, { columns?: Record<string, { type: string }> }>; run?: (context: object) => unknown };
}
const longestLine = 64 * 1024;
/** Let go by every step that ended: what the process holds for itself. */
const ownResources = new Set(["PipeWrap", "TTYWrap", "Immediate", "FSReqPromise", "FSReqCallback", "TickObject", "CloseReq"]);

/** Started by a person with a file that holds one step to run, it says what it says where it stands, and ends. */
const [, , alone] = process.argv;
const send = (message: FromRunner): void => {
  if (alone === undefined) process.send?.(message);
  else if (message.kind === "end") process.exit(message.error === null ? 0 : 1);
};
let current: { abort: AbortController; said: number; maxLogBytes: number } | undefined;

/** What is written to a standard stream goes to the log of the step, in its order. */
function capture(stream: "stdout" | "stderr"): void {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  const say = (text: string) => {
    if (current === undefined || current.said > current.maxLogBytes) return;
    current.said += text.length + 1;
    send({ kind: "line", stream, text: current.said > current.maxLogBytes ? `… what comes after ${current.maxLogBytes} bytes is dropped.` : text });
  };
  const write = (chunk: unknown, encoding?: unknown, done?: unknown): boolean => {
    const lines = (rest + (typeof chunk === "string" ? chunk : chunk instanceof Uint8Array ? decoder.write(Buffer.from(chunk)) : "")).split(/\r?\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) say(line);
    for (; rest.length > longestLine; rest = rest.slice(longestLine)) say(rest.slice(0, longestLine));
    const called = typeof encoding === "function" ? encoding : done;
    if (typeof called === "function") queueMicrotask(() => called());
    return true;
  };
  Object.assign(process[stream], { write });
  flushes.push(() => {
    if (rest !== "") say(rest);
    rest = "";
  });
}
const flushes: (() => void)[] = [];
if (alone === undefined) {
  capture("stdout");
  capture("stderr");
} else {
  // The file is written by whoever prepared the step.
  const message: RunMessage = JSON.parse(await readFile(alone, "utf8"));
  setImmediate(() => void runStep(message));
}

process.on("message", (message: ToRunner) => {
  if (message.kind === "cancel") current?.abort.abort(new Error("The step was cancelled."));
  else if (message.kind === "check") void import("./row-checks-runner.js").then(({ checkRows }) => checkRows(message, send)).then(send);
  else void runStep(message);
});
// Whoever started it is gone: nothing of it goes on.
process.on("disconnect", () => {
  try {
    process.kill(-process.pid, "SIGKILL");
  } catch {
    process.exit(1);
  }
});
let failed: (error: unknown) => void = (error) => {
  throw error;
};
process.on("uncaughtException", (error) => failed(error));
process.on("unhandledRejection", (error) => failed(error));

async function runStep(message: RunMessage): Promise<void> {
  const { environment, folder } = message;
  const before = process.cpuUsage();
  const abort = new AbortController();
  current = { abort, said: 0, maxLogBytes: message.maxLogBytes };
  const untouched = { ...process.env };
  Object.assign(process.env, environment);
  process.chdir(folder);
  let error: string | null = null;
  try {
    await new Promise<void>((resolve, reject) => {
      failed = reject;
      execute(message, abort.signal).then(resolve, reject);
    });
  } catch (thrown) {
    error = oneLine(thrown);
    process.stderr.write(`${textOf(thrown, path.dirname(message.bundle))}\n`);
  }
  failed = () => process.exit(1);
  for (const flush of flushes) flush();
  process.chdir("/");
  for (const name of Object.keys(process.env)) if (!(name in untouched)) delete process.env[name];
  Object.assign(process.env, untouched);
  current = undefined;
  const { user, system } = process.cpuUsage(before);
  // A timer, a socket or a process that the step left behind must not go on in the next one's time.
  const reusable = error === null && process.getActiveResourcesInfo().every((one) => ownResources.has(one));
  send({ kind: "end", error, memoryBytes: process.memoryUsage.rss(), cpuSeconds: (user + system) / 1e6, reusable });
}

async function execute({ bundle, step, note }: RunMessage, signal: AbortSignal): Promise<void> {
  const module: Bundled = await import(pathToFileURL(bundle).href);
  const definition = module.step;
  if (definition?.run === undefined) throw new Error(`The bundle holds no step "${step}". Apply the project again with the millrace command of this server.`);
  const written = new Set<string>();
  const outputs = Object.fromEntries(
    Object.entries(note.outputs).map(([name, { type, path: place }]) => {
      const write = async (value: unknown) => {
        await writeOutput(name, type, place, value, definition.out?.[name]?.columns);
        written.add(name);
      };
      return [name, { path: place, write }];
    }),
  );
  const made: unknown = await definition.run({
    inputs: Object.fromEntries(Object.entries(note.inputs).map(([name, input]) => [name, reader(input)])),
    params: note.params,
    outputs,
    run: note.run,
    step: note.step,
    log: (text: unknown) => void process.stdout.write(`${typeof text === "string" ? text : inspect(text)}\n`),
    progress: (done: number, total?: number, text?: string) =>
      send({
        kind: "report",
        text: JSON.stringify({ progress: { done, ...(total === undefined ? {} : { total }), ...(text === undefined ? {} : { message: text }) } }),
      }),
    signal,
  });
  for (const [name, value] of Object.entries(typeof made === "object" && made !== null ? made : {})) {
    const output = outputs[name];
    if (output === undefined) throw new Error(`It returned "${name}", which is none of its outputs: ${Object.keys(outputs).join(", ") || "it has none"}.`);
    if (value !== undefined) await output.write(value);
  }
  for (const [name, { path: place, type }] of Object.entries(note.outputs)) {
    if (written.has(name) || existsSync(place)) continue;
    throw new Error(
      type === "model"
        ? `The output "${name}" is missing: make the folder outputs.${name}.path and write the model's files there.`
        : `The output "${name}" is missing: return { ${name}: … }, or write it with outputs.${name}.write(…).`,
    );
  }
}

function reader(input: NotedInput): unknown {
  if ("items" in input) return input.items.map(reader);
  const { paths, folder, type } = input;
  const [first = ""] = paths;
  switch (type) {
    case "table":
      return {
        paths,
        rows: async () => {
          const all: Record<string, Cell>[] = [];
          for await (const batch of (await tables()).readRows(paths)) all.push(...batch);
          return all;
        },
        batches: async function* () {
          yield* (await tables()).readRows(paths);
        },
      };
    case "model":
      return { folder: folder ?? path.dirname(first), paths };
    case "file":
      return { path: first, text: () => readFile(first, "utf8"), bytes: async () => new Uint8Array(await readFile(first)) };
    default: {
      const json = async (): Promise<unknown> =>
        input.value !== undefined || paths.length === 0 ? (input.value ?? null) : JSON.parse(await readFile(first, "utf8"));
      return { path: first, json };
    }
  }
}
/** DuckDB is loaded by the first step that reads or writes rows. */
const tables = () => import("./typescript-tables.js");

async function writeOutput(name: string, type: string, place: string, value: unknown, columns?: Record<string, { type: string }>): Promise<void> {
  await mkdir(path.dirname(place), { recursive: true });
  switch (type) {
    case "table": {
      if (!isRows(value)) throw new Error(`The output "${name}" is a table: give an array of rows, each an object of values by column.`);
      const types = columns === undefined ? undefined : Object.fromEntries(Object.entries(columns).map(([column, one]) => [column, one.type]));
      await (await tables()).writeRows(name, place, value, types);
      return;
    }
    case "file":
      if (typeof value !== "string" && !(value instanceof Uint8Array)) throw new Error(`The output "${name}" is a file: give a text or bytes.`);
      return writeFile(place, value);
    case "model":
      throw new Error(`The output "${name}" is a model: make the folder outputs.${name}.path and write its files there.`);
    case "metrics": {
      const wrong =
        typeof value !== "object" || value === null ? "it" : Object.entries(value).find(([, one]) => typeof one !== "number" || !Number.isFinite(one))?.[0];
      if (wrong !== undefined)
        throw new Error(`The output "${name}" is metrics, finite numbers by name, and ${wrong === "it" ? wrong : `"${wrong}"`} is none.`);
      return writeFile(place, JSON.stringify(value));
    }
    default: {
      const text = JSON.stringify(value);
      if (text === undefined) throw new Error(`The output "${name}" is JSON, and what was given for it is none.`);
      return writeFile(place, text);
    }
  }
}
function isRows(value: unknown): value is Iterable<Record<string, unknown>> | AsyncIterable<Record<string, unknown>> {
  return typeof value === "object" && value !== null && (Symbol.iterator in value || Symbol.asyncIterator in value);
}

const oneLine = (thrown: unknown): string =>
  thrown instanceof Error ? `${thrown.name === "Error" ? "" : `${thrown.name}: `}${thrown.message}` : String(thrown);
/** As Node shows it, without where the bundle lies and what called the step. */
function textOf(thrown: unknown, bundles: string): string {
  if (!(thrown instanceof Error)) return inspect(thrown);
  const lines = (thrown.stack ?? String(thrown)).split("\n");
  const end = lines.findIndex((line) => line.includes("typescript-runner"));
  return (end < 0 ? lines : lines.slice(0, end))
    .join("\n")
    .replaceAll(`${pathToFileURL(bundles).href}/`, "")
    .replaceAll(`${bundles}/`, "");
}
