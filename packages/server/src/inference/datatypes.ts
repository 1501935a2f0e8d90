/** Datatypes of the Open Inference Protocol, and the arrays that hold their values. */
import type { Datatype, TensorData } from "./types.js";

/** Bytes of a value; those of BYTES differ. */
export const widths = {
  ...{ BOOL: 1, INT8: 1, UINT8: 1, INT16: 2, UINT16: 2, FP16: 2, INT32: 4, UINT32: 4, FP32: 4, INT64: 8, UINT64: 8, FP64: 8 },
} as const satisfies Record<Exclude<Datatype, "BYTES">, number>;
export type FixedDatatype = keyof typeof widths;
export const isDatatype = (text: string): text is Datatype => text === "BYTES" || Object.hasOwn(widths, text);
export const isFloat = (datatype: Datatype): boolean => datatype === "FP32" || datatype === "FP64" || datatype === "FP16";

const arrays = {
  BOOL: Uint8Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  FP16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const satisfies Record<FixedDatatype, unknown>;
export type FixedData = Exclude<TensorData, readonly unknown[]>;

/** Zeros of a datatype. */
export const zeros = (datatype: FixedDatatype, length: number): FixedData => new arrays[datatype](length);

/** Little endian bytes as values, without a copy where they lie as the array wants them. `bytes` holds whole values. */
export function valuesOf(datatype: FixedDatatype, bytes: Uint8Array): FixedData {
  const at = bytes.byteOffset % widths[datatype] === 0 ? bytes : Uint8Array.from(bytes);
  return new arrays[datatype](at.buffer as ArrayBuffer, at.byteOffset, at.byteLength / widths[datatype]);
}
/** The values' bytes, little endian, without a copy. */
export const bytesOf = (data: FixedData): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

/** IEEE 754 binary16: a sign, five bits of exponent, ten of fraction. */
export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
const single = new Float32Array(1);
const singleBits = new Uint32Array(single.buffer);
/** Rounded to the nearest, ties to even. */
export function toHalf(value: number): number {
  single[0] = value;
  const bits = singleBits[0] ?? 0;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65,520 and more are nearer to the infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) return sign | roundedShift(magnitude - 0x38000000, 13);
  if (magnitude < 0x33000000) return sign;
  return sign | roundedShift((magnitude & 0x7fffff) | 0x800000, 126 - (magnitude >>> 23));
}
function roundedShift(bits: number, by: number): number {
  const kept = bits >>> by;
  const rest = bits - kept * 2 ** by;
  const half = 2 ** (by - 1);
  return rest > half || (rest === half && (kept & 1) === 1) ? kept + 1 : kept;
}

/** A value of a tensor as a number, a truth value or a text. */
export function valueAt(datatype: Datatype, data: TensorData, at: number): number | bigint | boolean | string | Uint8Array | null {
  const value = data[at];
  if (value === undefined) throw new RangeError(`The tensor has no value ${at}.`);
  if (datatype === "BOOL") return value !== 0;
  return datatype === "FP16" ? fromHalf(Number(value)) : value;
}

/** Which values of which datatype may stand for another's without being changed. */
const widening: Partial<Record<Datatype, readonly Datatype[]>> = {
  FP64: ["FP32", "FP16", "INT32", "UINT32", "INT16", "UINT16", "INT8", "UINT8"],
  FP32: ["FP16", "INT16", "UINT16", "INT8", "UINT8"],
  INT64: ["INT32", "UINT32", "INT16", "UINT16", "INT8", "UINT8"],
  INT32: ["INT16", "UINT16", "INT8", "UINT8"],
  INT16: ["INT8", "UINT8"],
  UINT64: ["UINT32", "UINT16", "UINT8"],
  UINT32: ["UINT16", "UINT8"],
  UINT16: ["UINT8"],
};
/** The datatypes that a tensor of this one may be sent as; itself first. */
export const accepted = (datatype: Datatype): readonly Datatype[] => [datatype, ...(widening[datatype] ?? [])];

/** Values of a datatype that `accepted(to)` has, as values of `to`. */
export function widened(data: FixedData, from: FixedDatatype, to: FixedDatatype): FixedData {
  if (from === to) return data;
  const into = zeros(to, data.length);
  for (let at = 0; at < data.length; at++) {
    const value = from === "FP16" ? fromHalf(Number(data[at])) : Number(data[at]);
    if (into instanceof BigInt64Array || into instanceof BigUint64Array) into[at] = BigInt(value);
    else into[at] = value;
  }
  return into;
}

/** A value as JSON and the log have it: what is missing is null, and what JSON has no number for is a text. */
export type Cell = string | number | boolean | bigint | null;
/** Values as the data of a tensor. */
export function dataOf(datatype: Datatype, cells: readonly Cell[]): TensorData {
  if (datatype === "BYTES") return cells.map((cell) => (cell === null ? null : String(cell)));
  const data = zeros(datatype, cells.length);
  for (const [at, cell] of cells.entries()) {
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[at] = typeof cell === "bigint" ? cell : BigInt(cell ?? 0);
    else data[at] = datatype === "FP16" ? toHalf(number(cell)) : number(cell);
  }
  return data;
}
/** What is missing is NaN; texts are numbers that JSON has not. */
const number = (cell: Cell): number => (cell === null ? Number.NaN : Number(cell));
