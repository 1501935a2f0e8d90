/** Functions of tensors that a project brings, as models: they run in Node processes of their own. */
import path from "node:path";
import type { TransformSpec } from "@millrace/sdk/spec";
import { type Digest, nodeProgram, ownFolder, type Platform } from "../../platform/index.js";
import { unfit } from "../onnx/index.js";
import type { ServedModel, TensorSpec } from "../types.js";
import { openPool } from "../workers/pool.js";
import { startWorker, type WorkerLimits } from "../workers/worker.js";
import type { Hello } from "./runner.js";

const megabyte = 1024 ** 2;
const limits: WorkerLimits = { callMs: 10_000, startMs: 30_000, memoryBytes: 1024 * megabyte, folderBytes: 256 * megabyte, answerBytes: 64 * megabyte };
/** One that nobody asked for so long is closed. */
const idleMs = 600_000;

export interface Transforms {
  /** Opened once for each bundle, however many ask. Throws a 422 that says why it can't be. */
  open(spec: TransformSpec): Promise<ServedModel>;
  stop(): Promise<void>;
}

export function createTransforms({ config, objects, log }: Pick<Platform, "config" | "objects" | "log">): Transforms {
  const own = ownFolder(path.join(config.dataDir, "transforms"));
  const known = new Map<string, { loading: Promise<ServedModel>; used: number }>();
  const closing = setInterval(() => {
    for (const [key, { loading, used }] of known) {
      if (performance.now() - used < idleMs) continue;
      known.delete(key);
      void loading.then((one) => one.close()).catch(() => {});
    }
  }, idleMs / 10);
  closing.unref();

  async function load({ name, digest, in: inputs, out: outputs }: TransformSpec): Promise<ServedModel> {
    if (digest === undefined) throw unfit(`The transform "${name}" has no bundle: apply its project again.`);
    const scratch = await own.make();
    const hello: Hello = { bundle: await objects.localPath(digest as Digest), name, out: outputs };
    const ours = log.child({ transform: name });
    const program = { ...nodeProgram(import.meta.url, "runner", ["--max-old-space-size=768"]), env: {} };
    const pool = await openPool(1, () => startWorker({ program, hello }, limits, { scratch, log: ours }), ours).catch((error: Error) => {
      throw unfit(`The transform "${name}" can't be loaded: ${error.message}`);
    });
    const specs = (of: TransformSpec["in"]): TensorSpec[] => Object.entries(of).map(([input, datatype]) => ({ name: input, datatype, shape: [-1] }));
    return {
      platform: "millrace_transform",
      ...{ inputs: specs(inputs), outputs: specs(outputs), batches: false },
      get bytes() {
        return pool.bytes;
      },
      run: (given, options) => pool.call(given, options),
      close: () => pool.close(),
    };
  }

  return {
    open(spec) {
      const key = JSON.stringify([spec.digest, spec.name, spec.in, spec.out]);
      const found = known.get(key) ?? { loading: load(spec), used: 0 };
      found.used = performance.now();
      known.set(key, found);
      found.loading.catch(() => known.delete(key));
      return found.loading;
    },
    async stop() {
      clearInterval(closing);
      await Promise.all([...known.values()].map(({ loading }) => loading.then((one) => one.close()).catch(() => {})));
    },
  };
}
