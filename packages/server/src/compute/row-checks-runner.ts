/** In a process that checks rows: starts the thread that runs the functions, watches it, and says how far it came. */
import { startThread } from "../platform/thread.js";
import type { CheckAnswer, CheckMessage, CheckThread, LostCheck, ThreadAnswer } from "./row-checks-protocol.js";

const lookMs = 100;
const megabyte = 1024 ** 2;

/** Answers once. `say` is told now and then how far it is, for whoever outlives this process. */
export function checkRows({ kind: _, limits, ...given }: CheckMessage, say: (answer: CheckAnswer) => void): Promise<CheckAnswer> {
  return new Promise((resolve) => {
    const at = new Float64Array(new SharedArrayBuffer(16)).fill(-1);
    const workerData: CheckThread = { ...given, at };
    // What functions write to the console is nobody's.
    const worker = startThread(import.meta.url, "row-checks-worker", {
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: limits.heapMb },
      stdout: true,
      stderr: true,
    });
    worker.stdout.resume();
    worker.stderr.resume();
    say({ kind: "at", fn: null, row: null });
    const began = performance.now();
    let last = { fn: -1, row: -1, since: began };
    const looking = setInterval(() => {
      const now = performance.now();
      const [fn = -1, row = -1] = at;
      if (fn !== last.fn || row !== last.row) {
        last = { fn, row, since: now };
        say({ kind: "at", ...place() });
      }
      if (now - began > limits.totalMs) lose("late");
      else if (fn >= 0 && now - last.since > limits.rowMs) lose("slow");
      else if (process.memoryUsage.rss() > limits.processMb * megabyte) lose("memory");
    }, lookMs);
    let over = false;
    const answer = (said: CheckAnswer) => {
      if (over) return;
      over = true;
      clearInterval(looking);
      // What a function left behind ends with the thread; where that went wrong, with the process, which is not used again.
      if (said.kind === "checked") void worker.terminate().then(() => resolve(said));
      else resolve(said);
    };
    const place = (): Pick<LostCheck, "fn" | "row"> => {
      const [fn = -1, row = -1] = at;
      return { fn: fn < 0 ? null : fn, row: row < 0 ? null : row + 1 };
    };
    const lose = (why: LostCheck["why"], message?: string) =>
      answer({ kind: "lost", lost: { ...place(), why, ...(message === undefined ? {} : { message }) } });
    worker.once("message", (said: ThreadAnswer) => {
      if ("crash" in said) lose("crash", said.crash);
      else answer({ kind: "checked", outcomes: said.outcomes, memoryBytes: process.memoryUsage.rss() });
    });
    worker.once("error", (error: Error & { code?: string }) => {
      if (error.code === "ERR_WORKER_OUT_OF_MEMORY") lose("memory");
      else lose("crash", (error.message ?? String(error)).split("\n")[0]?.slice(0, 500));
    });
    worker.once("exit", () => lose("exit"));
  });
}
