/** Optuna in a Python process of its own: what it is asked holds all that is known, so that it keeps nothing. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Goal, PlainValue, SearchRange } from "@millrace/sdk/spec";
import type { Compute } from "../compute/index.js";
import { type Limit, type Log, limit } from "../platform/index.js";
import type { Params } from "./search.js";

const folder = new URL("../../python/optuna/", import.meta.url);
const requirements = fileURLToPath(new URL("requirements.lock", folder));
const script = fileURLToPath(new URL("suggest.py", folder));
/** An idle process ends. */
const idleMs = 60_000;
const answerMs = 120_000;

export interface Question {
  over: Readonly<Record<string, SearchRange>>;
  direction: Goal["direction"];
  seed: number;
  /** So many trials are by chance before the model counts. */
  startup: number;
  count: number;
  trials: { state: string; params: Readonly<Record<string, PlainValue>>; value: number | null; step: number | null }[];
}
export interface Optuna {
  /** Throws an error whose message can be shown. */
  suggest(question: Question): Promise<Params[]>;
  stop(): Promise<void>;
}

export function openOptuna(compute: Pick<Compute, "environment">, log: Log): Optuna {
  const stopping = new AbortController();
  const oneByOne: Limit = limit(1);
  let child: ChildProcessWithoutNullStreams | undefined;
  let answered: ((line: string | undefined) => void) | undefined;
  let idle: NodeJS.Timeout | undefined;
  let lastErrors: string[] = [];

  async function start(): Promise<ChildProcessWithoutNullStreams> {
    const digest = createHash("sha256")
      .update(await readFile(requirements))
      .digest("hex");
    const interpreter = await compute.environment(
      { file: requirements, digest: `sha256:${digest}` },
      { signal: stopping.signal, onLine: (text) => log.info({ text }, "the environment of Optuna") },
    );
    stopping.signal.throwIfAborted();
    const started = spawn(interpreter.path, ["-u", script], {
      stdio: "pipe",
      // It reads its standard input to its end, so it ends with the server, however that ends.
      env: { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "", PYTHONDONTWRITEBYTECODE: "1", OMP_NUM_THREADS: "1", OPENBLAS_NUM_THREADS: "1" },
    });
    lastErrors = [];
    createInterface({ input: started.stdout }).on("line", (line) => answered?.(line));
    createInterface({ input: started.stderr }).on("line", (line) => {
      lastErrors.push(line.slice(0, 500));
      if (lastErrors.length > 5) lastErrors.shift();
    });
    const gone = () => {
      if (child === started) child = undefined;
      answered?.(undefined);
    };
    started.once("exit", gone);
    started.once("error", gone);
    started.stdin.on("error", () => {});
    return started;
  }

  async function ask(question: Question): Promise<string | undefined> {
    child ??= await start();
    const asked = child;
    clearTimeout(idle);
    const timer = setTimeout(() => asked.kill("SIGKILL"), answerMs);
    try {
      return await new Promise<string | undefined>((resolve) => {
        answered = resolve;
        if (asked.exitCode !== null || asked.signalCode !== null) resolve(undefined);
        else asked.stdin.write(`${JSON.stringify(question)}\n`);
      });
    } finally {
      answered = undefined;
      clearTimeout(timer);
      idle = setTimeout(() => asked.stdin.end(), idleMs).unref();
    }
  }

  return {
    suggest: (question) =>
      oneByOne(async () => {
        // An idle process may end at the moment when it is asked.
        const line = (await ask(question)) ?? (stopping.signal.aborted ? undefined : await ask(question));
        if (line === undefined) throw new Error(`Optuna's process ended${lastErrors.length === 0 ? "." : `: ${lastErrors.at(-1)}`}`);
        const answer: unknown = JSON.parse(line);
        if (typeof answer === "object" && answer !== null && "params" in answer && Array.isArray(answer.params)) return answer.params.filter(isParams);
        throw new Error(
          `Optuna has no answer: ${typeof answer === "object" && answer !== null && "error" in answer ? String(answer.error) : line.slice(0, 300)}`,
        );
      }),
    async stop() {
      stopping.abort();
      clearTimeout(idle);
      const ending = child;
      if (ending === undefined) return;
      const ended = new Promise((resolve) => ending.once("exit", resolve));
      ending.kill("SIGKILL");
      await ended;
    },
  };
}

function isParams(value: unknown): value is Params {
  return typeof value === "object" && value !== null && Object.values(value).every((one) => ["string", "number", "boolean"].includes(typeof one));
}
