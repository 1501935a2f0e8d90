/** The thread that gives rows to functions. Whatever one of them does, the thread that started this one can tell where it was. */
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { parentPort, workerData } from "node:worker_threads";
import type { CheckThread, FunctionOutcome, ThreadAnswer } from "./row-checks-protocol.js";
import { type Cell, readRows } from "./typescript-tables.js";

type Row = Readonly<Record<string, Cell>>;
interface Running {
  index: number;
  check: (row: Row) => unknown;
  certain: string[];
  /** Shown of a row. */
  shown: string[];
  failing: number;
  examples: Record<string, string | number | boolean | null>[];
  /** It goes no further. */
  problem?: FunctionOutcome;
}
const mostShown = 20;
const shownOfAll = 8;
const longestText = 200;
const duckDbMemory = "512MB";

const given: CheckThread = workerData;
const { at } = given;

const tell = (said: ThreadAnswer) => parentPort?.postMessage(said);
// What a function began and did not wait for. The thread lives on until it is told of: a reading that is cut off can take the whole process with it.
process.on("uncaughtException", (thrown) => tell({ crash: textOf(thrown) }));
tell({ outcomes: await run() });

async function run(): Promise<FunctionOutcome[]> {
  const running: Running[] = [];
  const outcomes: FunctionOutcome[] = [];
  for (const [index, one] of given.functions.entries()) {
    at[1] = -1;
    at[0] = index;
    const loaded = await load(one.bundle);
    at[0] = -1;
    if ("problem" in loaded) {
      outcomes[index] = loaded;
      continue;
    }
    const columns = one.columns ?? given.columns;
    const shown = one.columns === undefined || one.columns.length === 0 ? given.columns.slice(0, shownOfAll) : one.columns.slice(0, mostShown);
    running.push({ index, ...loaded, certain: given.certain.filter((name) => columns.includes(name)), shown, failing: 0, examples: [] });
  }
  let before = 0;
  if (running.length > 0) {
    for await (const rows of readRows(given.files, { columns: given.columns, memoryLimit: duckDbMemory })) {
      // They are all given the same rows: none may change one under the others.
      for (const row of rows) Object.freeze(row);
      for (const one of running) if (one.problem === undefined) checkBatch(one, rows, before);
      before += rows.length;
      if (running.every((one) => one.problem !== undefined)) break;
    }
  }
  for (const one of running) outcomes[one.index] = one.problem ?? { failing: one.failing, examples: one.examples };
  return outcomes;
}

async function load(bundle: string): Promise<Pick<Running, "check"> | { problem: string; row: null }> {
  try {
    const module: { check?: unknown } = await import(pathToFileURL(bundle).href);
    const { check } = module;
    if (typeof check !== "function")
      return { problem: "is not in its bundle: write it, or its schema, at the top of a module, and apply the project again", row: null };
    return { check: (row) => Reflect.apply(check, undefined, [row]) };
  } catch (thrown) {
    return { problem: `has a module that can't be loaded: ${textOf(thrown)}`, row: null };
  }
}

function checkBatch(one: Running, rows: readonly Row[], before: number): void {
  const { check, certain, index } = one;
  at[0] = index;
  try {
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i];
      if (row === undefined || certain.some((name) => row[name] === null)) continue;
      at[1] = before + i;
      const answer = check(row);
      if (answer === true) continue;
      if (answer !== false) {
        one.problem = { problem: `answered ${nameOf(answer)}; true or false is expected`, row: before + i + 1 };
        return;
      }
      one.failing++;
      if (one.examples.length < given.examples) one.examples.push(shownOf(row, one.shown));
    }
  } catch (thrown) {
    one.problem = { problem: `threw ${textOf(thrown)}`, row: (at[1] ?? 0) + 1 };
  } finally {
    at[0] = -1;
  }
}

function nameOf(value: unknown): string {
  if (value instanceof Promise) return "a promise, as async functions do";
  if (value === undefined) return "nothing";
  return inspect(value, { depth: 0, maxStringLength: 50, breakLength: Number.POSITIVE_INFINITY }).slice(0, 100);
}
function textOf(thrown: unknown): string {
  const text = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : inspect(thrown, { depth: 1 });
  return (text.split("\n")[0] ?? "").slice(0, 500);
}

/** As JSON has it: a time in ISO 8601, a long text cut. */
function shownOf(row: Row, names: readonly string[]): Record<string, string | number | boolean | null> {
  return Object.fromEntries(names.map((name) => [name, plain(row[name] ?? null)]));
}
function plain(cell: Cell): string | number | boolean | null {
  if (cell instanceof Date) return Number.isNaN(cell.getTime()) ? "Invalid Date" : cell.toISOString();
  if (typeof cell === "number") return Number.isFinite(cell) ? cell : String(cell);
  return typeof cell === "string" ? cell.slice(0, longestText) : cell;
}
