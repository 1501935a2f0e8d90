/** Any flavor of MLflow's, as a model that takes tensors: what loads it is Python, in processes of their own. */
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, totalmem } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { type Compute, type Interpreter, placeFiles } from "../../compute/index.js";
import { invalid, type Limit, ownFolder, type Platform } from "../../platform/index.js";
import { unfit } from "../onnx/index.js";
import type { MlflowSource, ServedModel, Tensor } from "../types.js";
import { openPool } from "../workers/pool.js";
import { inheritedEnvironment, type Program, startWorker, type WorkerLimits } from "../workers/worker.js";
import { environmentOf } from "./environment.js";
import { type Field, readMlmodel } from "./mlmodel.js";

const gigabyte = 1024 ** 3;
/** A model may be large; what is larger than half of the machine leaves no room for others. */
const usual = (): WorkerLimits => ({
  callMs: 30_000,
  startMs: 180_000,
  memoryBytes: Math.floor(Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY) / 2),
  folderBytes: gigabyte,
  answerBytes: 256 * 1024 ** 2,
});

export interface PythonModels {
  /** Throws a 422 that says what is wrong with the model. */
  open(source: MlflowSource & Partial<WorkerLimits>, inTurn?: Limit): Promise<ServedModel>;
  /** What is being opened is given up, and nothing more is opened. What is open is closed by whoever opened it. */
  stop(): void;
}

export function createPythonModels(
  { db, config, objects, log }: Pick<Platform, "db" | "config" | "objects" | "log">,
  { compute }: { compute: Pick<Compute, "python" | "lock" | "environment"> },
): PythonModels {
  const own = ownFolder(path.join(config.dataDir, "models"));
  const stopping = new AbortController();

  /** All that a model needs on this machine lies below `scratch`, which goes when it is closed. */
  async function openIn(scratch: string, { files, called, workers = 1, ...more }: Parameters<PythonModels["open"]>[0], inTurn: Limit): Promise<ServedModel> {
    const limits = { ...usual(), ...more };
    const folder = path.join(scratch, "model");
    await placeFiles(objects, files, folder);
    const model = await readMlmodel(folder);
    const ours = log.child({ model: called });
    const progress = { signal: AbortSignal.any([stopping.signal, AbortSignal.timeout(environmentMs)]), onLine: (text: string) => ours.info(text) };
    const python = await environmentOf({ db, compute }, { folder, model, scratch }, progress);
    const cores = Math.max(1, Math.floor(availableParallelism() / workers));
    let made = 0;
    const hello = { folder, form: model.form, fields: model.inputs?.map(({ name, kind, column }) => ({ name, kind, column })) ?? null };
    const start = () =>
      startWorker({ program: program(python, cores), hello }, limits, { scratch, log: ours.child({ worker: ++made }), signal: stopping.signal });
    const pool = await inTurn(() => openPool(workers, start, ours)).catch((error) => {
      throw unfit(`The model can't be loaded: ${error instanceof Error ? error.message : String(error)}`);
    });
    const { inputs, outputs } = model;
    return {
      platform: "mlflow_pyfunc",
      inputs,
      outputs,
      // What says of neither what it is may do anything with several rows.
      batches: [inputs, outputs].every((fields) => fields?.every(({ shape }) => shape[0] === -1) === true),
      runsAtOnce: workers,
      get bytes() {
        return pool.bytes;
      },
      async run(given, options) {
        const found = await pool.call(
          given.map((tensor) =>
            legible(
              tensor,
              inputs?.find(({ name }) => name === tensor.name),
            ),
          ),
          options,
        );
        const wanted = options?.outputs;
        return wanted === undefined ? found : wanted.map((name) => outputOf(name, found));
      },
      async close() {
        await pool.close();
        await remove(scratch);
      },
    };
  }
  return {
    stop: () => stopping.abort(new Error("The server stops.")),
    async open(source, inTurn = (work) => work()) {
      stopping.signal.throwIfAborted();
      const scratch = await mkdtemp(path.join(await own.make(), "model-"));
      try {
        return await openIn(scratch, source, inTurn);
      } catch (error) {
        await remove(scratch);
        throw error;
      }
    },
  };
}
const remove = (folder: string) => rm(folder, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});

const script = fileURLToPath(new URL("../../../../../python/millrace/_serve.py", import.meta.url));
function program(python: Interpreter, cores: number): Program {
  const known = inheritedEnvironment();
  return {
    command: python.path,
    args: ["-u", script],
    env: {
      // As many threads as its share of the cores has, where nothing else is said: more of them wait for each other.
      ...{ OMP_NUM_THREADS: known.OMP_NUM_THREADS ?? String(cores), OMP_WAIT_POLICY: known.OMP_WAIT_POLICY ?? "passive" },
      PATH: [path.dirname(python.path), known.PATH].filter((one) => one !== undefined).join(path.delimiter),
      ...{ PYTHONDONTWRITEBYTECODE: "1", PYTHONNOUSERSITE: "1", MLFLOW_DISABLE_TELEMETRY: "true", DO_NOT_TRACK: "1" },
    },
  };
}

/** For everything that its environment needs. */
const environmentMs = 3_600_000;

function outputOf(name: string, found: readonly Tensor[]): Tensor {
  const output = found.find((one) => one.name === name);
  if (output === undefined) throw new Error(`the model gave no output "${name}"; it gave ${found.map((one) => one.name).join(", ")}`);
  return output;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Texts as texts, of the form that the model's own schema wants. Throws a 400 that says what would be right. */
function legible(tensor: Tensor, field: Field | undefined): Tensor {
  const { name, data } = tensor;
  if ("buffer" in data) return tensor;
  if (field === undefined) return { ...tensor, data: textsWhereTheyAre(data) };
  if (field.kind === "binary" || field.kind.startsWith("bytes")) return tensor;
  const texts = data.map((value) => (value instanceof Uint8Array ? textOf(name, value) : value));
  if (field.kind === "datetime") for (const text of texts) checkTime(name, text);
  if (field.kind === "json") for (const text of texts) checkJson(name, text);
  return { ...tensor, data: texts };
}

/** A model that does not say what it takes gets bytes where not all of them are text. */
function textsWhereTheyAre(data: readonly (string | Uint8Array | null)[]): readonly (string | Uint8Array | null)[] {
  try {
    return data.map((value) => (value instanceof Uint8Array ? decoder.decode(value) : value));
  } catch {
    return data;
  }
}
function textOf(name: string, bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw invalid(`The input "${name}" of BYTES holds what is no UTF-8; the model takes text.`);
  }
}
const time = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?$/;
function checkTime(name: string, text: string | null): void {
  if (text === null) return;
  const year = Number(text.slice(0, 4));
  // What pandas keeps in nanoseconds ends in the year 2262.
  if (!time.test(text) || Number.isNaN(Date.parse(text.replace(" ", "T").replace(/(\.\d{3})\d+/, "$1"))) || year < 1678 || year > 2261)
    throw invalid(`The input "${name}" holds ${JSON.stringify(text.slice(0, 60))}, which is no time. Write it as 2013-03-01T12:00:00Z.`);
}
function checkJson(name: string, text: string | null): void {
  if (text === null) return;
  try {
    JSON.parse(text);
  } catch {
    throw invalid(`The input "${name}" takes a list or an object as JSON; it holds ${JSON.stringify(text.slice(0, 60))}.`);
  }
}
