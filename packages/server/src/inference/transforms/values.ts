/** Tensors as a transform sees them: lists of values, nested as the shape is. */
import { isFloat, toHalf, valueAt, zeros } from "../datatypes.js";
import type { Datatype, Tensor, TensorData } from "../types.js";

export function toValues({ datatype, data, shape }: Tensor): unknown[] {
  const flat = Array.from({ length: data.length }, (_, at) => {
    const value = valueAt(datatype, data, at);
    if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value;
    return value instanceof Uint8Array ? Buffer.from(value).toString("utf8") : value;
  });
  return nested(flat, shape);
}
function nested(values: unknown[], shape: readonly number[]): unknown[] {
  const [length, ...rest] = shape;
  if (rest.length === 0 || length === undefined) return values;
  const width = values.length / length;
  return Array.from({ length }, (_, at) => nested(values.slice(at * width, (at + 1) * width), rest));
}

/** Throws where the values are no tensor of the datatype. */
export function fromValues(name: string, datatype: Datatype, values: unknown): Tensor {
  const shape: number[] = [];
  for (let inner: unknown = values; isList(inner); inner = inner[0]) shape.push(inner.length);
  if (shape.length === 0) throw new TypeError(`its output "${name}" is no list of values`);
  const flat: unknown[] = [];
  const take = (value: unknown, at: number) => {
    if (!isList(value)) {
      if (at !== shape.length) throw new TypeError(`its output "${name}" has lists of different depths`);
      flat.push(value);
    } else if (value.length !== shape[at]) throw new TypeError(`its output "${name}" has lists of ${shape[at]} and of ${value.length} values side by side`);
    else for (const one of value) take(one, at + 1);
  };
  take(values, 0);
  return { name, datatype, shape, data: dataOf(name, datatype, flat) };
}
const isList = (value: unknown): value is ArrayLike<unknown> & Iterable<unknown> =>
  Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));

function dataOf(name: string, datatype: Datatype, values: readonly unknown[]): TensorData {
  const wrong = (value: unknown) => new TypeError(`its output "${name}" of ${datatype} holds ${String(JSON.stringify(value)).slice(0, 60)}`);
  if (datatype === "BYTES")
    return values.map((value) => {
      if (value === null || typeof value === "string") return value;
      throw wrong(value);
    });
  const into = zeros(datatype, values.length);
  for (const [at, value] of values.entries()) {
    if (into instanceof BigInt64Array || into instanceof BigUint64Array) {
      if (typeof value !== "bigint" && !Number.isSafeInteger(value)) throw wrong(value);
      into[at] = BigInt(value as bigint | number);
      if (into[at] !== BigInt(value as bigint | number)) throw wrong(value);
      continue;
    }
    const number = value === null && isFloat(datatype) ? Number.NaN : typeof value === "boolean" && datatype === "BOOL" ? Number(value) : value;
    if (typeof number !== "number") throw wrong(value);
    into[at] = datatype === "FP16" ? toHalf(number) : number;
    if (!isFloat(datatype) && into[at] !== number) throw wrong(value);
  }
  return into;
}
