/**
 * What the server and a worker say to each other: frames of a head as JSON and a body of bytes. The numbers of tensors are in the body, little-endian, each
 * tensor from a multiple of eight bytes on; texts are in the head. `millrace/_serve.py` is the other side.
 */
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { bytesOf, valuesOf, widths } from "../datatypes.js";
import type { Tensor, TensorData } from "../types.js";

/** Bytes of the head as 32 bits, then those of the body as 64. */
const prefixBytes = 12;
const mostHeadBytes = 64 * 1024 ** 2;

export interface Frame {
  head: string;
  body: Buffer;
}
const Size = Type.Integer({ minimum: 0 });
const named = { name: Type.String(), shape: Type.Array(Size, { maxItems: 32 }) };
/** A tensor in a head, with its values there or where they are in the body; of values that are no texts the bytes of each, -1 for one that is missing. */
export const TensorHead = Type.Union([
  Type.Object({ ...named, datatype: Type.Literal("BYTES"), data: Type.Array(Nullable(Type.String())) }),
  Type.Object({ ...named, datatype: Type.Literal("BYTES"), at: Size, bytes: Size, lengths: Type.Array(Type.Integer({ minimum: -1 })) }),
  Type.Object({ ...named, datatype: Type.Union((Object.keys(widths) as (keyof typeof widths)[]).map((one) => Type.Literal(one))), at: Size, bytes: Size }),
]);
export type TensorHead = Static<typeof TensorHead>;
function Nullable<T extends TSchema>(schema: T) {
  return Type.Union([schema, Type.Null()]);
}

/** Pieces to be written one after the other. */
export function encodeFrame(head: object, body: readonly Uint8Array[]): Uint8Array[] {
  const text = Buffer.from(JSON.stringify(head));
  const prefix = Buffer.allocUnsafe(prefixBytes);
  prefix.writeUInt32LE(text.length, 0);
  prefix.writeBigUInt64LE(BigInt(body.reduce((sum, piece) => sum + piece.length, 0)), 4);
  return [prefix, text, ...body];
}

const padding = new Uint8Array(8);
/** The heads of tensors, and their body. */
export function encodeTensors(tensors: readonly Tensor[]): { heads: TensorHead[]; body: Uint8Array[] } {
  const body: Uint8Array[] = [];
  let at = 0;
  const add = (bytes: Uint8Array) => {
    const from = at;
    body.push(bytes);
    const rest = -bytes.length & 7;
    if (rest > 0) body.push(padding.subarray(0, rest));
    at += bytes.length + rest;
    return { at: from, bytes: bytes.length };
  };
  const heads = tensors.map(({ name, datatype, shape, data }): TensorHead => {
    const head = { name, shape: [...shape] };
    if ("buffer" in data) {
      if (datatype === "BYTES") throw new TypeError(`Values of ${datatype} are a list.`);
      return { ...head, datatype, ...add(bytesOf(data)) };
    }
    const texts: (string | null)[] = [];
    for (const value of data) {
      if (value instanceof Uint8Array) return { ...head, datatype: "BYTES", ...add(Buffer.concat(data.map(rawOf))), lengths: data.map(lengthOf) };
      texts.push(value);
    }
    return { ...head, datatype: "BYTES", data: texts };
  });
  return { heads, body };
}
const rawOf = (value: string | Uint8Array | null): Uint8Array =>
  value === null ? padding.subarray(0, 0) : typeof value === "string" ? Buffer.from(value) : value;
const lengthOf = (value: string | Uint8Array | null): number => (value === null ? -1 : typeof value === "string" ? Buffer.byteLength(value) : value.length);

/** Throws where a head does not fit its body: what a worker sends was made by the model's own process. */
export function decodeTensors(heads: readonly TensorHead[], body: Buffer): Tensor[] {
  return heads.map((head) => {
    const { name, datatype, shape } = head;
    const data = readValues(head, body);
    if (data.length !== shape.reduce((product, size) => product * size, 1)) throw new Error(`the output "${name}" has ${data.length} values for its shape`);
    return { name, datatype, shape, data };
  });
}

function readValues(head: TensorHead, body: Buffer): TensorData {
  if ("data" in head) return head.data;
  const { at, bytes } = head;
  if (at + bytes > body.length) throw new Error(`the output "${head.name}" is not whole`);
  if (!("lengths" in head)) return valuesOf(head.datatype, body.subarray(at, at + bytes));
  let from = at;
  return head.lengths.map((length) => {
    if (length < 0) return null;
    from += length;
    return body.subarray(from - length, from);
  });
}

/** Takes bytes as they come, and gives each frame that is whole. Throws where one is larger than `most`. */
export function frameReader(most: number, onFrame: (frame: Frame) => void): (chunk: Buffer) => void {
  const prefix = Buffer.alloc(prefixBytes);
  let head = Buffer.alloc(0);
  // Of a store of its own: a buffer of the pool would not begin at a multiple of eight.
  let body = Buffer.alloc(0);
  let filled = 0;
  let part: "prefix" | "head" | "body" = "prefix";
  return (chunk) => {
    for (let from = 0; ; ) {
      const target = part === "prefix" ? prefix : part === "head" ? head : body;
      const taken = chunk.copy(target, filled, from);
      from += taken;
      filled += taken;
      if (filled < target.length) return;
      filled = 0;
      if (part === "prefix") {
        const headBytes = prefix.readUInt32LE(0);
        const bodyBytes = prefix.readBigUInt64LE(4);
        if (headBytes > mostHeadBytes || bodyBytes > BigInt(most))
          throw new Error(`its answer has ${BigInt(headBytes) + bodyBytes} bytes; at most ${most} are taken`);
        head = Buffer.allocUnsafe(headBytes);
        body = Buffer.from(new ArrayBuffer(Number(bodyBytes)));
        part = "head";
      } else if (part === "head") part = "body";
      else {
        part = "prefix";
        onFrame({ head: head.toString("utf8"), body });
      }
    }
  };
}
