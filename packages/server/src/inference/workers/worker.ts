/** A process that answers for one model, one call after the other, spoken to over a Unix socket that nobody else knows. */
import { mkdtemp, rm } from "node:fs/promises";
import type { Socket } from "node:net";
import path from "node:path";
import { Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { type Log, type ProcessEnd, runProcess } from "../../platform/index.js";
import type { Tensor } from "../types.js";
import { decodeTensors, encodeFrame, encodeTensors, frameReader, TensorHead } from "./frames.js";

export interface WorkerLimits {
  /** A call that takes longer ends the worker. */
  callMs: number;
  /** From its start until the model is loaded. */
  startMs: number;
  memoryBytes: number;
  /** Of all that it may keep on disk at a time. */
  folderBytes: number;
  /** Of an answer. */
  answerBytes: number;
}
/** What runs in a worker. Its folder is its own, and so are the standard names for places to write to. */
export interface Program {
  command: string;
  args: readonly string[];
  env: Readonly<Record<string, string>>;
}
export interface Worker {
  /** One at a time. Throws a WorkerEnded where it did not live to answer, another Error where the model failed. */
  call(inputs: readonly Tensor[]): Promise<Tensor[]>;
  /** As it was seen last. */
  readonly bytes: number;
  /** Why it ended; null where it was stopped. */
  ended: Promise<string | null>;
  stop(): Promise<void>;
}
/** The worker ended, and what it was asked may be asked of another. */
export class WorkerEnded extends Error {}

const lookMs = 250;
const patienceMs = 500;
/** What the model prints, so much of it in a minute. */
const logBytes = 64 * 1024;
const logSpanMs = 60_000;
const longestLine = 2_000;
const Said = TypeCompiler.Compile(
  Type.Union([
    Type.Object({ call: Type.Integer(), outputs: Type.Array(TensorHead) }),
    Type.Object({ call: Type.Integer(), failed: Type.String() }),
    Type.Object({ unready: Type.String() }),
    Type.Object({ ready: Type.Literal(true), bytes: Type.Number() }),
  ]),
);

interface Call {
  /** Its number, which the answer bears: a model that writes into the socket itself gives no other call's answer. */
  number: number;
  done(tensors: Tensor[]): void;
  failed(error: Error): void;
  timer: NodeJS.Timeout;
}

/** Resolves when it is ready to answer. `hello` is the head of its first frame. `scratch` is where it gets a folder of its own. */
export async function startWorker(
  { program, hello }: { program: Program; hello: object },
  limits: WorkerLimits,
  { scratch, log, signal }: { scratch: string; log: Log; signal?: AbortSignal },
): Promise<Worker> {
  const own = await mkdtemp(path.join(scratch, "worker-"));
  const abort = new AbortController();
  let channel: Socket | undefined;
  let bytes = 0;
  let call: Call | undefined;
  let calls = 0;
  /** Why it is being ended, where this process does it. */
  let reason: string | undefined;
  let stopped = false;
  const end = (why: string) => {
    reason ??= why;
    abort.abort();
  };

  const give = () => end("the server stops");
  signal?.addEventListener("abort", give, { once: true });

  let started: (() => void) | undefined;
  let failedToStart: ((error: Error) => void) | undefined;
  const ready = new Promise<void>((resolve, reject) => {
    started = resolve;
    failedToStart = reject;
  });
  const starting = setTimeout(() => end(`it had not loaded the model after ${limits.startMs / 1000} s`), limits.startMs);

  function take(head: string, body: Buffer): void {
    const told: unknown = JSON.parse(head);
    if (!Said.Check(told)) throw new Error("its answer is none");
    const asked = call;
    if ("ready" in told) {
      bytes = Math.max(bytes, told.bytes);
      started?.();
    } else if ("unready" in told) failedToStart?.(new Error(told.unready));
    else if (asked?.number !== told.call) throw new Error("it answered what it was not asked");
    else {
      call = undefined;
      clearTimeout(asked.timer);
      try {
        if ("failed" in told) throw new Error(told.failed);
        asked.done(decodeTensors(told.outputs, body));
      } catch (error) {
        asked.failed(new Error(`the model failed: ${messageOf(error)}`));
      }
    }
  }

  const process = runProcess({
    command: program.command,
    args: [...program.args],
    cwd: own,
    env: { ...inheritedEnvironment(), ...program.env, HOME: own, TMPDIR: own, TEMP: own, TMP: own, XDG_CACHE_HOME: own, MPLCONFIGDIR: own },
    signal: abort.signal,
    ...{ maxLogBytes: logBytes, logSpanMs },
    patienceMs,
    lookMs,
    memoryBytes: limits.memoryBytes,
    folder: { path: own, maxBytes: limits.folderBytes },
    onLine: (stream, text) => {
      if (text.trim() !== "") log.info({ stream }, text.slice(0, longestLine));
    },
    onUsage: (usage) => {
      bytes = usage.memoryBytes;
    },
    onChannel(opened) {
      channel = opened;
      const read = frameReader(limits.answerBytes, ({ head, body }) => take(head, body));
      opened.on("data", (chunk: Buffer) => {
        if (abort.signal.aborted) return;
        try {
          read(chunk);
        } catch (error) {
          end(messageOf(error));
        }
      });
      send({ ...hello, fileBytes: limits.folderBytes, memoryBytes: limits.memoryBytes });
    },
  });
  function send(head: object, body: readonly Uint8Array[] = []): void {
    channel?.cork();
    for (const piece of encodeFrame(head, body)) channel?.write(piece);
    channel?.uncork();
  }

  const ended = process
    .then(
      (how) => (stopped ? null : (reason ?? describe(how, limits))),
      (error) => messageOf(error),
    )
    .then(async (why) => {
      clearTimeout(starting);
      const left = call;
      call = undefined;
      clearTimeout(left?.timer);
      left?.failed(new WorkerEnded(why ?? "it was stopped"));
      failedToStart?.(new Error(why ?? "it was stopped"));
      await rm(own, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
      return why;
    });
  const stop = async () => {
    stopped = true;
    channel?.end();
    abort.abort();
    await ended;
  };
  try {
    await ready;
  } catch (error) {
    await stop();
    throw error;
  } finally {
    clearTimeout(starting);
    signal?.removeEventListener("abort", give);
  }

  return {
    call: (inputs) =>
      new Promise((done, failed) => {
        if (channel === undefined || channel.destroyed || abort.signal.aborted) return failed(new WorkerEnded("it has ended"));
        const timer = setTimeout(() => {
          call = undefined;
          failed(new Error(`the model did not answer within ${limits.callMs / 1000} s; its worker was ended, and another one takes its place`));
          end(`a call took longer than ${limits.callMs / 1000} s`);
        }, limits.callMs);
        call = { number: ++calls, done, failed, timer };
        const { heads, body } = encodeTensors(inputs);
        send({ call: calls, inputs: heads }, body);
      }),
    get bytes() {
      return bytes;
    },
    ended,
    stop,
  };
}

/** What a worker may know of the server's: where programs and libraries are, its language, how many threads it is told to use, and its graphics cards. */
const inherited =
  /^(PATH|LANG|LC_[A-Z]+|TZ|LD_LIBRARY_PATH|SSL_CERT_(FILE|DIR)|(OMP|MKL|OPENBLAS|NUMEXPR|VECLIB)_[A-Z_]+|CUDA_[A-Z_]+|NVIDIA_[A-Z_]+|ROCR?_[A-Z_]+|HIP_[A-Z_]+)$/;
export const inheritedEnvironment = (): Record<string, string> =>
  Object.fromEntries(Object.entries(process.env).flatMap(([name, value]) => (value !== undefined && inherited.test(name) ? [[name, value]] : [])));

function describe({ code, signal, ended, killedForMemory }: ProcessEnd, { memoryBytes, folderBytes }: WorkerLimits): string {
  if (ended === "memory") return `it took more than ${memoryBytes} bytes of memory`;
  if (ended === "folder") return `it kept more than ${folderBytes} bytes on disk`;
  if (killedForMemory) return "the machine had no memory left for it";
  return signal === null ? `it exited with code ${code}` : `it was ended by ${signal}`;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
