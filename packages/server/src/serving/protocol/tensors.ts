/** Tensors of the Open Inference Protocol: in JSON, and in the binary form of its extension. */
import {
  bytesOf,
  type Datatype,
  type FixedDatatype,
  fromHalf,
  isDatatype,
  isFloat,
  type Tensor,
  type TensorData,
  toHalf,
  valueAt,
  valuesOf,
  widths,
  zeros,
} from "../../inference/index.js";
import { ApiError, invalid } from "../../platform/index.js";
import type { GivenTensor, Value } from "../given.js";
import { readNumbers } from "./numbers.js";
import type { Place } from "./scan.js";

interface Said {
  name: string;
  shape: readonly number[];
  datatype: string;
}

/** Values as JSON has them: flat, or nested as the shape is. */
export function jsonTensor({ name, shape, datatype }: Said, data: unknown): GivenTensor {
  const all = (count: number) => flat(name, data, Math.max(2, shape.length), count);
  return {
    name,
    shape,
    datatype,
    values: (count) => all(count).map((value) => (value === null ? null : checked(name, datatype, value))),
    data: (count) => {
      const values = all(count);
      const known = datatypeOf(name, datatype);
      if (known === "BYTES") return values.map((value) => (value === null ? null : String(checked(name, known, value))));
      const into = zeros(known, count);
      for (const [at, value] of values.entries()) {
        if (value === null && !isFloat(known)) throw invalid(`The input "${name}" of ${known} holds null: only texts and floats may be missing.`);
        const number = Number(value === null ? Number.NaN : checked(name, known, value));
        if (into instanceof BigInt64Array || into instanceof BigUint64Array) into[at] = BigInt(number);
        else into[at] = known === "FP16" ? toHalf(number) : number;
        if (!isFloat(known) && Number(into[at]) !== number) throw invalid(`The input "${name}" of ${known} holds ${number}, which is out of its range.`);
      }
      return into;
    },
  };
}

/** A list of values that still lies in a body. */
class ListTensor implements GivenTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly datatype: string;
  private parsed: GivenTensor | undefined;
  constructor(
    said: Said,
    private readonly body: Buffer,
    private readonly place: Place,
  ) {
    this.name = said.name;
    this.shape = said.shape;
    this.datatype = said.datatype;
  }
  values(count: number): Value[] {
    return this.whole().values(count);
  }
  data(count: number): TensorData {
    const { datatype, body } = this;
    const { from, to } = this.place;
    // Each value has a byte at least, and one before it.
    if (isDatatype(datatype) && datatype !== "BYTES" && 2 * count < to - from) {
      const found = readNumbers(body, from, to, datatype, count, Math.max(2, this.shape.length));
      if (found !== undefined) return found;
    }
    return this.whole().data(count);
  }
  private whole(): GivenTensor {
    this.parsed ??= jsonTensor(this, parse(this.body, this.place.from, this.place.to));
    return this.parsed;
  }
}
export const listTensor = (said: Said, body: Buffer, place: Place): GivenTensor => new ListTensor(said, body, place);

/** What lies in lists, up to so many deep, in order. */
function flat(name: string, data: unknown, depth: number, count: number): unknown[] {
  if (!Array.isArray(data)) throw invalid(`The input "${name}" has no data.`);
  const found: unknown[] = [];
  let listed = 0;
  const take = (list: readonly unknown[], left: number) => {
    listed += list.length;
    for (const value of list) {
      if (!Array.isArray(value)) found.push(value);
      else if (left === 0) throw invalid(`The data of the input "${name}" are nested deeper than its shape.`);
      else take(value, left - 1);
    }
  };
  take(data, depth - 1);
  if (found.length !== count) throw invalid(`The input "${name}" has ${found.length} values for a shape of ${count}.`);
  if (listed > 4 * count + depth) throw invalid(`The data of the input "${name}" are nested otherwise than its shape.`);
  return found;
}

/** Floats that JSON has no number for come as these texts. */
const unwritten: Record<string, number> = { NaN: Number.NaN, Infinity: Number.POSITIVE_INFINITY, "-Infinity": Number.NEGATIVE_INFINITY };
function checked(name: string, datatype: string, value: unknown): string | number | boolean {
  const fits = datatype === "BYTES" ? "string" : datatype === "BOOL" ? "boolean" : "number";
  if (fits === "number") {
    if (typeof value === "number") return whole(name, datatype, value);
    if (typeof value === "string" && datatype.startsWith("FP") && Object.hasOwn(unwritten, value)) return unwritten[value] ?? Number.NaN;
  } else if (fits === "string" ? typeof value === "string" : typeof value === "boolean") return value as string | boolean;
  throw invalid(`The input "${name}" of ${datatype} holds ${JSON.stringify(value)?.slice(0, 60)}, which is no ${fits}.`);
}
function datatypeOf(name: string, datatype: string): Datatype {
  if (!isDatatype(datatype)) throw invalid(`The input "${name}" has the datatype ${datatype}, which is none.`);
  return datatype;
}

/** Little endian, without padding; each text is preceded by its length in four bytes. */
export function binaryTensor({ name, shape, datatype }: Said, bytes: Uint8Array): GivenTensor {
  function fixed(known: FixedDatatype, count: number) {
    const width = widths[known];
    if (bytes.length !== count * width) throw invalid(`The input "${name}" has ${bytes.length} bytes for ${count} values of ${known}.`);
    // Whatever is not 0 is true.
    return known === "BOOL" ? Uint8Array.from(bytes, (value) => (value === 0 ? 0 : 1)) : valuesOf(known, bytes);
  }
  return {
    name,
    shape,
    datatype,
    values: (count) => {
      const known = datatypeOf(name, datatype);
      if (known === "BYTES") return texts(name, bytes, count).map((text) => textOf(name, text));
      const data = fixed(known, count);
      const values: Value[] = [];
      for (let at = 0; at < count; at++) {
        const value = data[at] ?? 0;
        values.push(known === "BOOL" ? value !== 0 : known === "FP16" ? fromHalf(Number(value)) : whole(name, known, Number(value)));
      }
      return values;
    },
    data: (count) => {
      const known = datatypeOf(name, datatype);
      return known === "BYTES" ? texts(name, bytes, count) : fixed(known, count);
    },
  };
}
function texts(name: string, bytes: Uint8Array, count: number): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: Uint8Array[] = [];
  let at = 0;
  while (found.length < count && at + 4 <= bytes.length) {
    const length = view.getUint32(at, true);
    if (at + 4 + length > bytes.length) break;
    found.push(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  if (found.length !== count || at !== bytes.length) throw invalid(`The binary data of the input "${name}" are not ${count} texts, each after its length.`);
  return found;
}

const decoder = new TextDecoder("utf-8", { fatal: true });
export function textOf(name: string, bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw invalid(`The input "${name}" of BYTES holds what is no UTF-8.`);
  }
}

/** A whole number beyond 2^53 would come to the model as another one. */
function whole(name: string, datatype: string, value: number): number {
  if (!datatype.startsWith("FP") && !Number.isSafeInteger(value))
    throw invalid(`The input "${name}" of ${datatype} holds ${value}: whole numbers from -(2^53 - 1) to 2^53 - 1 are taken as JSON.`);
  return value;
}

/** An output as bytes. */
export function binaryOf({ datatype, data }: Pick<Tensor, "datatype" | "data">): Buffer {
  if (datatype !== "BYTES" && "buffer" in data) return bytesOf(data);
  const parts: Buffer[] = [];
  for (const value of valuesIn(datatype, data)) {
    const text = value instanceof Uint8Array ? Buffer.from(value) : Buffer.from(value === null ? "" : String(value));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(text.length);
    parts.push(length, text);
  }
  return Buffer.concat(parts);
}

/** An output's values for JSON: null stands for NaN and the infinities, which it has not. Whole numbers beyond 2^53 are rounded: as text and as bytes they are exact. */
export function jsonOf({ datatype, data }: Pick<Tensor, "datatype" | "data">): (string | number | boolean | null)[] {
  return Array.from(valuesIn(datatype, data), (value) =>
    typeof value === "bigint" ? Number(value) : value instanceof Uint8Array ? Buffer.from(value).toString("utf8") : value,
  );
}
/** The same as JSON's text, with whole numbers as they are. */
export function jsonText({ datatype, data }: Pick<Tensor, "datatype" | "data">): string {
  if (datatype === "BOOL" || datatype === "FP16" || !("buffer" in data)) return JSON.stringify(jsonOf({ datatype, data }));
  if (data.length === 0) return "[]";
  let text = "";
  for (let at = 0; at < data.length; at++) {
    const value = data[at] ?? 0;
    text += typeof value === "bigint" || Number.isFinite(value) ? `,${value}` : ",null";
  }
  return `[${text.slice(1)}]`;
}
export function* valuesIn(datatype: Datatype, data: Tensor["data"]): Generator<ReturnType<typeof valueAt>> {
  for (let at = 0; at < data.length; at++) yield valueAt(datatype, data, at);
}

/** The JSON part and the bytes after it, where the header says how long the former is. */
export function splitBody(body: Buffer, header: string | undefined): { json: unknown; binary: Buffer | undefined } {
  const length = header === undefined ? body.length : Number(header);
  if (!Number.isInteger(length) || length < 0 || length > body.length)
    throw invalid(`Inference-Header-Content-Length is ${header}; the body has ${body.length} bytes.`);
  return { json: parse(body, 0, length), binary: header === undefined ? undefined : body.subarray(length) };
}
function parse(body: Buffer, from: number, to: number): unknown {
  try {
    return JSON.parse(body.toString("utf8", from, to));
  } catch (error) {
    throw new ApiError(400, "INVALID", `The request is no JSON: ${(error as Error).message}`);
  }
}
