/** In a thread: a finished file of the log with a line for each row. */
import { createReadStream, createWriteStream, readlinkSync } from "node:fs";
import { rename } from "node:fs/promises";
import { setPriority } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { pipeline } from "node:stream/promises";
import { parentPort } from "node:worker_threads";
import { type PackedKind, type PackedLine, packedStart } from "./packed.js";

export interface UnpackAsked {
  id: number;
  file: string;
  into: string;
}
export interface UnpackDone {
  id: number;
  error: string | null;
}

// Requests come first: where the processors are busy, the log waits. Only Linux knows priorities of threads.
try {
  setPriority(Number(path.basename(readlinkSync("/proc/thread-self"))), 10);
} catch {
  // It runs as all others do.
}

const arrays = {
  ...{ Int8Array, Uint8Array, Int16Array, Uint16Array, Int32Array, Uint32Array, BigInt64Array, BigUint64Array, Float32Array, Float64Array },
} satisfies Record<PackedKind, unknown>;

function valuesOf(kind: PackedKind | null, values: string | unknown[]): ArrayLike<unknown> {
  if (kind === null || typeof values !== "string") return Array.isArray(values) ? values : [];
  const bytes = Uint8Array.from(Buffer.from(values, "base64"));
  return new arrays[kind](bytes.buffer);
}
/** In a form that JSON keeps: what it has no number for as text. */
function text(value: unknown): string {
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : `"${value}"`;
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? String(value) : `"${value}"`;
  return JSON.stringify(value) ?? "null";
}

function* rowsOf(line: string): Generator<string> {
  if (!line.startsWith(packedStart)) {
    if (line !== "") yield `${line}\n`;
    return;
  }
  const { packed, id, suffix, rows, at, version, route, key, latency_ms: latency, caller, rollout, prediction }: PackedLine = JSON.parse(line);
  const columns = packed.map(([column, one, kind, given]) => {
    const values = valuesOf(kind, given);
    return { column, start: `,${JSON.stringify(column)}:`, one, values, width: values.length / rows };
  });
  const predicted = columns.find(({ column, width }) => column === prediction && (width === 1 || width === 2));
  for (let row = 0; row < rows; row++) {
    const number = predicted === undefined ? Number.NaN : Number(predicted.values[row * predicted.width + predicted.width - 1]);
    let made = `{"id":${JSON.stringify(`${rows === 1 ? id : `${id}:${row}`}${suffix}`)},"at":"${at}","as_of":"${at}","version":${version},"route":"${route}"`;
    made += `,"key":${JSON.stringify(key)},"latency_ms":${latency},"caller":${JSON.stringify(caller)},"rollout":${JSON.stringify(rollout)},"prediction":${Number.isFinite(number) ? number : null}`;
    for (const { start, one, values, width } of columns) {
      made += start;
      if (one) made += text(values[row]);
      else {
        made += "[";
        for (let i = row * width; i < (row + 1) * width; i++) made += i > row * width ? `,${text(values[i])}` : text(values[i]);
        made += "]";
      }
    }
    yield `${made}}\n`;
  }
}

async function unpack({ file, into }: UnpackAsked): Promise<void> {
  const partial = `${into}.partial`;
  await pipeline(
    createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY }),
    async function* (lines: AsyncIterable<string>) {
      let some = "";
      for await (const line of lines) {
        for (const row of rowsOf(line)) {
          some += row;
          if (some.length < 65_536) continue;
          yield some;
          some = "";
        }
      }
      yield some;
    },
    createWriteStream(partial),
  );
  await rename(partial, into);
}

parentPort?.on("message", (asked: UnpackAsked) => {
  const answer = (error: string | null) => parentPort?.postMessage({ id: asked.id, error } satisfies UnpackDone);
  unpack(asked).then(
    () => answer(null),
    (error: unknown) => answer(error instanceof Error ? error.message : String(error)),
  );
});
