/** Functions over the rows of a table: all of them in one reading, in a warm process, each within limits. */
import { type Digest, limit } from "../platform/index.js";
import type { CheckLimits, CheckMessage, FunctionOutcome, LostCheck } from "./row-checks-protocol.js";
import type { FromRunner } from "./typescript-protocol.js";
import type { Runner, Runners } from "./typescript-runners.js";

export interface RowsToCheck extends Pick<CheckMessage, "files" | "columns" | "certain" | "examples"> {
  functions: { bundle: Digest; columns?: string[] | undefined }[];
}
/** In the order of the functions. Rejects only for what is wrong with the platform itself. */
export type CheckRows = (rows: RowsToCheck) => Promise<FunctionOutcome[]>;

const defaults: CheckLimits = { rowMs: 10_000, totalMs: 15 * 60_000, heapMb: 512, processMb: 1_536 };
const atOnce = 2;
const megabyte = 1024 ** 2;
/** For what can't say any more that it is late. */
const patienceMs = 5_000;

export function createRowChecks(runners: Runners, limits: CheckLimits = defaults): CheckRows {
  const places = limit(atOnce);
  return (asked) => places(() => checkAll(runners, asked, limits));
}

async function checkAll(runners: Runners, asked: RowsToCheck, limits: CheckLimits): Promise<FunctionOutcome[]> {
  await runners.folder();
  const outcomes: FunctionOutcome[] = [];
  const until = performance.now() + limits.totalMs;
  const ready: { index: number; bundle: string; columns: string[] | undefined }[] = [];
  for (const [index, { bundle, columns }] of asked.functions.entries()) {
    const placed = await runners.placeBundle(bundle).catch(() => undefined);
    if (placed === undefined) outcomes[index] = { problem: "has a bundle that is not on the server: apply the project again", row: null };
    else ready.push({ index, bundle: placed, columns });
  }
  // Whoever takes the process with it is left out, and the others are asked again.
  const groups = ready.length === 0 ? [] : [ready];
  for (let group = groups.shift(); group !== undefined; group = groups.shift()) {
    const { files, columns, certain, examples } = asked;
    const functions = group.map((one) => ({ bundle: one.bundle, columns: one.columns }));
    const left = { ...limits, totalMs: until - performance.now() };
    const late: Lost = { why: "late", fn: null, row: null };
    const told = left.totalMs > 0 ? await once(runners, { kind: "check", files, columns, certain, functions, examples, limits: left }) : late;
    if (Array.isArray(told)) {
      for (const [i, { index }] of group.entries()) outcomes[index] = told[i] ?? { problem: "gave no answer", row: null };
      continue;
    }
    // The last that was heard of a process that is gone may be of one that did nothing.
    const culprit = group[group.length === 1 ? 0 : told.near ? -1 : (told.fn ?? -1)];
    if (told.why === "late") for (const one of group) outcomes[one.index] = lostOutcome(told, limits, one === culprit);
    else if (culprit === undefined) {
      const half = Math.ceil(group.length / 2);
      groups.push(group.slice(0, half), group.slice(half));
    } else {
      outcomes[culprit.index] = lostOutcome(told, limits, true);
      const others = group.filter((one) => one !== culprit);
      if (others.length > 0) groups.push(others);
    }
  }
  return outcomes;
}

function lostOutcome({ why, fn, row, message, near }: Lost, limits: CheckLimits, running: boolean): FunctionOutcome {
  const seconds = (ms: number) => (ms === 1_000 ? "1 second" : `${Math.round(ms / 100) / 10} seconds`);
  const around = near && row !== null ? `, around row ${row.toLocaleString("en")}` : "";
  const at = near || fn === null || !running ? null : row;
  switch (why) {
    case "late":
      return { problem: `was not done when all checks of the rows had taken ${seconds(limits.totalMs)}${around}`, row: at };
    case "slow":
      return {
        problem: row === null ? `has a module that took longer than ${seconds(limits.rowMs)} to load` : `took longer than ${seconds(limits.rowMs)} for one row`,
        row: at,
      };
    case "memory":
      return { problem: `used more memory than ${limits.heapMb} MiB${around}`, row: at };
    case "exit":
      return { problem: `ended its process${around}: an expectation answers, it does not call process.exit`, row: at };
    case "crash":
      return { problem: message === undefined ? `ended its process${around}` : `began something that threw ${message}`, row: at };
  }
}

/** `near`: the place is the last that was heard of. */
type Lost = LostCheck & { near?: boolean };
/** One reading in a process. */
function once(runners: Runners, message: CheckMessage): Promise<FunctionOutcome[] | Lost> {
  return new Promise((resolve, reject) => {
    const one: Runner = runners.take("checks");
    let last: Pick<LostCheck, "fn" | "row"> | undefined;
    let late = false;
    const net = setTimeout(() => {
      late = true;
      runners.end(one);
    }, message.limits.totalMs + patienceMs);
    const done = (told: FunctionOutcome[] | Lost) => {
      clearTimeout(net);
      resolve(told);
    };
    one.onGone = () => {
      clearTimeout(net);
      // Nothing is said of functions that had no chance.
      if (runners.stopping()) return reject(new Error("The server stops: the rows were not checked to the end."));
      if (last === undefined) return reject(new Error(`A process that checks rows ended before it began: ${one.said.trim().slice(-1_000)}`));
      const full = /heap out of memory|Allocation failed/.test(one.said);
      done({ ...last, near: true, why: late ? "late" : full ? "memory" : one.gone?.code === 0 ? "exit" : "crash" });
    };
    one.onMessage = (answer: FromRunner) => {
      if (answer.kind === "at") last = { fn: answer.fn, row: answer.row };
      else if (answer.kind === "checked") {
        // What it keeps must not be counted against the next one.
        if (answer.memoryBytes < (message.limits.processMb / 2) * megabyte) runners.giveBack(one);
        else {
          one.onGone = undefined;
          runners.end(one);
        }
        done(answer.outcomes);
      } else if (answer.kind === "lost") {
        one.onGone = undefined;
        runners.end(one);
        done(answer.lost);
      }
    };
    if (one.gone !== undefined) return one.onGone();
    // Whoever is gone says so by its end.
    one.child.send(message, () => {});
  });
}
