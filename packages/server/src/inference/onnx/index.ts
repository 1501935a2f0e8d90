/** ONNX Runtime in this process: short runs on the event loop, all others in threads. */
import { open, stat } from "node:fs/promises";
import { listSupportedBackends } from "onnxruntime-node";
import { ApiError, invalid, StartError } from "../../platform/index.js";
import type { ServedModel, Tensor } from "../types.js";
import { costOf, valuesOf } from "./cost.js";
import { openSession, type Providers, type Session } from "./session.js";
import { openInThread } from "./threads.js";

export { startFirst } from "./threads.js";

/** ONNX itself ends at 2 GiB in one file. */
const largestModel = 2 * 1024 ** 3;
/** A model that is asked so often gets a place on the event loop too, where its short runs take a third of the time; a larger one would hold it up when it is loaded. */
const oftenRuns = 16;
const largestHere = 32 * 1024 ** 2;

export const unfit = (message: string) => new ApiError(422, "MODEL_UNFIT", message);

/** Throws a StartError where this machine's runtime has not all of them. */
export function checkProviders(providers: Providers): void {
  const known = listSupportedBackends().map(({ name }) => name);
  const other = providers.find((name) => !known.includes(name));
  if (other !== undefined)
    throw new StartError(`ONNX Runtime has no execution provider "${other}" here. It has ${known.join(", ")}: set MILLRACE_ONNX_PROVIDERS to some of them.`);
}

export async function openOnnx(file: string, providers: Providers): Promise<ServedModel> {
  const { size } = await stat(file);
  if (size > largestModel) throw unfit(`The model has ${size} bytes; at most ${largestModel} are taken.`);
  const elsewhere = await openInThread(file, providers).catch(async (error: unknown) => {
    if (!(await looksLikeOnnx(file))) throw unfit("The file is not ONNX. Export the model with skl2onnx, onnxmltools or the exporter of its framework.");
    throw unfit(`The model can't be loaded: ${reason(error)}`);
  });
  const { inputs } = elsewhere;
  // Converters write down the one row that they tried.
  const outputs = elsewhere.outputs.map((spec) =>
    spec.shape[0] === 1 && elsewhere.measured?.rowwise?.includes(spec.name) === true ? { ...spec, shape: [-1, ...spec.shape.slice(1)] } : spec,
  );
  const cost = costOf(elsewhere.measured);
  const names = outputs.map(({ name }) => name);
  const batches = [...inputs, ...outputs].every(({ shape }) => shape[0] === -1);
  const rowValues = inputs.reduce((sum, { shape }) => sum + shape.slice(1).reduce((product, width) => product * Math.max(1, width), 1), 0);
  let here: Session | undefined;
  let opening: Promise<void> | undefined;
  let running = 0;
  let idle: (() => void) | undefined;
  let shortRuns = 0;

  function bring(): void {
    opening ??= openSession(file, providers).then(
      (session) => {
        here = session;
      },
      // It stays where it is.
      () => {},
    );
  }
  async function run(given: readonly Tensor[], wanted: readonly string[]): Promise<Tensor[]> {
    const values = valuesOf(given);
    const short = cost.isShort(values);
    if (short && here === undefined && size <= largestHere && ++shortRuns === oftenRuns) bring();
    const { outputs: found, ms } = await (short && here !== undefined ? here : elsewhere).run(given, wanted);
    cost.took(values, ms);
    return found;
  }

  return {
    ...{ platform: "onnxruntime_onnx", inputs, outputs, batches },
    // The graph as it was read, and the weights as the runtime packs them.
    get bytes() {
      return 2 * size * (here === undefined ? 1 : 2);
    },
    get rowsTogether() {
      // A longer run holds up others, or goes to a thread, and no row of it is cheaper.
      return here === undefined || rowValues === 0 ? undefined : Math.max(1, Math.floor(cost.mostShort() / rowValues));
    },
    async run(given, options) {
      const inputsOfTexts = given.map(readable);
      running++;
      try {
        return await run(inputsOfTexts, options?.outputs ?? names);
      } catch (error) {
        throw new Error(`the model failed: ${reason(error)}`);
      } finally {
        if (--running === 0) idle?.();
      }
    },
    async close() {
      if (running > 0)
        await new Promise<void>((resolve) => {
          idle = resolve;
        });
      await opening;
      await here?.release();
      await elsewhere.close();
    },
  };
}

const decoder = new TextDecoder("utf-8", { fatal: true });
/** Texts as strings: the runtime takes no others. */
function readable(tensor: Tensor): Tensor {
  const { name, datatype, data } = tensor;
  if (datatype !== "BYTES" || "buffer" in data) return tensor;
  return { ...tensor, data: data.map((value) => textOf(name, value)) };
}
function textOf(name: string, value: string | Uint8Array | null): string {
  if (typeof value === "string") return value;
  if (value === null) return "";
  try {
    return decoder.decode(value);
  } catch {
    throw invalid(`The input "${name}" of BYTES holds what is no UTF-8; the model takes text.`);
  }
}

/** A model in protocol buffers' form begins with its first field, the version of its format. */
async function looksLikeOnnx(path: string): Promise<boolean> {
  const file = await open(path, "r");
  try {
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, 0);
    return buffer[0] === 0x08;
  } finally {
    await file.close();
  }
}

/** The runtime's message without the place in its own source. */
const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error)).split("\n")[0]?.slice(0, 500) ?? "unknown";
