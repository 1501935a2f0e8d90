/** Tensors of the Open Inference Protocol: in JSON, and in the binary form of its extension. */
import type { Columns } from "@millrace/sdk/api";
import type { ColumnType, FeatureServiceSpec } from "@millrace/sdk/spec";
import { ApiError, invalid } from "../../platform/index.js";

/** A tensor of a request, whose values are read when it is known that they are wanted. Throws a 400 where they are not as it says. */
export interface GivenTensor {
  name: string;
  shape: number[];
  datatype: string;
  values(count: number): Value[];
}
export type Value = string | number | boolean | null;

export const mostRows = 10_000;
const numeric = ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64"];
/** Which datatypes a request column may come as; the first is the one that is declared. */
export const datatypes: Record<ColumnType, string[]> = {
  string: ["BYTES"],
  int64: ["INT64", ...numeric.filter((type) => type !== "INT64")],
  float64: ["FP64", ...numeric.filter((type) => type !== "FP64")],
  boolean: ["BOOL"],
  timestamp: ["BYTES"],
  date: ["BYTES"],
};

/** The request's columns by the service's definition. Throws a 400 that names the tensor and what was expected. */
export function requestColumns(inputs: readonly GivenTensor[], service: FeatureServiceSpec): { columns: Columns; rows: number } {
  const declared = new Map(service.request.map(({ name, type }) => [name, type]));
  const columns: Columns = {};
  let rows: number | undefined;
  for (const tensor of inputs) {
    const type = declared.get(tensor.name);
    if (type === undefined) throw invalid(`There is no input "${tensor.name}". The model takes ${[...declared.keys()].join(", ")}.`);
    if (columns[tensor.name] !== undefined) throw invalid(`The input "${tensor.name}" comes twice.`);
    const expected = datatypes[type];
    if (!expected.includes(tensor.datatype)) throw invalid(`The input "${tensor.name}" has the datatype ${tensor.datatype}; it takes ${expected.join(", ")}.`);
    const length = lengthOf(tensor);
    rows ??= length;
    if (length !== rows) throw invalid(`The input "${tensor.name}" has ${length} rows where "${inputs[0]?.name}" has ${rows}.`);
    if (rows > mostRows) throw invalid(`A request has at most ${mostRows} rows, not ${rows}.`);
    columns[tensor.name] = tensor.values(length);
  }
  const missing = [...declared.keys()].filter((name) => columns[name] === undefined && name !== service.timestamp);
  if (missing.length > 0) throw invalid(`The inputs ${missing.map((name) => `"${name}"`).join(", ")} are missing.`);
  if (rows === undefined || rows === 0) throw invalid("The request has no rows.");
  return { columns, rows };
}

function lengthOf({ name, shape }: GivenTensor): number {
  const [rows, width] = shape;
  if (rows === undefined || shape.length > 2 || (shape.length === 2 && width !== 1)) {
    throw invalid(`The input "${name}" has the shape [${shape.join(", ")}]; it takes [n] or [n, 1].`);
  }
  return rows;
}

/** Values as JSON has them, flat or as rows of one. */
export function jsonValues({ name, datatype, data }: { name: string; datatype: string; data: unknown }, rows: number): Value[] {
  if (!Array.isArray(data)) throw invalid(`The input "${name}" has no data.`);
  const flat: unknown[] = data.length > 0 && data.every(Array.isArray) ? data.flat() : data;
  if (flat.length !== rows) throw invalid(`The input "${name}" has ${flat.length} values for a shape of ${rows} rows.`);
  const fits = datatype === "BYTES" ? "string" : datatype === "BOOL" ? "boolean" : "number";
  return flat.map((value) => {
    if (value === null) return null;
    if (fits === "string" && typeof value === "string") return value;
    if (fits === "number" && typeof value === "number") return whole(name, datatype, value);
    if (fits === "boolean" && typeof value === "boolean") return value;
    throw invalid(`The input "${name}" of ${datatype} holds ${JSON.stringify(value)?.slice(0, 60)}, which is no ${fits}.`);
  });
}

const widths: Record<string, number> = { BOOL: 1, INT8: 1, UINT8: 1, INT16: 2, UINT16: 2, FP16: 2, INT32: 4, UINT32: 4, FP32: 4, INT64: 8, UINT64: 8, FP64: 8 };
/** Little endian, without padding; each text is preceded by its length in four bytes. */
export function binaryValues({ name, datatype }: { name: string; datatype: string }, bytes: Buffer, rows: number): Value[] {
  const values: Value[] = [];
  if (datatype === "BYTES") {
    let at = 0;
    while (values.length < rows && at + 4 <= bytes.length) {
      const length = bytes.readUInt32LE(at);
      if (at + 4 + length > bytes.length) break;
      values.push(textOf(name, bytes.subarray(at + 4, at + 4 + length)));
      at += 4 + length;
    }
    if (values.length !== rows || at !== bytes.length) throw invalid(`The binary data of the input "${name}" are not ${rows} texts, each after its length.`);
    return values;
  }
  const width = widths[datatype];
  if (width === undefined || bytes.length !== rows * width) throw invalid(`The input "${name}" has ${bytes.length} bytes for ${rows} values of ${datatype}.`);
  for (let at = 0; at < bytes.length; at += width) {
    const value = readNumber(bytes, at, datatype);
    values.push(typeof value === "number" ? whole(name, datatype, value) : value);
  }
  return values;
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
export function whole(name: string, datatype: string, value: number): number {
  if (!datatype.startsWith("FP") && !Number.isSafeInteger(value))
    throw invalid(`The input "${name}" of ${datatype} holds ${value}: whole numbers from -(2^53 - 1) to 2^53 - 1 are taken.`);
  return value;
}

/** IEEE 754 binary16: a sign, five bits of exponent, ten of fraction. */
function halfFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
function readNumber(bytes: Buffer, at: number, datatype: string): number | boolean {
  switch (datatype) {
    case "BOOL":
      return bytes.readUInt8(at) !== 0;
    case "INT8":
      return bytes.readInt8(at);
    case "UINT8":
      return bytes.readUInt8(at);
    case "INT16":
      return bytes.readInt16LE(at);
    case "UINT16":
      return bytes.readUInt16LE(at);
    case "INT32":
      return bytes.readInt32LE(at);
    case "UINT32":
      return bytes.readUInt32LE(at);
    case "INT64":
      return Number(bytes.readBigInt64LE(at));
    case "UINT64":
      return Number(bytes.readBigUInt64LE(at));
    case "FP16":
      return halfFloat(bytes.readUInt16LE(at));
    case "FP32":
      return bytes.readFloatLE(at);
    default:
      return bytes.readDoubleLE(at);
  }
}

/** A part of an answer as bytes. */
export function binaryOf(datatype: string, data: readonly (string | number)[]): Buffer {
  if (datatype === "FP64") {
    const bytes = Buffer.alloc(data.length * 8);
    for (const [i, value] of data.entries()) bytes.writeDoubleLE(Number(value), i * 8);
    return bytes;
  }
  return Buffer.concat(
    data.map((value) => {
      const text = Buffer.from(String(value));
      const length = Buffer.alloc(4);
      length.writeUInt32LE(text.length);
      return Buffer.concat([length, text]);
    }),
  );
}

/** The JSON part and the bytes after it, where the header says how long the former is. */
export function splitBody(body: Buffer, header: string | undefined): { json: unknown; binary: Buffer | undefined } {
  const length = header === undefined ? body.length : Number(header);
  if (!Number.isInteger(length) || length < 0 || length > body.length)
    throw invalid(`Inference-Header-Content-Length is ${header}; the body has ${body.length} bytes.`);
  try {
    return { json: JSON.parse(body.toString("utf8", 0, length)), binary: header === undefined ? undefined : body.subarray(length) };
  } catch (error) {
    throw new ApiError(400, "INVALID", `The request is no JSON: ${(error as Error).message}`);
  }
}
