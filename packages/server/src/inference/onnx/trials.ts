/**
 * A file that was never opened may take all memory, or end its process: a few bytes can say a tensor of any size. It is opened and run in a process of its
 * own first, once on each machine.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, stat, utimes, writeFile } from "node:fs/promises";
import { totalmem } from "node:os";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { ApiError, nodeProgram, type Platform, runProcess } from "../../platform/index.js";
import type { Providers } from "./session.js";

const gigabyte = 1024 ** 3;
const timeoutMs = 120_000;

/** Throws a 422 where the file's model can't be opened and run within limits. */
export type Trials = (file: string) => Promise<void>;

export function createTrials({ config }: Pick<Platform, "config">): Trials {
  const providers = config.onnxProviders ?? ["cpu"];
  const passed = path.join(config.dataDir, "models", "tried");
  const underWay = new Map<string, Promise<void>>();
  return async (file) => {
    const hash = createHash("sha256");
    await pipeline(createReadStream(file), hash);
    const mark = path.join(passed, hash.digest("hex"));
    const known = await utimes(mark, new Date(), new Date()).then(
      () => true,
      () => false,
    );
    if (known) return;
    const trial = underWay.get(mark) ?? tryOut(file, mark, providers).finally(() => underWay.delete(mark));
    underWay.set(mark, trial);
    await trial;
  };
}

async function tryOut(file: string, mark: string, providers: Providers): Promise<void> {
  const { size } = await stat(file);
  const memoryBytes = Math.min(2 * gigabyte + 10 * size, Math.floor(Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY) / 2));
  let last = "";
  const { code, signal, ended, killedForMemory } = await runProcess({
    ...nodeProgram(import.meta.url, "trial"),
    cwd: path.dirname(file),
    env: { PATH: process.env.PATH ?? "", MILLRACE_TRIAL: file, MILLRACE_ONNX_PROVIDERS: providers.join(",") },
    timeoutMs,
    signal: AbortSignal.timeout(2 * timeoutMs),
    maxLogBytes: 64 * 1024,
    onLine: (_stream, text) => {
      last = text;
    },
    memoryBytes,
    lookMs: 25,
    patienceMs: 0,
  });
  if (ended === "memory" || killedForMemory) throw refused(`opening and running it once takes more than ${memoryBytes} bytes of memory`);
  if (ended === "timeout") throw refused(`it can't be opened and run once within ${timeoutMs / 1000} s`);
  if (signal !== null) throw refused(`ONNX Runtime ended by ${signal} when it opened and ran it`);
  if (code !== 0) throw refused(last === "" ? `ONNX Runtime ended with code ${code} when it opened and ran it` : last);
  await mkdir(path.dirname(mark), { recursive: true });
  await writeFile(mark, "");
}
const refused = (why: string) => new ApiError(422, "MODEL_UNFIT", `The model can't be loaded: ${why}.`);
