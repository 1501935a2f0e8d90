/** The process that runs a transform's function, with a socket to the server as the file descriptor 3. Frames are those of `workers/frames.ts`. */
import { Socket } from "node:net";
import { pathToFileURL } from "node:url";
import type { Datatype, Tensor } from "../types.js";
import { decodeTensors, encodeFrame, encodeTensors, type Frame, frameReader, type TensorHead } from "../workers/frames.js";
import { fromValues, toValues } from "./values.js";

export interface Hello {
  /** The file of the bundle. */
  bundle: string;
  name: string;
  out: Record<string, Datatype>;
}
/** What a bundle exports: the transform as its module defines it. */
interface Bundled {
  transform?: { run?: (tensors: Record<string, unknown[]>) => unknown };
}
const mostBytes = 1024 ** 3;
const longestReason = 2_000;

const channel = new Socket({ fd: 3, readable: true, writable: true });
// Whoever asks is gone, so nobody wants an answer.
channel.on("close", () => process.exit(0));
channel.on("error", () => process.exit(0));

let transform: ((tensors: Record<string, unknown[]>) => unknown) | undefined;
let out: Hello["out"] = {};
let last: Promise<void> = Promise.resolve();
channel.on(
  "data",
  frameReader(mostBytes, (frame) => {
    last = last.then(() => answer(frame));
  }),
);

async function answer({ head, body }: Frame): Promise<void> {
  if (transform === undefined) return load(JSON.parse(head)).catch((error) => send({ unready: reason(error) }));
  const { call, inputs }: { call: number; inputs: TensorHead[] } = JSON.parse(head);
  try {
    const given = Object.fromEntries(decodeTensors(inputs, body).map((tensor) => [tensor.name, toValues(tensor)]));
    const { heads, body: pieces } = encodeTensors(tensorsOf(await transform(given)));
    send({ call, outputs: heads }, pieces);
  } catch (error) {
    send({ call, failed: reason(error) });
  }
}
async function load(hello: Hello): Promise<void> {
  out = hello.out;
  const { transform: found }: Bundled = await import(pathToFileURL(hello.bundle).href);
  if (found?.run === undefined)
    throw new Error(`The bundle holds no transform "${hello.name}". Apply the project again with the millrace command of this server.`);
  transform = found.run;
  send({ ready: true, bytes: process.memoryUsage.rss() });
}
const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, longestReason);

function tensorsOf(returned: unknown): Tensor[] {
  if (typeof returned !== "object" || returned === null) throw new TypeError("it returned no object of tensors");
  const names = Object.keys(out);
  const other = Object.keys(returned).find((name) => !names.includes(name));
  if (other !== undefined) throw new TypeError(`it returned "${other}", which is none of its outputs: ${names.join(", ")}`);
  return Object.entries(out).map(([name, datatype]) => fromValues(name, datatype, Reflect.get(returned, name)));
}
function send(head: object, body: readonly Uint8Array[] = []): void {
  channel.cork();
  for (const piece of encodeFrame(head, body)) channel.write(piece);
  channel.uncork();
}
